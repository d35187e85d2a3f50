//! Status and counters as they cross.

use napi_derive::napi;
use redis_service::{Stats, Status};

/// Where the service stands.
#[napi(object)]
pub struct RedisStatus {
    /// `redis`, `fallback` or `embedded`.
    pub mode: String,
    /// ms since 1970.
    pub since: f64,
    /// Writes that Redis does not know yet.
    pub pending_replays: f64,
    /// Why Redis was away the last time.
    pub last_error: Option<String>,
}

impl From<Status> for RedisStatus {
    fn from(status: Status) -> Self {
        Self {
            mode: status.mode.as_str().to_owned(),
            since: status.since_ms as f64,
            pending_replays: status.pending_replays as f64,
            last_error: status.last_error,
        }
    }
}

/// Counters since the start.
#[napi(object)]
pub struct RedisStats {
    /// Reads that found a value.
    pub hits: f64,
    /// Reads that found none.
    pub misses: f64,
    /// Values written.
    pub sets: f64,
    /// Bytes as stored.
    pub bytes_stored: f64,
    /// Bytes before compression.
    pub bytes_before_compression: f64,
    /// Connections made again.
    pub reconnects: f64,
    /// Answered without Redis because it was away.
    pub fallback_ops: f64,
}

impl From<Stats> for RedisStats {
    fn from(stats: Stats) -> Self {
        Self {
            hits: stats.hits as f64,
            misses: stats.misses as f64,
            sets: stats.sets as f64,
            bytes_stored: stats.bytes_stored as f64,
            bytes_before_compression: stats.bytes_before_compression as f64,
            reconnects: stats.reconnects as f64,
            fallback_ops: stats.fallback_ops as f64,
        }
    }
}
