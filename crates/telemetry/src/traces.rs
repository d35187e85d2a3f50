use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use trace_context::TraceContext;

use crate::counts::Counts;
use crate::ended::EndedRequest;
use crate::error::TelemetryError;
use crate::exporter::{Exporter, Item};
use crate::options::TracesOptions;
use crate::semconv::SERVICE_INSTANCE_ID;
use crate::spans::Resource;

/// Requests that wait to be told: ten seconds of 200 a second, some 2 MB. A collector that is away for longer costs spans.
const QUEUE: usize = 2_048;

/// Chooses ids, and takes what has ended. Dropping the last one lets the [`Exporter`] finish.
#[derive(Debug, Clone)]
pub struct Traces {
    queue: mpsc::Sender<Item>,
    counts: Arc<Counts>,
    /// A trace whose id's last 56 bits are below it is kept: <https://www.w3.org/TR/trace-context-2/#random-trace-id-flag>.
    kept_below: u64,
}

/// A request that is kept: its own span, and whose child it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// The request's span.
    pub context: TraceContext,
    /// The caller's span.
    pub parent: Option<u64>,
}

impl Traces {
    /// What sends, and what is to be run beside it.
    ///
    /// # Errors
    /// [`TelemetryError::Option`] where the certificates for `https` cannot be read.
    pub fn start(options: &TracesOptions, counts: Arc<Counts>) -> Result<(Self, Exporter), TelemetryError> {
        let (queue, items) = mpsc::channel(QUEUE);
        let instance = format!("{:032x}", fastrand::u128(..));
        let resource = Resource::new(&options.service_name, (SERVICE_INSTANCE_ID, instance));
        let exporter = Exporter::new(options, items, resource, Arc::clone(&counts))?;
        Ok((Self { queue, counts, kept_below: kept_below(options.sample_ratio) }, exporter))
    }

    /// Begins a request's span, if its trace is kept: one that came is kept where its caller keeps it, a new one as often
    /// as configured.
    pub fn begin(&self, parent: Option<&TraceContext>) -> Option<Begun> {
        match parent {
            Some(parent) => parent.is_sampled().then(|| Begun {
                context: parent.with_span(fastrand::u64(1..)),
                parent: Some(parent.span_id()),
            }),
            None => {
                let trace_id = fastrand::u128(1..);
                if !is_kept(trace_id, self.kept_below) {
                    return None;
                }
                let context = TraceContext::new(trace_id, fastrand::u64(1..), true)?;
                Some(Begun { context, parent: None })
            }
        }
    }

    /// Takes a request that has ended; never waits.
    pub fn ended(&self, begun: Begun, request: EndedRequest) {
        let spans = 1 + request.attempts.len() as u64;
        match self.queue.try_send(Item { begun, request }) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => self.counts.dropped(spans),
        }
    }
}

const BITS: u32 = 56;

fn kept_below(ratio: f64) -> u64 {
    // Between 0 and 2^56, which a float holds exactly.
    (ratio.clamp(0.0, 1.0) * (1u64 << BITS) as f64) as u64
}

fn is_kept(trace_id: u128, kept_below: u64) -> bool {
    (trace_id as u64 & ((1 << BITS) - 1)) < kept_below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_kept_as_often_as_configured() {
        let kept = |ratio: f64| {
            let mut rng = fastrand::Rng::with_seed(7);
            (0..10_000).filter(|_| is_kept(rng.u128(1..), kept_below(ratio))).count()
        };
        assert_eq!((kept(0.0), kept(1.0)), (0, 10_000));
        assert!((2_300..2_700).contains(&kept(0.25)), "{}", kept(0.25));
    }

    #[test]
    fn every_gateway_keeps_the_same_traces() {
        // The decision is the id's, so that one with a smaller share keeps a part of what one with a larger keeps.
        let mut rng = fastrand::Rng::with_seed(9);
        for _ in 0..1_000 {
            let id = rng.u128(1..);
            assert!(!is_kept(id, kept_below(0.1)) || is_kept(id, kept_below(0.2)));
        }
    }

    #[tokio::test]
    async fn the_callers_decision_counts() {
        let options = TracesOptions::new("http://127.0.0.1:1", None, 0.0, "uat").unwrap();
        let (traces, _exporter) = Traces::start(&options, Arc::default()).unwrap();
        let caller = |sampled| TraceContext::new(5, 6, sampled).unwrap();
        assert_eq!(traces.begin(None), None);
        assert_eq!(traces.begin(Some(&caller(false))), None);
        let begun = traces.begin(Some(&caller(true))).unwrap();
        assert_eq!((begun.context.trace_id(), begun.parent), (5, Some(6)));
        assert_ne!(begun.context.span_id(), 6);
    }
}
