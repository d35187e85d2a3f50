//! The cache as the configuration says it is, and whether its Redis answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis_service::resp::{Command, Value};
use redis_service::{Mode, Options, RedisService, RedisServiceError};

use crate::errors::RuntimeError;

/// Opens the cache of a section `[redis]`. A Redis that is away is no error: the service then stands in for it.
///
/// # Errors
/// `UAT_CONFIG` for a wrong option or an unknown host, `UAT_UNAUTHORIZED` for a refused login.
pub async fn open_redis(options: Options) -> Result<Arc<RedisService>, RuntimeError> {
    Ok(Arc::new(RedisService::connect(options, None).await?))
}

/// What a Redis says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisAnswer {
    /// `Redis 7.0.15` or `Valkey 8.1.1`; none where the user may not ask.
    pub server: Option<String>,
    /// From a question to its answer, the median of [`ROUNDS`].
    pub round_trip: Duration,
    /// Whether the server tells of changes, without which nothing is kept near.
    pub tells_changes: bool,
}

/// Questions of which the median counts: one may meet a server that is busy.
const ROUNDS: usize = 5;

/// Asks the server behind a cache how it is.
///
/// # Errors
/// `UAT_STORAGE` if it is away, `UAT_TIMEOUT` if it does not answer in its time.
pub async fn ask_redis(service: &RedisService) -> Result<RedisAnswer, RuntimeError> {
    let status = service.status();
    if status.mode != Mode::Redis {
        let reason = status.last_error.unwrap_or_else(|| "it is not connected yet".to_owned());
        return Err(RedisServiceError::Unavailable { operation: "status".to_owned(), reason }.into());
    }
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let asked = Instant::now();
        service.call(Command::new("PING")).await?;
        rounds.push(asked.elapsed());
    }
    rounds.sort();
    let server = match refused_is_none(service.call(Command::new("INFO").arg("server")).await)? {
        Some(info) => info.as_str().and_then(version),
        None => None,
    };
    let tracking = refused_is_none(service.call(Command::new("CLIENT").arg("TRACKINGINFO")).await)?;
    Ok(RedisAnswer {
        server,
        round_trip: rounds[ROUNDS / 2],
        tells_changes: tracking.is_some_and(|info| tracks(&info)),
    })
}

/// A user of few rights, or an old server, is no reason to know nothing.
fn refused_is_none(answer: Result<Value, RedisServiceError>) -> Result<Option<Value>, RedisServiceError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(RedisServiceError::Unauthorized { .. } | RedisServiceError::Upstream { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Valkey says what Redis it is compatible with, too: its own version counts.
fn version(info: &str) -> Option<String> {
    let field = |name: &str| {
        info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(|value| value.trim())
    };
    match field("valkey_version") {
        Some(version) => Some(format!("Valkey {version}")),
        None => field("redis_version").map(|version| format!("Redis {version}")),
    }
}

fn tracks(info: &Value) -> bool {
    let Value::Map(pairs) = info else { return false };
    pairs.iter().any(|(name, flags)| {
        name.as_str() == Some("flags")
            && flags
                .clone()
                .into_elements()
                .is_some_and(|flags| flags.iter().any(|flag| flag.as_str() == Some("on")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_named_with_its_own_version() {
        assert_eq!(version("# Server\r\nredis_version:7.0.15\r\n").as_deref(), Some("Redis 7.0.15"));
        let valkey = "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.1\r\n";
        assert_eq!(version(valkey).as_deref(), Some("Valkey 8.1.1"));
        assert_eq!(version(""), None);
    }
}
