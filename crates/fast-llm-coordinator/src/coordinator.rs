use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use llm_wire::openai::{ChatRequest, EmbeddingsRequest};
use parking_lot::Mutex;
use resilience::{Backoff, RetryBudget};
use route_plan::{EndpointHealth, RoutePlan};
use tokio_util::task::TaskTracker;

use crate::attempt::{Asked, Established, attempt};
use crate::chat_stream::{ChatStream, StreamLimits};
use crate::config::{CoordinatorConfig, EndpointConfig, ModelConfig, Protocol};
use crate::dialect::Dialect;
use crate::endpoint::Endpoint;
use crate::error::{CoordinatorError, Failure};
use crate::journal::Journal;
use crate::question::Question;
use crate::report::{CacheOutcome, RoutingReport};
use crate::select::{Choice, Contender, Tried, Unavailable, choose};
use crate::stats::{Counters, RequestGuard, Stats};
use crate::transport::{Connector, EngineDialer, client};

/// Before an endpoint that failed a moment ago is asked again by the same request: long enough for a process to be
/// restarted or a listen queue to drain, short enough not to be noticed.
const AGAIN: Backoff = Backoff { base: Duration::from_millis(100), max: Duration::from_secs(1) };
/// Repetitions beyond a fifth of the requests would turn an outage into a flood; ten a second keep a quiet gateway
/// able to repeat.
const RETRY_RATIO: f64 = 0.2;
const RETRY_PER_SECOND: f64 = 10.0;
/// A day: no answer takes longer, and the clock can always be moved on by it.
const LONGEST_TIMEOUT_MS: u64 = 86_400_000;

/// Asks language models: see the [crate documentation](crate).
pub struct Coordinator {
    endpoints: Vec<Arc<Endpoint>>,
    models: HashMap<Arc<str>, Model>,
    /// As configured, for the lists that clients read.
    catalogue: Vec<ModelConfig>,
    budget: Mutex<RetryBudget>,
    counters: Arc<Counters>,
    /// Finished streams whose connections are being handed back.
    drains: TaskTracker,
}

struct Model {
    places: Vec<Place>,
}

/// A model at an endpoint.
struct Place {
    endpoint: Arc<Endpoint>,
    model: Arc<str>,
    weight: f64,
}

/// What a caller may say about one execution.
#[derive(Debug, Clone, Copy)]
pub struct CallOptions {
    /// For the whole request, all attempts and the stream included. `None`: only the endpoints' own limits.
    pub timeout: Option<Duration>,
    /// When the request arrived, so that the time before this call counts as overhead too.
    pub received: Instant,
}

impl Default for CallOptions {
    fn default() -> Self {
        Self { timeout: None, received: Instant::now() }
    }
}

impl CallOptions {
    /// When the request ends, and the time allowed until then; a time beyond the clock's range is no limit.
    fn deadline(&self) -> Option<(Instant, Duration)> {
        let after = self.timeout?;
        self.received.checked_add(after).map(|at| (at, after))
    }
}

/// A whole answer, or one that has begun; the request's `stream` decides which.
#[derive(Debug)]
pub enum Answer {
    /// OpenAI's `chat.completion` document, or its list of embeddings.
    Complete {
        /// The document's bytes, the endpoint's own where it speaks this dialect.
        body: Bytes,
        /// What happened.
        report: RoutingReport,
    },
    /// The first content is there.
    Stream(ChatStream),
}

