//! Whether Redis is there, since when, and who wants to know.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::{Condvar, Mutex};

/// Who answers at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Redis.
    Redis,
    /// The process itself, because Redis is away.
    Fallback,
    /// The process itself, because no Redis is configured.
    Embedded,
}

impl Mode {
    /// The name in `status()` and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Fallback => "fallback",
            Self::Embedded => "embedded",
        }
    }
}

/// Where the service stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Who answers.
    pub mode: Mode,
    /// Since when, in ms since 1970.
    pub since_ms: u64,
    /// Keys and session writes that are to be settled when Redis is back.
    pub pending_replays: usize,
    /// What went wrong last, if anything did.
    pub last_error: Option<String>,
}

type Listener = Arc<dyn Fn(Status) + Send + Sync>;

/// The mode, with its history of one.
pub(crate) struct Board {
    inner: Mutex<Inner>,
    changed: Condvar,
}

struct Inner {
    mode: Mode,
    since_ms: u64,
    last_error: Option<String>,
    listeners: Vec<Listener>,
}

impl Default for Board {
    fn default() -> Self {
        // Before the first connection there is no Redis.
        Self {
            inner: Mutex::new(Inner {
                mode: Mode::Fallback,
                since_ms: now_ms(),
                last_error: None,
                listeners: Vec::new(),
            }),
            changed: Condvar::new(),
        }
    }
}

impl Board {
    /// Calls `listener` at each change of the mode, on whatever thread makes it. Must not block.
    pub(crate) fn listen(&self, listener: Listener) {
        self.inner.lock().listeners.push(listener);
    }

    /// Notes whether Redis answers; one line of the log and one event for each change.
    pub(crate) fn note(&self, is_live: bool, pending_replays: usize) {
        let mode = if is_live { Mode::Redis } else { Mode::Fallback };
        let (listeners, status) = {
            let mut inner = self.inner.lock();
            if inner.mode == mode {
                return;
            }
            inner.mode = mode;
            inner.since_ms = now_ms();
            self.changed.notify_all();
            (inner.listeners.clone(), inner.status(pending_replays))
        };
        match mode {
            Mode::Fallback => {
                tracing::warn!(
                    reason = status.last_error,
                    "Redis is away: reads of the cache are misses, writes are kept here"
                )
            }
            _ => tracing::info!("Redis answers"),
        }
        for listener in listeners {
            listener(status.clone());
        }
    }

    /// Blocks until Redis answers, at most for `timeout`.
    pub(crate) fn wait_live(&self, timeout: Duration) {
        let mut inner = self.inner.lock();
        self.changed.wait_while_for(&mut inner, |inner| inner.mode != Mode::Redis, timeout);
    }

    pub(crate) fn note_error(&self, error: &str) {
        self.inner.lock().last_error = Some(error.to_owned());
    }

    pub(crate) fn mode(&self) -> Mode {
        self.inner.lock().mode
    }

    pub(crate) fn last_error(&self) -> Option<String> {
        self.inner.lock().last_error.clone()
    }

    pub(crate) fn status(&self, pending_replays: usize) -> Status {
        self.inner.lock().status(pending_replays)
    }
}

impl Inner {
    fn status(&self, pending_replays: usize) -> Status {
        Status {
            mode: self.mode,
            since_ms: self.since_ms,
            pending_replays,
            last_error: self.last_error.clone(),
        }
    }
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
