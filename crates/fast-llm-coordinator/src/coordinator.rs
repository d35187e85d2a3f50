use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use llm_wire::openai::{ChatRequest, EmbeddingsRequest};
use parking_lot::Mutex;
use resilience::RetryBudget;
use route_plan::{EndpointHealth, ModelHealth, RoutePlan};
use tokio_util::task::TaskTracker;

use crate::admission::Admission;
use crate::answer::{Answer, answer};
use crate::attempt::{Established, Got};
use crate::cache::{Cache, Call, ResponseCache};
use crate::call::CallOptions;
use crate::config::{CoordinatorConfig, EndpointConfig, ModelConfig, Protocol};
use crate::dialect::Dialect;
use crate::endpoint::Endpoint;
use crate::error::CoordinatorError;
use crate::execution::Core;
use crate::journal::Journal;
use crate::meter::Bill;
use crate::place::Model;
use crate::question::Question;
use crate::select::Tried;
use crate::stats::{Counters, RequestGuard, Stats};
use crate::transport::{Connector, EngineDialer, client};

/// Repetitions beyond a fifth of the requests would turn an outage into a flood; ten a second keep a quiet gateway
/// able to repeat.
const RETRY_RATIO: f64 = 0.2;
const RETRY_PER_SECOND: f64 = 10.0;
/// A day: no answer takes longer, and the clock can always be moved on by it.
const LONGEST_TIMEOUT_MS: u64 = 86_400_000;

/// Asks language models: see the [crate documentation](crate).
pub struct Coordinator {
    core: Arc<Core>,
    cache: Option<Arc<Cache>>,
    /// As configured, for the lists that clients read.
    catalogue: Vec<ModelConfig>,
}

