//! Configuration in, wired services out: the one place where the services meet.
//!
//! ```no_run
//! use llm_wire::openai::ChatRequest;
//! use runtime::{Answer, ChatOptions, ConfigSource, Runtime, UatConfig, process_environment};
//!
//! # async fn example() -> Result<(), runtime::RuntimeError> {
//! let loaded = UatConfig::load(ConfigSource::Default, process_environment())?;
//! let runtime = Runtime::new(loaded.config, Vec::new())?;
//! let body = br#"{"model":"smollm2-135m","messages":[{"role":"user","content":"Why is the sky blue?"}]}"#;
//! let request = ChatRequest::parse(body.as_slice().into())?;
//! if let Answer::Complete { body, report, .. } = runtime.chat(request, ChatOptions::default()).await? {
//!     println!("{} answered: {}", report.endpoint, String::from_utf8_lossy(&body));
//! }
//! runtime.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! # What it deliberately does not know
//! HTTP routes, JavaScript and the terminal: those are the crates above, and they meet the services only through
//! here.

mod accounts;
mod callers;
mod config;
mod context;
mod discovery;
mod embedding;
mod engine;
mod errors;
mod exchange;
mod gpu;
mod inspect;
mod late_redis;
mod ledger;
mod nearest;
mod parameters;
mod redis;
mod reload;
mod request_id;
mod responses;
mod routing;
mod tuning;
mod voice;
mod wiring;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use fast_llm_coordinator::CallOptions;
use llm_router::Target;
use llm_wire::WireError;
use llm_wire::openai::{ChatRequest, EmbeddingsRequest, Usage};
use route_plan::RoutePlan;
use tokio::sync::OnceCell;
use vision_resource_manager::host::{Host, HostView};

/// Keys, limits and budgets: [`Key`], its configuration, the file of keys, what was used.
pub use access;
pub use access::Key;
pub use access::Standing;
pub use accounts::read_usage;
/// By what a cascade's first answer is judged.
pub use answer_check;
pub use callers::Standings;
pub use child_engine::Engine;
pub use config::{
    ConfigError, ConfigErrors, ConfigSource, ContextConfig, ContextKind, ContextProviderConfig, EngineConfig,
    GpuConfig, KvType, LimitsConfig, Loaded, Location, ParametersConfig, ServerConfig, Setting,
    TelemetryConfig, UatConfig, VoiceConfig, WebRtcConfig, config_schema, parse_bind, process_environment,
};
pub use context::{ContextAsk, ContextReport, Document, Missing};
/// What is chosen of what could be added to a request, and why the rest is not.
pub use context_pack;
pub use discovery::{Neighbour, Neighbours, look_for};
pub use embedding::{EMBEDDING_MODEL, open_embedder};
pub use errors::{ErrorRow, HttpError, RuntimeError, TABLE, error_body, row_of};
pub use fast_llm_coordinator::{
    Answer, Attempt, CacheOutcome, CachePreference, ChatStream, CoordinatorError, Outcome, Protocol,
    RoutingReport, Stats, Trace, TraceContext,
};
/// What a model's file says, as [`FileDescription`] has it.
pub use gguf;
pub use gpu::{estimate_memory, gpu_socket, learn_memory, project_memory};
/// What the machine's GPUs say, for those who look.
pub use gpu_driver;
pub use inspect::{FileDescription, LoadedModel, ModelDescription};
pub use ledger::RedisLedger;
/// The router: decisions and their records.
pub use llm_router;
/// What a model takes, told from its header.
pub use memory_estimate;
pub use nearest::{nearest, nearest_few};
/// Studies and bandits: what they are made from, their errors.
pub use parameter_analytics_service;
pub use parameters::{Parameters, ParametersPlace};
pub use redis::{RedisAnswer, ask_redis, open_redis};
/// The cache: its options, its values, its errors.
pub use redis_service;
pub use reload::Reloads;
pub use route_plan::{EndpointHealth, EndpointState, StateChange};
pub use routing::{CascadeAsk, DecisionSlot, Predicate, RouteAsk, Routed, RoutedModel, read_feedback};
/// How what happened is told to others: traces, and the access log.
pub use telemetry;
pub use tuning::{Tuned, TuningSlot};
/// Memory of GPUs: leases, the daemon and its client, replays of recorded days.
pub use vision_resource_manager;
pub use voice::{
    Port, PortError, RemoteTranscriber, Speaker, StopOnDrop, VoiceService, Voices, Words, event_json,
    open_voice, segment_json,
};
/// What was said, when: its options, its results, its errors.
pub use voice_processing;
/// What browsers send over WebRTC: peers at one port, their sound on one clock.
pub use webrtc_audio;
pub use wiring::{ModelFile, ModelInfo};