impl Coordinator {
    /// Validates the configuration and prepares the clients; opens no connection.
    ///
    /// # Errors
    /// [`CoordinatorError::Config`] for a duplicate or unknown name, a bad URL, a key that cannot be read, a
    /// `uat-engine` endpoint without an `engine`.
    pub fn new(
        config: CoordinatorConfig,
        engine: Option<Arc<dyn EngineDialer>>,
    ) -> Result<Self, CoordinatorError> {
        let now = Instant::now();
        let mut by_name: HashMap<Arc<str>, Arc<Endpoint>> = HashMap::new();
        let mut endpoints = Vec::with_capacity(config.endpoints.len());
        for endpoint in config.endpoints {
            let name = Arc::clone(&endpoint.name);
            check_timeouts(&endpoint)?;
            let dialect = Dialect::new(&endpoint)?;
            let connector = match (endpoint.protocol, &engine) {
                (Protocol::UatEngine, Some(dialer)) => Connector::Engine { dialer: Arc::clone(dialer) },
                (Protocol::UatEngine, None) => {
                    return Err(invalid(format!(
                        "endpoint `{name}`: there is no local engine here; use another protocol"
                    )));
                }
                _ => {
                    Connector::network(Duration::from_millis(endpoint.connect_timeout_ms), dialect.is_tls())?
                }
            };
            let endpoint = Arc::new(Endpoint::new(endpoint, dialect, client(connector), now));
            if by_name.insert(Arc::clone(&name), Arc::clone(&endpoint)).is_some() {
                return Err(invalid(format!(
                    "two endpoints are called `{name}`; each needs a name of its own"
                )));
            }
            endpoints.push(endpoint);
        }
        let mut models = HashMap::with_capacity(config.models.len());
        for model in &config.models {
            let places = places(model, &by_name)?;
            if models.insert(Arc::clone(&model.name), Model { places }).is_some() {
                return Err(invalid(format!(
                    "two models are called `{}`; each needs a name of its own",
                    model.name
                )));
            }
        }
        Ok(Self {
            endpoints,
            models,
            catalogue: config.models,
            budget: Mutex::new(RetryBudget::new(RETRY_RATIO, RETRY_PER_SECOND, now)),
            counters: Arc::new(Counters::new()),
            drains: TaskTracker::new(),
        })
    }

    /// Carries out `plan` for `request`. Dropping the returned future, or the stream in the answer, closes the
    /// connection to the endpoint at once.
    ///
    /// # Errors
    /// See [`CoordinatorError`]. An error that the request itself is the reason of (a prompt that is too long, say)
    /// comes from the first endpoint that says so; otherwise all endpoints were tried.
    pub async fn execute(
        &self,
        plan: &RoutePlan,
        request: &ChatRequest,
        options: CallOptions,
    ) -> Result<Answer, CoordinatorError> {
        self.answered(plan, Question::Chat(request), options).await
    }

    /// The same for a request for embeddings, whose answer is always [`Answer::Complete`]: a list with one vector for
    /// each input, written as the request asks, whatever the endpoint's dialect.
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub async fn embed(
        &self,
        plan: &RoutePlan,
        request: &EmbeddingsRequest,
        options: CallOptions,
    ) -> Result<Answer, CoordinatorError> {
        self.answered(plan, Question::Embeddings(request), options).await
    }

    async fn answered(
        &self,
        plan: &RoutePlan,
        question: Question<'_>,
        options: CallOptions,
    ) -> Result<Answer, CoordinatorError> {
        let guard = RequestGuard::new(&self.counters);
        self.budget.lock().deposit(Instant::now());
        let mut journal = Journal::new(options.received);
        let executing = self.try_all(plan, question, options, &mut journal);
        let result = match options.deadline() {
            None => executing.await,
            Some((at, after)) => match tokio::time::timeout_at(at.into(), executing).await {
                Ok(result) => result,
                Err(_) => {
                    Err(CoordinatorError::DeadlineExceeded { after, attempts: journal.attempts.clone() })
                }
            },
        };
        let answered = result.inspect_err(|_| self.counters.error())?;
        Ok(self.answer(plan, answered, journal, guard, options))
    }

    /// The models that can be asked for, as configured.
    pub fn models(&self) -> &[ModelConfig] {
        &self.catalogue
    }

    /// What is known of each endpoint now.
    pub fn health(&self) -> Vec<EndpointHealth> {
        let now = Instant::now();
        self.endpoints.iter().map(|endpoint| endpoint.health(now)).collect()
    }

    /// Counts since the start.
    pub fn stats(&self) -> Stats {
        self.counters.snapshot()
    }

    /// Waits, at most half a second, until the last finished stream has handed its connection back.
    pub async fn close(&self) {
        self.drains.close();
        self.drains.wait().await;
    }

    async fn try_all(
        &self,
        plan: &RoutePlan,
        question: Question<'_>,
        options: CallOptions,
        journal: &mut Journal,
    ) -> Result<Answered, CoordinatorError> {
        let mut last = None;
        for candidate in plan.stages.iter().flat_map(|stage| &stage.candidates) {
            let model =
                self.models.get(&candidate.model).ok_or_else(|| self.unknown_model(&candidate.model))?;
            match self.try_model(model, plan, question, options, journal).await {
                Ok((place, established)) => {
                    return Ok(Answered {
                        model: Arc::clone(&candidate.model),
                        endpoint: Arc::clone(&place.endpoint),
                        established,
                    });
                }
                Err(failure) if failure.is_final => return Err(journal.failed(failure)),
                Err(failure) => last = Some(failure),
            }
        }
        match last {
            Some(failure) => Err(journal.failed(failure)),
            None => Err(invalid("the plan has no candidate; expected at least one model".to_owned())),
        }
    }

