//! Whatever a configuration says, in a file, as JSON or in the environment: it is taken, or refused with a message.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use runtime::{ConfigSource, UatConfig};

static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("uat-fuzz-{}.toml", std::process::id())));

fuzz_target!(|text: &str| {
    std::fs::write(&*FILE, text).expect("a temporary file");
    let _ = UatConfig::load(ConfigSource::File(FILE.clone()), []).map_err(|error| error.to_string());
    let _ = UatConfig::load(ConfigSource::Json(text.to_owned()), []).map_err(|error| error.to_string());
    let variables = [("UAT__SERVER__BIND".to_owned(), text.to_owned()), (format!("UAT__{text}"), "1".to_owned())];
    let _ = UatConfig::load(ConfigSource::Json("{}".to_owned()), variables).map_err(|error| error.to_string());
});
