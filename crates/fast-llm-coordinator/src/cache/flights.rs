//! The executions under way, and what the task of one does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use llm_wire::openai::{ChatRequest, ChunkCollector};
use route_plan::RoutePlan;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::flight::{Flight, Head, Waiter};
use super::{Cache, Call, FlightKey};
use crate::answer::{Answer, answer};
use crate::call::{CallOptions, Trace};
use crate::chat_stream::ChatStream;
use crate::execution::Core;
use crate::journal::Journal;
use crate::meter::{Bill, Meter};
use crate::question::Question;
use crate::report::{CacheOutcome, RoutingReport};
use crate::stats::RequestGuard;

/// A chunk of a token or two has about as many times their bytes in framing; with that an answer of `max_entry_kb` is
/// collected from its chunks, and a stream without end is not.
const CHUNKS_TO_ANSWER: usize = 16;

/// What an execution needs, of its own.
pub(super) struct Departure {
    core: Arc<Core>,
    plan: RoutePlan,
    request: ChatRequest,
    received: Instant,
    /// Of the request that it begins for, and with which it does not end.
    meter: Option<Arc<dyn Meter>>,
    /// Of the request that it begins for.
    trace: Option<Trace>,
    waited: Duration,
    /// Miss, or bypass where nothing is to be kept.
    outcome: CacheOutcome,
}

impl Departure {
    pub(super) fn new(core: &Arc<Core>, call: &Call<'_>, outcome: CacheOutcome) -> Self {
        Self {
            core: Arc::clone(core),
            plan: call.plan.clone(),
            request: call.options.counted(call.request).unwrap_or_else(|| call.request.clone()),
            received: call.options.received,
            meter: call.options.meter.clone(),
            trace: call.options.trace.clone(),
            waited: call.options.waited,
            outcome,
        }
    }
}

impl Cache {
    /// Joins the execution that is under way, if there is one.
    pub(super) fn join(&self, key: &FlightKey) -> Option<Waiter> {
        self.flights.lock().get(key)?.join()
    }

    /// Joins the execution that has begun meanwhile, or begins one.
    pub(super) fn join_or_begin(
        self: &Arc<Self>,
        key: FlightKey,
        departure: Departure,
    ) -> (Waiter, CacheOutcome) {
        let mut flights = self.flights.lock();
        if let Some(waiter) = flights.get(&key).and_then(Flight::join) {
            return (waiter, CacheOutcome::Hit);
        }
        let outcome = departure.outcome;
        let (flight, waiter) = Flight::new(self.most());
        flights.insert(key, Arc::clone(&flight));
        drop(flights);
        let landing = Landing { cache: Arc::clone(self), key, flight };
        self.tasks.spawn(async move {
            let flight = Arc::clone(&landing.flight);
            tokio::select! {
                biased;
                () = flight.deserted.cancelled() => {}
                () = landing.cache.fly(&key, &flight, departure) => {}
            }
            drop(landing);
        });
        (waiter, outcome)
    }

    /// Asks the endpoints and hands on what they say.
    async fn fly(&self, key: &FlightKey, flight: &Flight, departure: Departure) {
        let Departure { core, plan, request, received, meter, trace, waited, outcome } = departure;
        let question = Question::Chat(&request);
        let options = CallOptions { received, trace, ..CallOptions::default() };
        let mut journal = Journal::watched(received, Bill::new(meter.as_ref()), Arc::clone(&flight.tried));
        journal.waited(waited);
        let answered = match core.try_all(&plan, question, &options, &mut journal).await {
            Ok(answered) => answered,
            Err(error) => return flight.begin(Err(error)),
        };
        let dropped = answered.established.dropped.clone();
        let guard = RequestGuard::of_nobody(&core.counters);
        let keeps = outcome == CacheOutcome::Miss;
        match answer(&core, &plan, question, answered, journal, guard, &options) {
            Answer::Complete { body, spoken, report } => {
                let head = Head { report, dropped, spoken, whole: Some(body.clone()) };
                let _keeping = self.keeping.token();
                flight.begin(Ok(head.clone()));
                if keeps {
                    self.keep(key, &head, body).await;
                }
            }
            Answer::Stream(stream) => {
                let mut head =
                    Head { report: stream.report(), dropped, spoken: stream.spoken(), whole: None };
                flight.begin(Ok(head.clone()));
                let wanted = keeps && head.spoken.is_none();
                let Handed { report, document, _keeping } = self.hand_on(stream, flight, wanted).await;
                if let Some(document) = document {
                    // Where it was continued elsewhere, more may have been dropped.
                    head.dropped.extend(report.dropped.iter().skip(head.report.dropped.len()).cloned());
                    head.report = report;
                    self.keep(key, &head, document).await;
                }
            }
        }
    }

    /// Hands on the chunks of a stream; gives the whole answer if it is finished and wanted.
    async fn hand_on(&self, mut stream: ChatStream, flight: &Flight, wanted: bool) -> Handed {
        let limit = self.most().saturating_mul(CHUNKS_TO_ANSWER);
        let mut collector = wanted.then(|| ChunkCollector::with_limit(limit));
        let end = loop {
            match stream.next().await {
                Some(Ok(chunk)) => {
                    flight.push(chunk.clone());
                    collector = collector.and_then(|mut whole| whole.push(&chunk).is_ok().then_some(whole));
                    flight.room().await;
                }
                Some(Err(error)) => break Err(error),
                None => break Ok(()),
            }
        };
        let whole = collector.filter(|whole| end.is_ok() && whole.is_finished());
        let (report, _keeping) = (stream.report(), self.keeping.token());
        flight.end(end, report.clone(), stream.usage().copied());
        Handed { report, document: whole.map(ChunkCollector::finish), _keeping }
    }

    fn forget(&self, key: &FlightKey, flight: &Arc<Flight>) {
        let mut flights = self.flights.lock();
        if flights.get(key).is_some_and(|known| Arc::ptr_eq(known, flight)) {
            flights.remove(key);
        }
    }
}

/// A stream that has been handed on.
struct Handed {
    report: RoutingReport,
    document: Option<Bytes>,
    /// Whoever closes the cache waits until it is kept.
    _keeping: TaskTrackerToken,
}

/// Takes an execution off the list however it ends, the process's own end included.
struct Landing {
    cache: Arc<Cache>,
    key: FlightKey,
    flight: Arc<Flight>,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.cache.forget(&self.key, &self.flight);
        self.flight.land();
    }
}