    /// Asks the endpoints of one model until one answers or none is left.
    async fn try_model<'a>(
        &self,
        model: &'a Model,
        plan: &RoutePlan,
        question: Question<'_>,
        options: CallOptions,
        journal: &mut Journal,
    ) -> Result<(&'a Place, Established), Failure> {
        let tokens = question.estimated_tokens();
        let mut rng = fastrand::Rng::new();
        let mut tried = vec![Tried::NotYet; model.places.len()];
        let mut last: Option<Failure> = None;
        loop {
            let now = Instant::now();
            let contenders: Vec<Contender> = model
                .places
                .iter()
                .zip(&tried)
                .map(|(place, &tried)| Contender {
                    availability: place.endpoint.availability(now),
                    cost: place.endpoint.cost(tokens, place.weight, now),
                    tried,
                })
                .collect();
            let (index, again) = match choose(&contenders, &mut rng, now) {
                Choice::Ask(index) => (index, false),
                Choice::AskAgain(index) => (index, true),
                Choice::Nobody(why) => return Err(last.unwrap_or_else(|| nobody(model, why))),
            };
            if !journal.attempts.is_empty() {
                let refused = !self.budget.lock().try_withdraw(now);
                if let (true, Some(failure)) = (refused, last.take()) {
                    tracing::warn!("retry budget used up: the failure is passed on");
                    return Err(failure);
                }
                self.counters.failover();
            }
            if again {
                tokio::time::sleep(AGAIN.delay(0, &mut rng)).await;
            }
            let place = &model.places[index];
            let others = contenders.iter().enumerate().any(|(i, c)| i != index && c.tried == Tried::NotYet);
            let in_flight = place.endpoint.begin(tokens, Instant::now());
            let begun = in_flight.started();
            let patience = patience(place, question.stream(), others);
            let asked = Asked {
                question,
                model: &place.model,
                request_id: &plan.request_id,
                patience,
                time_left: time_left(place, question.stream(), patience, options.deadline(), begun),
            };
            let result = attempt(in_flight, asked, &self.drains).await;
            journal.note(place.endpoint.name(), &place.model, begun, &result);
            match result {
                Ok(established) => return Ok((place, established)),
                Err(failed) => {
                    tried[index] = match tried[index] {
                        Tried::NotYet if failed.is_brief() => Tried::FailedBriefly,
                        _ => Tried::Finished,
                    };
                    if failed.failure.is_final {
                        return Err(failed.failure);
                    }
                    last = Some(failed.failure);
                }
            }
        }
    }

    fn answer(
        &self,
        plan: &RoutePlan,
        answered: Answered,
        journal: Journal,
        guard: RequestGuard,
        options: CallOptions,
    ) -> Answer {
        let overhead = journal.overhead(Instant::now());
        self.counters.overhead(overhead);
        let report = RoutingReport {
            request_id: Arc::clone(&plan.request_id),
            model: answered.model,
            endpoint: Arc::clone(&answered.endpoint.config.name),
            cache: CacheOutcome::Bypass,
            attempts: journal.attempts,
            overhead_us: u64::try_from(overhead.as_micros()).unwrap_or(u64::MAX),
        };
        match answered.established {
            Established::Complete { body, usage, in_flight } => {
                drop(in_flight);
                if let Some(usage) = &usage {
                    self.counters.usage(usage);
                }
                Answer::Complete { body, report }
            }
            Established::Streaming { preamble, upstream } => {
                let config = &answered.endpoint.config;
                let limits = StreamLimits {
                    idle: Duration::from_millis(config.idle_timeout_ms),
                    attempt_ends: upstream.in_flight().started()
                        + Duration::from_millis(config.total_timeout_ms),
                    request_ends: options.deadline(),
                };
                Answer::Stream(ChatStream::new(preamble, upstream, guard, report, limits))
            }
        }
    }

    fn unknown_model(&self, asked: &str) -> CoordinatorError {
        let mut near: Vec<(f64, &Arc<str>)> =
            self.models.keys().map(|name| (strsim::jaro_winkler(asked, name), name)).collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
        // Below 0.7 Jaro-Winkler finds likeness in any two words.
        let nearest =
            near.iter().filter(|(likeness, _)| *likeness >= 0.7).take(3).map(|(_, name)| Arc::clone(name));
        CoordinatorError::ModelNotFound { model: asked.to_owned(), nearest: nearest.collect() }
    }
}

