//! What a caller may say about one execution.

use std::sync::Arc;
use std::time::{Duration, Instant};

use llm_wire::openai::ChatRequest;
use trace_context::TraceContext;

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
    /// The trace that the request belongs to; endpoints are told of it.
    pub trace: Option<Trace>,
    /// What other executions of the same request have waited for endpoints, which is not overhead of ours.
    pub waited: Duration,
}

/// How endpoints are told of a request's trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trace {
    /// As it came: nobody here reports spans of it.
    Passed(TraceContext),
    /// This is the request's own span, and each attempt is a [child](TraceContext::child) of it by its number.
    Reported(TraceContext),
}

impl Trace {
    /// What the attempt with this number, from 0, says.
    pub(crate) fn of_attempt(&self, number: usize) -> TraceContext {
        match self {
            Self::Passed(context) => context.clone(),
            Self::Reported(context) => context.child(number),
        }
    }
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
            trace: None,
            waited: Duration::ZERO,
        }
    }
}

impl CallOptions {
    /// The request with its usage asked for; `None` where nobody is told of it, or it says so anyway.
    pub(crate) fn counted(&self, request: &ChatRequest) -> Option<ChatRequest> {
        (self.meter.is_some() && request.stream()).then(|| request.clone().counted())
    }

    /// When the request ends, and the time allowed until then; a time beyond the clock's range is no limit.
    pub(crate) fn deadline(&self) -> Option<(Instant, Duration)> {
        let after = self.timeout?;
        self.received.checked_add(after).map(|at| (at, after))
    }
}
