//! Answers that are given again: from the store, or of another request that is under way with the same question.
//!
//! A request with a [`Key`] first looks for a *flight*, an execution that others have begun, and joins it. Otherwise it
//! asks the store; what is there is the answer. Otherwise it begins a flight, which is nobody's own: it runs as a task of
//! this cache, goes on while anybody waits for it, and keeps its answer once that has gone out.
//!
//! A flight has no deadline of its own, so it lasts as long as the most patient of its requests; each of these keeps its own.
//! The store is only a help: while it is away or slow, requests are answered without it.

mod entry;
mod flight;
mod flights;
mod followed;
mod key;
mod members;
mod replay;
mod store;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use llm_wire::Spoken;
use llm_wire::openai::{ChatRequest, PlainAnswer, Usage};
use parking_lot::Mutex;
use route_plan::RoutePlan;
use tokio_util::task::TaskTracker;

use crate::answer::Answer;
use crate::call::{CachePreference, CallOptions};
use crate::chat_stream::ChatStream;
use crate::config::{CacheConfig, CoordinatorConfig, Protocol};
use crate::error::CoordinatorError;
use crate::execution::Core;
use crate::report::{CacheOutcome, RoutingReport};
use crate::stats::RequestGuard;

use entry::Entry;
use flight::{Flight, Head, Waiter};
use flights::Departure;
pub(crate) use followed::Followed;
pub(crate) use key::Key;
pub(crate) use replay::Replay;
pub use store::{ResponseStore, Unavailable};

/// How long a store is waited for. It has a budget of its own, usually 50 ms; this holds where it does not keep it.
const STORE_PATIENCE: Duration = Duration::from_millis(100);
/// How long a store may take to keep an answer, for which nobody waits.
const KEEP_PATIENCE: Duration = Duration::from_secs(2);
/// How long [`Cache::close`] waits for answers that are being kept.
const CLOSE_PATIENCE: Duration = Duration::from_millis(500);

/// Where answers are kept, and which.
#[derive(Clone)]
pub struct ResponseCache {
    /// What is kept and for how long.
    pub config: CacheConfig,
    /// Where.
    pub store: Arc<dyn ResponseStore>,
}

/// The cache of one coordinator.
pub(crate) struct Cache {
    config: CacheConfig,
    store: Arc<dyn ResponseStore>,
    models: HashMap<Arc<str>, Known>,
    flights: Mutex<HashMap<FlightKey, Arc<Flight>>>,
    /// The executions. Those who wait for one end it by leaving.
    tasks: TaskTracker,
    /// Answers that have gone out and are being kept.
    keeping: TaskTracker,
}

/// What a key has to say of a model.
struct Known {
    fingerprint: Key,
    /// The dialects of its endpoints in which clients may ask too.
    speaks: Vec<Spoken>,
}

/// Which requests share an execution: those of one question that want it written alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct FlightKey {
    key: Key,
    stream: bool,
    include_usage: bool,
}

impl FlightKey {
    /// Whether the answer says what was counted.
    fn asks_usage(&self) -> bool {
        !self.stream || self.include_usage
    }
}

/// An answer that was kept, and its chunks and usage where a stream is wanted.
struct Kept {
    entry: Entry,
    replay: Option<(Vec<Bytes>, Option<Usage>)>,
}

/// What the store says.
enum Found {
    Kept(Kept),
    Nothing,
    /// It is away, slow, or not to be asked.
    NoAnswer,
}

/// What is asked, by whom.
pub(crate) struct Call<'a> {
    pub(crate) plan: &'a RoutePlan,
    pub(crate) request: &'a ChatRequest,
    pub(crate) options: &'a CallOptions,
}

impl Cache {
    /// `None` where nothing is to be kept.
    pub(crate) fn new(cache: ResponseCache, config: &CoordinatorConfig) -> Option<Arc<Self>> {
        let ResponseCache { config: section, store } = cache;
        let known = |model: &crate::config::ModelConfig| {
            let protocols = config
                .endpoints
                .iter()
                .filter(|endpoint| model.endpoints.iter().any(|served| served.endpoint == endpoint.name))
                .filter_map(|endpoint| match endpoint.protocol {
                    Protocol::Anthropic => Some(Spoken::Anthropic),
                    Protocol::Gemini => Some(Spoken::Gemini),
                    Protocol::OpenAi | Protocol::Ollama | Protocol::Azure | Protocol::UatEngine => None,
                });
            let known = Known {
                fingerprint: key::fingerprint(model, &config.endpoints),
                speaks: protocols.collect(),
            };
            (Arc::clone(&model.name), known)
        };
        section.exact.then(|| {
            Arc::new(Self {
                config: section,
                store,
                models: config.models.iter().map(known).collect(),
                flights: Mutex::default(),
                tasks: TaskTracker::new(),
                keeping: TaskTracker::new(),
            })
        })
    }

