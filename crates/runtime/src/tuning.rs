//! With which parameters a model is asked where a request names none: `parameters = "auto"` of a model.
//!
//! What a call took is told when it has ended, and how good its answer was with its feedback; both are written behind, in batches. Where
//! what is learnt cannot be read, requests go on without.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use fast_llm_coordinator::Tuning;
use llm_wire::openai::ChatRequest;
use parameter_analytics_service::advice::{Limits, Mode, Request};
use parameter_analytics_service::space::{Domain, Ordered, Parameter, ParameterValues, Space};
use parameter_analytics_service::{About, CallOutcome};
use parking_lot::Mutex;
use route_plan::RoutePlan;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::Runtime;
use crate::errors::RuntimeError;
use crate::parameters::Parameters;
use crate::routing::RouteAsk;
use crate::wiring::Wiring;

/// Where it is put with which parameters a request was asked.
pub type TuningSlot = Arc<OnceLock<Tuned>>;

/// With which parameters a request was asked.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tuned {
    /// Under which it is said what came of it.
    pub trial_id: Arc<str>,
    /// The public name of the model.
    pub model: Arc<str>,
    /// What the request was given.
    pub parameters: ParameterValues,
}

/// What a request is given; one that names any of these is left alone, since they work together. All providers take these ranges.
const GIVEN: [(&str, f64, f64); 2] = [("temperature", 0.0, 1.0), ("top_p", 0.1, 1.0)];
/// Of which tasks calls are that say nothing of it.
const TASK: &str = "chat";
/// Outcomes that wait to be written; more than a second's at 5,000 requests a second. What comes beyond is not learnt from.
const WAITING: usize = 8_192;
/// How long a process that ends waits for what is being written.
const CLOSING: Duration = Duration::from_secs(1);
/// Written at once.
const BATCH: usize = 1_024;

/// Writes outcomes behind.
#[derive(Default)]
pub(crate) struct Outcomes {
    sender: Mutex<Option<mpsc::Sender<CallOutcome>>>,
    writing: TaskTracker,
}

impl Outcomes {
    /// Takes an outcome, unless too many wait, or nothing is taken any more.
    fn put(&self, parameters: &Arc<Parameters>, outcome: CallOutcome) {
        if self.writing.is_closed() {
            return;
        }
        let mut sender = self.sender.lock();
        let sender = sender.get_or_insert_with(|| {
            let (sender, mut waiting) = mpsc::channel(WAITING);
            let parameters = Arc::clone(parameters);
            self.writing.spawn(async move {
                let mut batch = Vec::new();
                while waiting.recv_many(&mut batch, BATCH).await > 0 {
                    write(&parameters, std::mem::take(&mut batch)).await;
                }
            });
            sender
        });
        if sender.try_send(outcome).is_err() {
            tracing::debug!("an outcome is not learnt from: too many wait to be written");
        }
    }

    /// Writes what waits.
    pub(crate) async fn close(&self) {
        self.writing.close();
        self.sender.lock().take();
        if tokio::time::timeout(CLOSING, self.writing.wait()).await.is_err() {
            tracing::warn!("the outcomes of the last calls are not learnt from: the storage takes too long");
        }
    }
}

async fn write(parameters: &Parameters, batch: Vec<CallOutcome>) {
    let written = parameters.run(move |analytics| {
        Ok(analytics
            .record_all(&batch)
            .into_iter()
            .filter_map(Result::err)
            .last()
            .map(|error| error.to_string()))
    });
    if let Ok(Some(error)) | Err(RuntimeError::Internal { message: error }) = written.await {
        tracing::warn!(%error, "what came of calls is not learnt from");
    }
}

impl Runtime {
    /// The request as the first of a plan's models is asked: with parameters, where they are left to us. `ask` is what is wanted of it, if
    /// that was said.
    pub(crate) async fn with_parameters(
        &self,
        wiring: &Wiring,
        plan: &RoutePlan,
        request: ChatRequest,
        ask: Option<&RouteAsk>,
        slot: Option<TuningSlot>,
    ) -> ChatRequest {
        // Whoever does not want to know does not say what came of it either, and nothing would be learned.
        let Some(slot) = slot else { return request };
        let model = plan.stages.first().and_then(|stage| stage.candidates.first()).map(|one| &one.model);
        let is_ours = |model: &&Arc<str>| {
            let config = wiring.config.models.iter().find(|config| config.name == **model);
            config.is_some_and(|config| config.parameters == Tuning::Auto)
        };
        // Boxed, because it is rare and every request would have the room for it.
        match model.filter(is_ours) {
            None => request,
            Some(model) => match Box::pin(self.tuned(model, &request, ask)).await {
                None => request,
                Some((fuller, tuned)) => {
                    // Each request has its own.
                    let _ = slot.set(tuned);
                    fuller
                }
            },
        }
    }

    async fn tuned(
        &self,
        model: &Arc<str>,
        request: &ChatRequest,
        ask: Option<&RouteAsk>,
    ) -> Option<(ChatRequest, Tuned)> {
        if request.has_any(&GIVEN.map(|(name, ..)| name)).ok()? {
            return None;
        }
        let constraints = ask.map(|ask| ask.constraints).unwrap_or_default();
        let task = ask.and_then(|ask| ask.task.as_ref());
        let space = Space::new(
            GIVEN.iter().map(|(name, low, high)| Parameter::new(name, Domain::float(*low, *high))).collect(),
        );
        let task_type = task.map_or_else(|| TASK.into(), Arc::clone);
        let about = About { model: Arc::clone(model), task_type, space: Some(space.ok()?) };
        let limits = Limits {
            max_latency_ms: constraints.max_latency_ms,
            max_cost_usd: constraints.max_cost_usd,
            min_quality: None,
        };
        let ask = Request { limits, mode: Mode::Explore, context: Ordered::default() };
        let advised = match self.parameters().await {
            Ok(parameters) => parameters.run(move |analytics| analytics.optimize(&about, &ask)).await,
            Err(error) => Err(error),
        };
        let advised = advised
            .inspect_err(
                |error| tracing::warn!(%error, %model, "the request goes without parameters of ours"),
            )
            .ok()?;
        let parameters = advised.advice.parameters;
        let members = parameters.0.iter().map(|(name, value)| (&**name, value.to_string()));
        let fuller = request.with_members(members).ok()?;
        let tuned = Tuned { trial_id: advised.trial_id.into(), model: Arc::clone(model), parameters };
        Some((fuller, tuned))
    }

    /// Takes in what a call took that was given parameters. Written behind.
    pub fn observe(&self, tuned: &Tuned, outcome: CallOutcome) {
        if let Some(parameters) = self.parameters.get() {
            self.outcomes.put(parameters, CallOutcome { trial_id: tuned.trial_id.to_string(), ..outcome });
        }
    }

    /// Takes in how good the answer to such a call was, 0 to 1; it is kept when this returns.
    ///
    /// # Errors
    /// `UAT_STORAGE`, `UAT_CONFLICT` where it was said before.
    pub async fn learn(&self, tuned: &Tuned, reward: f64) -> Result<(), RuntimeError> {
        let trial_id = tuned.trial_id.to_string();
        let outcome = CallOutcome { trial_id, reward: Some(reward), ..CallOutcome::default() };
        self.parameters().await?.run(move |analytics| analytics.record(&outcome)).await
    }
}
