//! The coordinator's way to the local engine, which another part starts and shares.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use child_engine::{Engine, EngineSpec};
use fast_llm_coordinator::{DialError, EngineDialer};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::net::UnixStream;

use crate::config::EngineConfig;

/// The engine that `config` describes, looked for in `search` too. Nothing is started yet.
pub(crate) fn engine(config: &EngineConfig, search: Vec<PathBuf>) -> Engine {
    let mut args: Vec<OsString> = Vec::new();
    let number = |value: Option<u32>| value.map(|value| value.to_string());
    let settings = [
        ("--threads", number(config.threads)),
        ("--ctx", number(config.context_tokens)),
        ("--slots", number(config.slots)),
        ("--queue", number(config.queue)),
        ("--kv-type", config.kv_type.map(|kv_type| kv_type.as_str().to_owned())),
        ("--gpu-layers", number(config.gpu_layers)),
        ("--unload-after-s", number(config.unload_after_s)),
        ("--memory-mb", number(config.memory_mb)),
    ];
    for (flag, value) in settings {
        if let Some(value) = value {
            args.push(flag.into());
            args.push(value.into());
        }
    }
    Engine::new(EngineSpec {
        search,
        idle_exit: Duration::from_secs(config.idle_exit_s),
        args,
        ..EngineSpec::default()
    })
}

/// Gives the coordinator connections to the shared engine.
pub(crate) struct Dialer(pub(crate) Arc<Engine>);

impl EngineDialer for Dialer {
    fn dial(&self) -> BoxFuture<'_, Result<UnixStream, DialError>> {
        async {
            self.0.connect().await.map_err(|error| DialError {
                code: error.code(),
                message: error.to_string(),
                retryable: error.retryable(),
            })
        }
        .boxed()
    }
}