    /// The key of a request that the cache may answer; `None` where it may not.
    pub(crate) fn key(&self, call: &Call<'_>) -> Option<Key> {
        let Call { plan, request, options } = call;
        let wanted = match options.cache {
            CachePreference::On => true,
            CachePreference::Off => false,
            CachePreference::Default => request.temperature() == Some(0.0),
        };
        if !wanted || request.n() != 1 {
            return None;
        }
        let models = || plan.stages.iter().flat_map(|stage| &stage.candidates);
        // An endpoint of the client's own dialect gets the client's own document, which a key does not know.
        if let Some(original) = request.original()
            && models()
                .filter_map(|c| self.models.get(&c.model))
                .any(|m| m.speaks.contains(&original.dialect))
        {
            return None;
        }
        key::key(options.tenant.as_deref(), plan, request, |candidate| {
            self.models.get(&candidate.model).map(|known| &known.fingerprint)
        })
    }

    /// Answers a request that has a key. `guard` counts it.
    pub(crate) async fn answer(
        self: &Arc<Self>,
        core: &Arc<Core>,
        key: Key,
        call: Call<'_>,
        guard: RequestGuard,
    ) -> Result<Answer, CoordinatorError> {
        let deadline = call.options.deadline();
        let mut waiting = None;
        let answering = self.find(core, key, &call, &mut waiting);
        let found = match deadline {
            None => answering.await,
            Some((at, after)) => match tokio::time::timeout_at(at.into(), answering).await {
                Ok(found) => found,
                Err(_) => Err(CoordinatorError::DeadlineExceeded {
                    after,
                    attempts: waiting
                        .as_ref()
                        .map(|(waiter, _): &(Waiter, _)| waiter.tried())
                        .unwrap_or_default(),
                }),
            },
        };
        match found.inspect_err(|_| guard.error())? {
            Source::Kept(kept) => Ok(repeated(kept, &call, guard)),
            Source::Shared(head, waited) => match waiting {
                Some((waiter, outcome)) => Ok(shared(waiter, &head, outcome, waited, &call, guard)),
                None => Err(CoordinatorError::Config { message: "a flight has no passenger".to_owned() }),
            },
        }
    }

    /// Finds out where the answer comes from, and waits until it begins.
    async fn find(
        self: &Arc<Self>,
        core: &Arc<Core>,
        key: Key,
        call: &Call<'_>,
        waiting: &mut Option<(Waiter, CacheOutcome)>,
    ) -> Result<Source, CoordinatorError> {
        let (stream, include_usage) = (call.request.stream(), call.request.include_usage());
        let flight = FlightKey { key, stream, include_usage };
        let passenger = match self.join(&flight) {
            Some(waiter) => (waiter, CacheOutcome::Hit),
            None => {
                let begins = match self.look_up(&flight).await {
                    Found::Kept(kept) => return Ok(Source::Kept(kept)),
                    Found::Nothing => CacheOutcome::Miss,
                    Found::NoAnswer => CacheOutcome::Bypass,
                };
                self.join_or_begin(flight, Departure::new(core, call, begins))
            }
        };
        if passenger.1 == CacheOutcome::Miss {
            core.counters.cache_miss();
        }
        let began = Instant::now();
        let (waiter, _) = waiting.insert(passenger);
        let head = waiter.head().await?;
        Ok(Source::Shared(head, began.elapsed()))
    }

    async fn look_up(&self, flight: &FlightKey) -> Found {
        match tokio::time::timeout(STORE_PATIENCE, self.store.get(flight.key)).await {
            Ok(Ok(Some(stored))) => read(flight, &stored).map_or(Found::Nothing, Found::Kept),
            Ok(Ok(None)) => Found::Nothing,
            Ok(Err(error)) => {
                tracing::debug!(%error, "answered without the response cache");
                Found::NoAnswer
            }
            Err(_) => {
                tracing::debug!("the response cache is slow: answered without it");
                Found::NoAnswer
            }
        }
    }