use callers::{Callers, Size};
use gpu::Gate;
use request_id::RequestIds;
use routing::Feedback;
use tuning::Outcomes;
use wiring::Wiring;

/// The product's core: everything behind the HTTP server, the terminal and the Node classes.
pub struct Runtime {
    neighbours: Neighbours,
    engine_search: Vec<PathBuf>,
    /// Swapped whole, so that a request sees one configuration from beginning to end.
    wiring: ArcSwap<Wiring>,
    /// Held while the wiring is exchanged.
    exchanging: tokio::sync::Mutex<()>,
    reloads: reload::Counts,
    discovered: OnceCell<()>,
    /// Who may ask.
    callers: Callers,
    /// What is learnt of how good answers are.
    feedback: Feedback,
    /// Opened when it is first asked for.
    parameters: OnceCell<Arc<Parameters>>,
    /// Made when they are first asked for.
    voices: OnceCell<Arc<Voices>>,
    /// What came of calls that were given parameters.
    outcomes: Outcomes,
    request_ids: RequestIds,
    /// Who of the endpoints that need memory of GPUs may be asked.
    gate: Arc<Gate>,
    /// Seconds since 1970: what the lists of models give as their creation.
    started: u64,
    closed: AtomicBool,
}

/// What a caller may add to a request.
#[derive(Debug, Clone)]
pub struct ChatOptions {
    /// The id under which the request is reported; absent: one is made.
    pub request_id: Option<Arc<str>>,
    /// For the whole answer; absent: the endpoint's own limits.
    pub timeout: Option<Duration>,
    /// When the request arrived: our own share of its time counts from here.
    pub received: Instant,
    /// Whether the response cache may answer.
    pub cache: CachePreference,
    /// Who asks, where several share this runtime: cached answers are for the same tenant only.
    pub tenant: Option<Arc<str>>,
    /// Whose limits count; `None`: none.
    pub caller: Option<Arc<Key>>,
    /// The trace that the request belongs to; endpoints are told of it.
    pub trace: Option<Trace>,
    /// What is wanted of whoever answers, where the router chooses.
    pub route: Option<Box<RouteAsk>>,
    /// What is wanted beside the request's own messages, where the router chooses.
    pub context: Option<Box<ContextAsk>>,
    /// Where the router's decision is put, before anybody is asked.
    pub decision: Option<DecisionSlot>,
    /// Where it is put with which parameters the request is asked, if the model's are ours to choose.
    pub tuning: Option<TuningSlot>,
}

impl Default for ChatOptions {
    fn default() -> Self {
        Self {
            request_id: None,
            timeout: None,
            received: Instant::now(),
            cache: CachePreference::default(),
            tenant: None,
            caller: None,
            trace: None,
            route: None,
            context: None,
            decision: None,
            tuning: None,
        }
    }
}

/// The length of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenCount {
    /// Tokens of the prompt.
    pub tokens: u64,
    /// Nobody counted: there are not more than this.
    pub is_estimate: bool,
}

impl Runtime {
    /// Checks the configuration and wires the services. Starts nothing and touches no network; reads key files.
    ///
    /// `engine_search` are folders in which the engine may lie besides the usual places.
    ///
    /// # Errors
    /// `UAT_CONFIG` with everything that is wrong.
    pub fn new(config: UatConfig, engine_search: Vec<PathBuf>) -> Result<Arc<Self>, RuntimeError> {
        Self::with_neighbours(config, engine_search, Neighbours::default())
    }

