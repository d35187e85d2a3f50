//! The time of day, which in this process never jumps: read once, and run on by the clock that cannot be set.

use std::time::Instant;

use crate::status::now_ms;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start_ms: u64,
    since: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start_ms: now_ms(), since: Instant::now() }
    }

    /// Ms since 1970.
    pub(crate) fn now(&self) -> u64 {
        self.start_ms.saturating_add(u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}