/// Whom a coordinator meets beside the endpoints.
#[derive(Default)]
pub struct Surroundings {
    /// Who leads to the local engine; without, there may be no `uat-engine` endpoint.
    pub engine: Option<Arc<dyn EngineDialer>>,
    /// Where answers are kept to be given again.
    pub cache: Option<ResponseCache>,
    /// Who has a say before endpoints are asked that need memory of GPUs.
    pub admission: Option<Arc<dyn Admission>>,
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
        Self::build(config, Surroundings { engine, ..Surroundings::default() }, None)
    }

    /// The same with whatever else it is to meet.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn among(config: CoordinatorConfig, around: Surroundings) -> Result<Self, CoordinatorError> {
        Self::build(config, around, None)
    }

    /// A coordinator for another configuration that takes the place of this one: endpoints that stay as they are keep
    /// what was learnt of them, their connections and their limits, and the counts go on. `same_engine`: `around` leads
    /// to the engine of this one.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn successor(
        &self,
        config: CoordinatorConfig,
        around: Surroundings,
        same_engine: bool,
    ) -> Result<Self, CoordinatorError> {
        Self::build(config, around, Some((&self.core, same_engine)))
    }

    fn build(
        config: CoordinatorConfig,
        around: Surroundings,
        former: Option<(&Core, bool)>,
    ) -> Result<Self, CoordinatorError> {
        let Surroundings { engine, cache, admission } = around;
        let cache = cache.and_then(|cache| Cache::new(cache, &config));
        let now = Instant::now();
        let mut by_name: HashMap<Arc<str>, Arc<Endpoint>> = HashMap::new();
        let mut endpoints = Vec::with_capacity(config.endpoints.len());
        for endpoint in config.endpoints {
            let name = Arc::clone(&endpoint.name);
            let kept = former.and_then(|(core, same_engine)| {
                let kept = core.endpoints.iter().find(|kept| kept.config == endpoint)?;
                (same_engine || endpoint.protocol != Protocol::UatEngine).then(|| Arc::clone(kept))
            });
            let endpoint = match kept {
                Some(kept) => kept,
                None => Arc::new(connected(endpoint, engine.as_ref(), now)?),
            };
            if by_name.insert(Arc::clone(&name), Arc::clone(&endpoint)).is_some() {
                return Err(invalid(format!(
                    "two endpoints are called `{name}`; each needs a name of its own"
                )));
            }
            endpoints.push(endpoint);
        }
        let mut models = HashMap::with_capacity(config.models.len());
        for model in &config.models {
            let known = former.and_then(|(core, _)| core.models.get(&model.name));
            if models.insert(Arc::clone(&model.name), Model::new(model, &by_name, known)?).is_some() {
                return Err(invalid(format!(
                    "two models are called `{}`; each needs a name of its own",
                    model.name
                )));
            }
        }
        let core = Core {
            endpoints,
            models,
            budget: Mutex::new(RetryBudget::new(RETRY_RATIO, RETRY_PER_SECOND, now)),
            counters: match former {
                Some((core, _)) => Arc::clone(&core.counters),
                None => Arc::new(Counters::new()),
            },
            admission,
            drains: TaskTracker::new(),
        };
        Ok(Self { core: Arc::new(core), cache, catalogue: config.models })
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

    /// How many tokens the conversation has, by an endpoint of the plan's first model that counts them; `None`: it has none that
    /// does (those with Anthropic's protocol do).
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub async fn count_tokens(
        &self,
        plan: &RoutePlan,
        request: &ChatRequest,
        options: CallOptions,
    ) -> Result<Option<u64>, CoordinatorError> {
        let first = plan.stages.first().and_then(|stage| stage.candidates.first());
        let model = self.core.model(first.map_or(request.model(), |candidate| &*candidate.model))?;
        let tried: Vec<Tried> = model
            .places
            .iter()
            .map(|place| match place.endpoint.config.protocol {
                Protocol::Anthropic | Protocol::UatEngine => Tried::NotYet,
                _ => Tried::Finished,
            })
            .collect();
        if tried.iter().all(|tried| *tried == Tried::Finished) {
            return Ok(None);
        }
        let mut journal = Journal::new(options.received, Bill::default());
        let asked = self.core.try_model(
            model,
            tried,
            &plan.request_id,
            Question::Count(request),
            &options,
            &mut journal,
        );
        let answered = match options.deadline() {
            None => asked.await,
            Some((at, after)) => match tokio::time::timeout_at(at.into(), asked).await {
                Ok(answered) => answered,
                Err(_) => {
                    return Err(CoordinatorError::DeadlineExceeded { after, attempts: journal.attempts });
                }
            },
        };
        match answered {
            Ok((_, Established { answer: Got::Complete { body, .. }, .. })) => {
                Ok(Some(llm_wire::anthropic::counted_tokens(&body)?))
            }
            Ok(_) => Ok(None),
            Err(failure) => Err(journal.failed(failure)),
        }
    }

    async fn answered(
        &self,
        plan: &RoutePlan,
        question: Question<'_>,
        options: CallOptions,
    ) -> Result<Answer, CoordinatorError> {
        let guard = RequestGuard::new(&self.core.counters);
        self.core.budget.lock().deposit(Instant::now());
        if let (Some(cache), Question::Chat(request)) = (&self.cache, question) {
            let call = Call { plan, request, options: &options };
            if let Some(key) = cache.key(&call) {
                return cache.answer(&self.core, key, call, guard).await;
            }
        }
        let mut journal = Journal::new(options.received, Bill::new(options.meter.as_ref()));
        journal.waited(options.waited);
        let counted = match question {
            Question::Chat(request) => options.counted(request),
            _ => None,
        };
        let question = counted.as_ref().map_or(question, Question::Chat);
        let executing = self.core.try_all(plan, question, &options, &mut journal);
        let result = match options.deadline() {
            None => executing.await,
            Some((at, after)) => match tokio::time::timeout_at(at.into(), executing).await {
                Ok(result) => result,
                Err(_) => {
                    Err(CoordinatorError::DeadlineExceeded { after, attempts: journal.attempts.clone() })
                }
            },
        };
        let answered = result.inspect_err(|_| self.core.counters.error())?;
        Ok(answer(&self.core, plan, question, answered, journal, guard, &options))
    }

    /// The models that can be asked for, as configured.
    pub fn models(&self) -> &[ModelConfig] {
        &self.catalogue
    }

    /// What the endpoint of this name speaks; `None`: there is none.
    pub fn protocol(&self, endpoint: &str) -> Option<Protocol> {
        let named = self.core.endpoints.iter().find(|known| **known.name() == *endpoint);
        named.map(|known| known.config.protocol)
    }

    /// What is known of each endpoint now.
    pub fn health(&self) -> Vec<EndpointHealth> {
        let (now, wall) = (Instant::now(), SystemTime::now());
        self.core.endpoints.iter().map(|endpoint| endpoint.health(now, wall)).collect()
    }

    /// What is known of each model now, in the order of [`models`](Self::models). Waits for nobody; some 100 ns for each endpoint
    /// of a model.
    pub fn model_health(&self) -> Vec<ModelHealth> {
        let now = Instant::now();
        let of = |model: &ModelConfig| self.core.models.get(&model.name).map(|model| model.health(now));
        self.catalogue.iter().map(|model| of(model).unwrap_or_default()).collect()
    }

    /// Counts since the start.
    pub fn stats(&self) -> Stats {
        self.core.counters.snapshot()
    }

    /// Waits, at most half a second each, until what has been answered is kept, and the last finished stream has handed
    /// its connection back.
    pub async fn close(&self) {
        if let Some(cache) = &self.cache {
            cache.close().await;
        }
        self.core.drains.close();
        self.core.drains.wait().await;
    }
}

