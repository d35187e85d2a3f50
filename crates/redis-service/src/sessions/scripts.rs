//! The Lua scripts, by which each change of a session is one step. The TypeScript fallback runs the very same ones.

use std::sync::LazyLock;

use sha1::{Digest, Sha1};

use super::id::hex;

/// A script, and the name that Redis gives it.
pub(crate) struct Script {
    pub(crate) text: &'static str,
    pub(crate) sha: String,
}

macro_rules! scripts {
    ($($name:ident = $file:literal;)*) => {
        $(pub(crate) static $name: LazyLock<Script> = LazyLock::new(|| {
            let text = include_str!(concat!("scripts/", $file));
            Script { text, sha: hex(&Sha1::digest(text.as_bytes())) }
        });)*
    };
}

scripts! {
    READ = "read.lua";
    WRITE = "write.lua";
    TOUCH = "touch.lua";
    DESTROY = "destroy.lua";
    LIST = "list.lua";
    REPLAY = "replay.lua";
}
