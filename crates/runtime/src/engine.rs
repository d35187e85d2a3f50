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
    Engine::new(EngineSpec {
        search,
        idle_exit: Duration::from_secs(config.idle_exit_s),
        args: flags(config),
        ..EngineSpec::default()
    })
}

/// The engine's flags for what `config` does not leave to it.
fn flags(config: &EngineConfig) -> Vec<OsString> {
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
    let written = settings.into_iter().filter_map(|(flag, value)| Some([flag.into(), value?.into()]));
    written.flatten().collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::KvType;

    #[test]
    fn the_engine_is_told_what_is_written_and_nothing_else() {
        assert!(flags(&EngineConfig::default()).is_empty());
        let config = EngineConfig {
            threads: Some(2),
            queue: Some(0),
            kv_type: Some(KvType::Q8_0),
            gpu_layers: Some(0),
            unload_after_s: Some(0),
            memory_mb: Some(900),
            ..EngineConfig::default()
        };
        let expected =
            "--threads 2 --queue 0 --kv-type q8_0 --gpu-layers 0 --unload-after-s 0 --memory-mb 900";
        assert_eq!(flags(&config), expected.split(' ').collect::<Vec<_>>());
    }
}