impl std::fmt::Debug for Coordinator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Coordinator").field("models", &self.catalogue).finish_non_exhaustive()
    }
}

/// Who answered, and how far the answer is.
struct Answered {
    model: Arc<str>,
    endpoint: Arc<Endpoint>,
    established: Established,
}

fn check_timeouts(endpoint: &EndpointConfig) -> Result<(), CoordinatorError> {
    let timeouts = [
        ("connect_timeout_ms", endpoint.connect_timeout_ms),
        ("first_token_timeout_ms", endpoint.first_token_timeout_ms),
        ("idle_timeout_ms", endpoint.idle_timeout_ms),
        ("total_timeout_ms", endpoint.total_timeout_ms),
    ];
    match timeouts.into_iter().find(|(_, ms)| !(1..=LONGEST_TIMEOUT_MS).contains(ms)) {
        None => Ok(()),
        Some((key, ms)) => Err(invalid(format!(
            "endpoint `{}`: {key} must be from 1 to {LONGEST_TIMEOUT_MS} (a day), got {ms}",
            endpoint.name
        ))),
    }
}

fn places(
    model: &ModelConfig,
    endpoints: &HashMap<Arc<str>, Arc<Endpoint>>,
) -> Result<Vec<Place>, CoordinatorError> {
    if model.endpoints.is_empty() {
        return Err(invalid(format!("model `{}` has no endpoints; name at least one", model.name)));
    }
    let place = |at: &crate::config::ModelEndpoint| {
        let endpoint = endpoints.get(&at.endpoint).ok_or_else(|| {
            invalid(format!(
                "model `{}` names the endpoint `{}`, which does not exist",
                model.name, at.endpoint
            ))
        })?;
        if !(at.weight.is_finite() && at.weight > 0.0) {
            return Err(invalid(format!(
                "model `{}`, endpoint `{}`: weight must be a number above 0, got {}",
                model.name, at.endpoint, at.weight
            )));
        }
        Ok(Place {
            endpoint: Arc::clone(endpoint),
            model: Arc::clone(at.model.as_ref().unwrap_or(&model.name)),
            weight: at.weight,
        })
    };
    model.endpoints.iter().map(place).collect()
}

/// How long an attempt may take until its first content.
///
/// An answer that is not streamed shows nothing until it is whole. With another endpoint to go to, one that stays
/// silent for as long as a stream may is left; the last one gets all the time there is.
fn patience(place: &Place, stream: bool, others: bool) -> Duration {
    let config = &place.endpoint.config;
    Duration::from_millis(if stream || others {
        config.first_token_timeout_ms.min(config.total_timeout_ms)
    } else {
        config.total_timeout_ms
    })
}

/// For how long somebody waits for an attempt that begins `now`: its own limit or the request's, whichever is sooner.
fn time_left(
    place: &Place,
    stream: bool,
    patience: Duration,
    deadline: Option<(Instant, Duration)>,
    now: Instant,
) -> Duration {
    let own = match stream {
        true => Duration::from_millis(place.endpoint.config.total_timeout_ms),
        false => patience,
    };
    deadline.map_or(own, |(at, _)| own.min(at.saturating_duration_since(now)))
}

/// The failure of a request that nobody could be asked to answer.
fn nobody(model: &Model, why: Unavailable) -> Failure {
    let names: Vec<&str> = model.places.iter().map(|place| &*place.endpoint.config.name).collect();
    let (code, retry_after, message) = match why {
        Unavailable::CoolingDown(pause) => {
            ("UAT_RATE_LIMITED", Some(pause), format!("asked for a pause, {} ms are left", pause.as_millis()))
        }
        Unavailable::Full => (
            "UAT_OVERLOADED",
            Some(Duration::from_secs(1)),
            "at max_in_flight; come back in a moment".to_owned(),
        ),
        Unavailable::Quarantined => (
            "UAT_UNAUTHORIZED",
            None,
            "refused our API key a moment ago; check api_key_env or api_key_file".to_owned(),
        ),
        Unavailable::AllTried => ("UAT_UPSTREAM", None, "failed".to_owned()),
    };
    Failure {
        code,
        endpoint: model.places.first().map_or_else(|| Arc::from(""), |p| Arc::clone(&p.endpoint.config.name)),
        status: None,
        message: format!("endpoint `{}`: {message}", names.join("`, `")),
        retryable: code != "UAT_UNAUTHORIZED",
        is_final: false,
        retry_after,
        upstream: None,
    }
}

fn invalid(message: String) -> CoordinatorError {
    CoordinatorError::Config { message }
}