    /// The same, looking for other local servers elsewhere than at their usual ports.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_neighbours(
        config: UatConfig,
        engine_search: Vec<PathBuf>,
        neighbours: Neighbours,
    ) -> Result<Arc<Self>, RuntimeError> {
        let gate = Gate::new();
        let wiring = Wiring::new(config, &engine_search, &[], &gate, None)?;
        let callers = Callers::new(&wiring.config)?;
        wiring.counts(&gate);
        Ok(Arc::new(Self {
            neighbours,
            engine_search,
            wiring: ArcSwap::from_pointee(wiring),
            exchanging: tokio::sync::Mutex::new(()),
            reloads: reload::Counts::starting(),
            discovered: OnceCell::new(),
            callers,
            feedback: Feedback::default(),
            parameters: OnceCell::new(),
            voices: OnceCell::new(),
            gate,
            outcomes: Outcomes::default(),
            request_ids: RequestIds::new(fastrand::u64(..)),
            started: since_1970().as_secs(),
            closed: AtomicBool::new(false),
        }))
    }

    /// What the first call needs: without endpoints and models in the configuration, looks for other local servers.
    /// Every call after the first returns at once; [`chat`](Self::chat) calls it.
    ///
    /// # Errors
    /// `UAT_CLOSED`; `UAT_CONFIG` if what was found cannot be wired.
    pub async fn ready(&self) -> Result<(), RuntimeError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(RuntimeError::Closed);
        }
        if self.discovered.initialized() {
            return Ok(());
        }
        // Boxed, because it happens once and every request would have the room for it.
        Box::pin(self.discovered.get_or_try_init(|| self.discover())).await.copied()
    }

    async fn discover(&self) -> Result<(), RuntimeError> {
        let _exchanging = self.exchanging.lock().await;
        let wiring = self.wiring.load_full();
        if let Some(path) = &wiring.config.routing.feedback_file {
            self.feedback.keep_in(path.clone()).await?;
        }
        let found = self.found_beside(&wiring.config).await;
        if !found.is_empty() {
            let next =
                Wiring::new(wiring.config.clone(), &self.engine_search, &found, &self.gate, Some(&wiring))?;
            next.counts(&self.gate);
            self.wiring.store(Arc::new(next));
        }
        Ok(())
    }

    /// The other local servers, where the configuration leaves it to us who answers.
    async fn found_beside(&self, config: &UatConfig) -> Vec<Neighbour> {
        match wiring::is_unconfigured(config) {
            true => look_for(&self.neighbours).await,
            false => Vec::new(),
        }
    }

    /// Whether callers need a key.
    pub fn asks_for_keys(&self) -> bool {
        self.wiring.load().config.asks_for_keys()
    }

    /// Whose key is among these, which a request presented.
    ///
    /// # Errors
    /// `UAT_UNAUTHORIZED`: none was presented, or none that is valid now.
    pub fn authenticate<'a>(
        &self,
        presented: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Arc<Key>, RuntimeError> {
        self.callers.authenticate(presented)
    }

    /// Reads `server.keys_file` again: keys that went are revoked at once, and what they began ends.
    ///
    /// # Errors
    /// `UAT_CONFIG` if the file is wrong, and nothing has changed.
    pub async fn reload_keys(&self) -> Result<(), RuntimeError> {
        let _exchanging = self.exchanging.lock().await;
        let config = Arc::clone(&self.wiring.load().config);
        let keyring = self.callers.successor(&config)?;
        self.callers.exchange(keyring);
        Ok(())
    }

    /// What a server needs before it lets anybody in: reads `server.keys_file`, opens what keys have spent, and goes on with the feedback
    /// that was kept. One process has a state directory at a time, if callers need keys.
    ///
    /// # Errors
    /// `UAT_CONFLICT` where another process has it, `UAT_STORAGE`, `UAT_CONFIG` if the file of keys is wrong.
    pub async fn open_state(&self) -> Result<(), RuntimeError> {
        self.callers.serve();
        self.reload_keys().await?;
        let config = Arc::clone(&self.wiring.load().config);
        if config.asks_for_keys() {
            self.callers.accounts(&config).await?;
        }
        match config.feedback_file() {
            Some(path) => self.feedback.keep_in(path).await,
            None => Ok(()),
        }
    }

    /// How a key stands in its limits of a minute; nothing is known before it has asked for something.
    pub fn standings(&self, key: &Key) -> Standings {
        self.callers.standings(key)
    }

    /// What share of its budget of the day each key has spent or reserved, 0 to 1, of those that have one and have asked.
    pub fn budgets_used(&self) -> Vec<(Arc<str>, f64)> {
        self.callers.budgets_used()
    }

    /// Why limits cannot be counted at present, if they cannot.
    pub fn limits_outage(&self) -> Option<Arc<str>> {
        self.callers.opened()?.allowances.outage()
    }

    /// Answers a chat request. Its model is a public name, or `auto` or `tier:NAME` for the router to choose. Resolves when the whole answer is there or, for a stream, its first content; dropping
    /// the future or the stream closes the connection to whoever was asked.
    ///
    /// # Errors
    /// [`RuntimeError`] by its code: `UAT_MODEL_NOT_FOUND` (unknown, or its file is not pulled),
    /// `UAT_INVALID_INPUT`, `UAT_CONTEXT_LENGTH_EXCEEDED`, `UAT_UPSTREAM`, `UAT_ALL_ENDPOINTS_FAILED`,
    /// `UAT_TIMEOUT`, `UAT_ENGINE_UNAVAILABLE`, `UAT_NO_CANDIDATE`, `UAT_CLOSED`.
    pub async fn chat(&self, request: ChatRequest, options: ChatOptions) -> Result<Answer, RuntimeError> {
        if let Some(target) = Target::parse(request.model()) {
            return Box::pin(self.chat_routed(target, request, options)).await;
        }
        let size = |limit| Size::of_chat(&request, limit);
        let slot = options.tuning.clone();
        let (wiring, plan, call) = self.begin(request.model(), options, size).await?;
        let request = self.with_parameters(&wiring, &plan, request, None, slot).await;
        Ok(wiring.coordinator.execute(&plan, &request, call).await?)
    }

    /// Answers a request for embeddings; the answer is always [`Answer::Complete`]. Otherwise as [`chat`](Self::chat).
    ///
    /// # Errors
    /// As [`chat`](Self::chat).
    pub async fn embed(
        &self,
        request: EmbeddingsRequest,
        options: ChatOptions,
    ) -> Result<Answer, RuntimeError> {
        if Target::is_target(request.model()) {
            let expected = "the name of a model: vectors of different models cannot be compared".to_owned();
            let (field, got) = ("model".to_owned(), request.model().to_owned());
            return Err(RuntimeError::Input(WireError::Invalid { field, expected, got }));
        }
        let size = |_| Size::of_embeddings(&request);
        let (wiring, plan, call) = self.begin(request.model(), options, size).await?;
        Ok(wiring.coordinator.embed(&plan, &request, call).await?)
    }

    /// How many tokens a conversation has: counted by an Anthropic endpoint of the model, or by the local engine; an upper
    /// estimate where neither serves it.
    ///
    /// # Errors
    /// As [`chat`](Self::chat).
    pub async fn count_tokens(
        &self,
        request: &ChatRequest,
        options: ChatOptions,
    ) -> Result<TokenCount, RuntimeError> {
        // Nobody bills it, but it is a request.
        let (wiring, plan, call) = match Target::parse(request.model()) {
            None => self.begin(request.model(), options, |_| Size::NOTHING).await?,
            Some(target) => {
                Box::pin(self.begin_routed(target, request, options, |_, _| Size::NOTHING)).await?
            }
        };
        let call = CallOptions { meter: None, ..call };
        let counted = wiring.coordinator.count_tokens(&plan, request, call).await?;
        if let Some(tokens) = counted {
            return Ok(TokenCount { tokens, is_estimate: false });
        }
        Ok(TokenCount { tokens: request.most_prompt_tokens(), is_estimate: true })
    }

    /// What every request needs: the services as they are wired now, and what is to be carried out, within the limits of
    /// whoever asks. `size` says what the request can take, given the model's longest answer.
    async fn begin(
        &self,
        model: &str,
        options: ChatOptions,
        size: impl FnOnce(Option<u64>) -> Size,
    ) -> Result<(Arc<Wiring>, RoutePlan, CallOptions), RuntimeError> {
        self.ready().await?;
        let wiring = self.wiring.load_full();
        let ChatOptions {
            request_id, timeout, received, cache, tenant, caller, trace, route, context, ..
        } = options;
        if route.is_some() || context.is_some() {
            return Err(routing::not_routed(model, route.is_some()));
        }
        let request_id = request_id.unwrap_or_else(|| self.request_ids.make());
        let meter = match &caller {
            None => None,
            Some(key) => {
                let cost = wiring.cost_of(model, key)?;
                let accounts = self.callers.accounts(&wiring.config).await?;
                let size = size(cost.max_output_tokens);
                Some(callers::admit(&accounts.allowances, key, model, size, cost.price).await?)
            }
        };
        wiring.require_file(model)?;
        let tenant = tenant.or_else(|| caller.map(|key| Arc::clone(key.name())));
        let call = CallOptions { timeout, received, cache, tenant, meter, trace, waited: Duration::ZERO };
        Ok((wiring, RoutePlan::single(request_id, model), call))
    }

    /// A fresh id for a request.
    pub fn new_request_id(&self) -> Arc<str> {
        self.request_ids.make()
    }

    /// The models that can be asked for; before [`ready`](Self::ready), without those of other local servers.
    pub fn models(&self) -> Vec<ModelInfo> {
        self.models_for(None)
    }

    /// Those of them that this caller may ask for.
    pub fn models_for(&self, caller: Option<&Key>) -> Vec<ModelInfo> {
        let mut models = self.wiring.load().models(self.started);
        if let Some(key) = caller {
            models.retain(|model| key.may_use(&model.name));
        }
        models
    }

    /// What a model is: as it is configured, and from the header of its file if only the local engine serves it. One that
    /// the caller may not use is unknown to it.
    ///
    /// # Errors
    /// `UAT_MODEL_NOT_FOUND` (unknown, or its file is not pulled), `UAT_CORRUPT_VALUE`, `UAT_STORAGE`, `UAT_CLOSED`.
    pub async fn describe(
        &self,
        model: &str,
        caller: Option<&Key>,
    ) -> Result<ModelDescription, RuntimeError> {
        self.ready().await?;
        let wiring = self.wiring.load_full();
        let models = self.models_for(caller);
        let Some(info) = models.iter().find(|info| *info.name == *model).cloned() else {
            return Err(wiring::unknown_model(model, models.iter().map(|info| &*info.name)));
        };
        let file = match wiring.engine_source(model) {
            Some(source) => Some(blocking(move || inspect::describe_file(&source)).await??),
            None => None,
        };
        Ok(ModelDescription { info, file })
    }

    /// The models that the local engine has in memory now; none where it does not run, for it is not started.
    ///
    /// # Errors
    /// `UAT_ENGINE_UNAVAILABLE` if it runs and cannot be asked, `UAT_CLOSED`.
    pub async fn in_memory(&self) -> Result<Vec<LoadedModel>, RuntimeError> {
        self.ready().await?;
        let wiring = self.wiring.load_full();
        let Some(engine) = &wiring.engine else { return Ok(Vec::new()) };
        let entries = inspect::engine_models(engine).await?;
        let infos = wiring.models(self.started);
        let mut models = Vec::with_capacity(entries.len());
        for inspect::Entry { name: source, memory_bytes, context_tokens, expires_ms } in entries {
            let name = wiring.public_name(&source);
            let file = infos.iter().find(|info| *info.name == *name).and_then(|info| info.file.as_ref());
            let sha256 = file.map(|file| file.sha256.clone());
            // It is in memory whatever has become of its file since.
            let header =
                blocking(move || inspect::describe_file(&source)).await?.ok().map(|file| file.header);
            models.push(LoadedModel { name, memory_bytes, context_tokens, expires_ms, sha256, header });
        }
        Ok(models)
    }

    /// Why the local engine could not answer as `model`, if its file is not there; the sentence says how to get it.
    pub fn missing_file(&self, model: &str) -> Option<RuntimeError> {
        self.wiring.load().require_file(model).err()
    }

    /// Whether a model of this name can be asked for.
    pub fn has_model(&self, name: &str) -> bool {
        self.wiring.load().coordinator.models().iter().any(|model| *model.name == *name)
    }

    /// Studies, bandits and what is known of models' parameters.
    ///
    /// # Errors
    /// `UAT_CLOSED`; `UAT_INTERNAL`: a thread cannot be started.
    pub async fn parameters(&self) -> Result<&Arc<Parameters>, RuntimeError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(RuntimeError::Closed);
        }
        self.parameters.get_or_try_init(async || Parameters::open(self.config().parameters_place())).await
    }

    /// The models that hear recordings; each is loaded when it is first asked for.
    ///
    /// # Errors
    /// `UAT_CLOSED`.
    pub async fn voice(&self) -> Result<&Arc<Voices>, RuntimeError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(RuntimeError::Closed);
        }
        Ok(self.voices.get_or_init(async || Voices::new(self.config().voice.clone())).await)
    }

    /// Opens the daemon that gives out memory of GPUs, where the configuration has a section `[gpu]`. To be served by the caller.
    ///
    /// # Errors
    /// [`RuntimeError::Gpu`], those of [`GpuConfig::host_options`].
    pub fn open_gpus(&self) -> Result<Option<Host>, RuntimeError> {
        let config = self.config();
        let Some(gpu) = &config.gpu else { return Ok(None) };
        let driver = gpu_driver::open(gpu.driver(false))
            .map_err(|error| RuntimeError::Internal { message: error.to_string() })?;
        let host = Host::open(driver, gpu.host_options()?)?;
        self.gate.opens(host.view());
        Ok(Some(host))
    }

    /// Whose memory this process gives out, if it does.
    pub fn gpus(&self) -> Option<&HostView> {
        self.gate.gpus()
    }

    /// What so many tokens of a model cost, in nano-USD; `None` where its price is unknown.
    pub fn cost_nano_usd(&self, model: &str, usage: &Usage) -> Option<u64> {
        self.wiring.load().nano_usd(model, usage)
    }

    /// What the endpoint of this name speaks; `None`: there is none.
    pub fn protocol(&self, endpoint: &str) -> Option<Protocol> {
        self.wiring.load().coordinator.protocol(endpoint)
    }

    /// The state of each endpoint, from the answers it gave.
    pub fn health(&self) -> Vec<EndpointHealth> {
        self.wiring.load().coordinator.health()
    }

    /// Counts since the start.
    pub fn stats(&self) -> Stats {
        self.wiring.load().coordinator.stats()
    }

    /// The configuration that counts.
    pub fn config(&self) -> Arc<UatConfig> {
        Arc::clone(&self.wiring.load().config)
    }

    /// The local engine, unless the configuration switches it off.
    pub fn engine(&self) -> Option<Arc<Engine>> {
        self.wiring.load().engine.clone()
    }

    /// Refuses further calls and lets the engine go; it ends by itself when nobody else uses it. Answers that are
    /// under way go on until their streams are dropped. What has been answered is kept first, for at most a second.
    pub async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.wiring.load_full().close().await;
        self.gate.close().await;
        self.callers.close().await;
        self.outcomes.close().await;
        if let Some(parameters) = self.parameters.get()
            && let Err(error) = parameters.close().await
        {
            tracing::error!(%error, "what bandits learnt last is lost");
        }
    }
}

/// What time it is.
fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Files are read on a thread that may wait.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, RuntimeError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| RuntimeError::Internal { message: format!("a thread ended: {error}") })
}