impl std::fmt::Debug for Coordinator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Coordinator").field("models", &self.catalogue).finish_non_exhaustive()
    }
}

/// An endpoint and how it is reached.
fn connected(
    endpoint: EndpointConfig,
    engine: Option<&Arc<dyn EngineDialer>>,
    now: Instant,
) -> Result<Endpoint, CoordinatorError> {
    check_limits(&endpoint)?;
    let dialect = Dialect::new(&endpoint)?;
    let connector = match (endpoint.protocol, engine) {
        (Protocol::UatEngine, Some(dialer)) => Connector::Engine { dialer: Arc::clone(dialer) },
        (Protocol::UatEngine, None) => {
            return Err(invalid(format!(
                "endpoint `{}`: there is no local engine here; use another protocol",
                endpoint.name
            )));
        }
        _ => Connector::network(Duration::from_millis(endpoint.connect_timeout_ms), dialect.is_tls())?,
    };
    Ok(Endpoint::new(endpoint, dialect, client(connector), now))
}

fn check_limits(endpoint: &EndpointConfig) -> Result<(), CoordinatorError> {
    if endpoint.max_in_flight == Some(0) {
        return Err(invalid(format!(
            "endpoint `{}`: max_in_flight must be at least 1, got 0; leave it out for no limit",
            endpoint.name
        )));
    }
    let timeouts = [
        ("connect_timeout_ms", endpoint.connect_timeout_ms),
        ("first_token_timeout_ms", endpoint.first_token_timeout_ms),
        ("idle_timeout_ms", endpoint.idle_timeout_ms),
        ("total_timeout_ms", endpoint.total_timeout_ms),
        ("queue_timeout_ms", endpoint.queue_timeout_ms),
    ];
    match timeouts.into_iter().find(|(_, ms)| !(1..=LONGEST_TIMEOUT_MS).contains(ms)) {
        None => Ok(()),
        Some((key, ms)) => Err(invalid(format!(
            "endpoint `{}`: {key} must be from 1 to {LONGEST_TIMEOUT_MS} (a day), got {ms}",
            endpoint.name
        ))),
    }
}

fn invalid(message: String) -> CoordinatorError {
    CoordinatorError::Config { message }
}
