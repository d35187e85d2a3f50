//! What a caller may say about one execution.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::meter::Meter;

/// What a caller may say about one execution.
#[derive(Debug, Clone)]
pub struct CallOptions {
    /// For the whole request, all attempts and the stream included. `None`: only the endpoints' own limits.
    pub timeout: Option<Duration>,
    /// When the request arrived, so that the time before this call counts as overhead too.
    pub received: Instant,
    /// Whether the response cache may answer.
    pub cache: CachePreference,
    /// Who asks, where several share this coordinator: answers in the cache are for the same tenant only.
    pub tenant: Option<Arc<str>>,
    /// Who is told what the endpoints took; such a request asks them for the usage of a stream, too.
    pub meter: Option<Arc<dyn Meter>>,
}

/// Whether the response cache may answer a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CachePreference {
    /// If the same question has the same answer: at temperature 0.
    #[default]
    Default,
    /// Whatever the temperature.
    On,
    /// No, and its answer is not kept.
    Off,
}

impl Default for CallOptions {
    fn default() -> Self {
        Self {
            timeout: None,
            received: Instant::now(),
            cache: CachePreference::default(),
            tenant: None,
            meter: None,
        }
    }
}

impl CallOptions {
    /// When the request ends, and the time allowed until then; a time beyond the clock's range is no limit.
    pub(crate) fn deadline(&self) -> Option<(Instant, Duration)> {
        let after = self.timeout?;
        self.received.checked_add(after).map(|at| (at, after))
    }
}