    /// Keeps an answer, if it is one to be kept.
    async fn keep(&self, flight: &FlightKey, head: &Head, document: Bytes) {
        if document.len() > self.most() || head.spoken.is_some() {
            return;
        }
        match PlainAnswer::read(&document) {
            // Whether it can be replayed is found out now, not when it is wanted.
            Ok(Some(answer)) if answer.chunks(true).is_ok() && answer.usage().is_ok() => {}
            _ => return,
        }
        let entry = Entry {
            model: Arc::clone(&head.report.model),
            endpoint: Arc::clone(&head.report.endpoint),
            dropped: head.dropped.clone(),
            usage_asked: flight.asks_usage(),
            document,
        };
        let Some(value) = entry.encode(&flight.key) else { return };
        let keeping = self.store.put(flight.key, value, Duration::from_secs(self.config.ttl_s));
        match tokio::time::timeout(KEEP_PATIENCE, keeping).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "an answer was not kept"),
            Err(_) => tracing::debug!("the response cache is slow: an answer may not have been kept"),
        }
    }

    /// The most bytes of an answer.
    fn most(&self) -> usize {
        (self.config.max_entry_kb as usize) << 10
    }

    /// Waits, at most half a second, until what has been answered is kept.
    pub(crate) async fn close(&self) {
        self.keeping.close();
        // Later ones are not kept.
        let _kept_or_late = tokio::time::timeout(CLOSE_PATIENCE, self.keeping.wait()).await;
    }
}

/// Where an answer comes from.
enum Source {
    Kept(Kept),
    /// A flight that has begun to answer, and how long that was waited for.
    Shared(Arc<Head>, Duration),
}

/// What is stored, if it can be given to those who share this flight's key.
fn read(flight: &FlightKey, stored: &Bytes) -> Option<Kept> {
    let entry = Entry::decode(&flight.key, stored)?;
    // A stream that was not to be counted has no usage for those who want it.
    if flight.asks_usage() && !entry.usage_asked {
        return None;
    }
    let replay = match flight.stream {
        false => None,
        true => {
            let answer = PlainAnswer::read(&entry.document).ok()??;
            Some((answer.chunks(flight.include_usage).ok()?, answer.usage().ok()?))
        }
    };
    Some(Kept { entry, replay })
}

fn repeated(kept: Kept, call: &Call<'_>, guard: RequestGuard) -> Answer {
    let Kept { entry: Entry { model, endpoint, mut dropped, document, .. }, replay } = kept;
    dropped.extend_from_slice(call.request.dropped());
    let overhead = call.options.received.elapsed().saturating_sub(call.options.waited);
    guard.counters().cache_hit();
    guard.counters().overhead(overhead);
    let report = RoutingReport {
        request_id: Arc::clone(&call.plan.request_id),
        model,
        endpoint,
        cache: CacheOutcome::Hit,
        attempts: Vec::new(),
        overhead_us: micros(overhead),
        dropped,
        usage: None,
    };
    match replay {
        None => Answer::Complete { body: document, spoken: None, report },
        Some((chunks, usage)) => {
            Answer::Stream(ChatStream::replayed(Replay::new(chunks, usage, report, guard)))
        }
    }
}

fn shared(
    waiter: Waiter,
    head: &Head,
    outcome: CacheOutcome,
    waited: Duration,
    call: &Call<'_>,
    guard: RequestGuard,
) -> Answer {
    let began = outcome != CacheOutcome::Hit;
    let report = if began {
        RoutingReport { cache: outcome, ..head.report.clone() }
    } else {
        let overhead = call.options.received.elapsed().saturating_sub(waited + call.options.waited);
        guard.counters().cache_hit();
        guard.counters().overhead(overhead);
        let mut dropped = head.dropped.clone();
        if head.spoken.is_none() {
            dropped.extend_from_slice(call.request.dropped());
        }
        RoutingReport {
            request_id: Arc::clone(&call.plan.request_id),
            cache: CacheOutcome::Hit,
            attempts: Vec::new(),
            overhead_us: micros(overhead),
            dropped,
            ..head.report.clone()
        }
    };
    match &head.whole {
        Some(body) => Answer::Complete { body: body.clone(), spoken: head.spoken, report },
        None => {
            let deadline = call.options.deadline();
            Answer::Stream(ChatStream::followed(Followed::new(
                waiter,
                began,
                head.spoken,
                deadline,
                report,
                guard,
            )))
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
