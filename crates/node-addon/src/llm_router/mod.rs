mod cascade;
mod decisions;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use llm_wire::openai::ChatRequest;
use napi::Env;
use napi::bindgen_prelude::{Buffer, PromiseRaw};
use napi_derive::napi;
use runtime::llm_router::{Constraints, Target};
use runtime::{Answer, RuntimeError};

use crate::cancel::CancelHandle;
use crate::chat_stream::ChatStream;
use crate::error::Crossing;
use crate::fast_llm_coordinator::shapes::{RoutingReport, number};
use crate::opened::{Call, Opened, RuntimeOptions, streamed, whole};

use cascade::{AskPredicate, CascadeAsk, judged_by};
use decisions::Decisions;

/// What is wanted of whoever answers.
#[napi(object, object_to_js = false)]
pub struct RouteAsk {
    /// What the model must be able to do.
    pub capabilities: Vec<String>,
    /// Until the answer is whole; milliseconds.
    pub max_latency_ms: Option<f64>,
    /// USD.
    pub max_cost_usd: Option<f64>,
    /// A cheap model is asked first, and its answer given where this check says that it does.
    pub cascade: Option<CascadeAsk>,
    /// What is added to the request.
    pub context: Option<ContextAsk>,
}

/// How long a call may take, and whether the response cache may answer it.
#[napi(object, object_to_js = false)]
pub struct CallLimits {
    /// Milliseconds, for the whole answer.
    pub timeout_ms: Option<f64>,
    /// Whatever the temperature; absent: at temperature 0.
    pub cache: Option<bool>,
}

/// What is wanted beside the request's own messages.
#[napi(object, object_to_js = false)]
pub struct ContextAsk {
    /// The session whose latest exchanges are added, and whose memory gets this one.
    pub session_id: Option<String>,
    /// Texts that are searched for what the request is about.
    pub documents: Vec<ContextDocument>,
    /// The most that is added, tokens.
    pub max_tokens: Option<f64>,
}

/// A text of the caller's.
#[napi(object, object_to_js = false)]
pub struct ContextDocument {
    /// What reports call it.
    pub id: String,
    /// What it says.
    pub text: String,
}

/// A whole answer, and why this model gave it.
#[napi(object, object_from_js = false)]
pub struct RoutedCompletion {
    /// OpenAI's completion object as JSON in UTF-8.
    pub body: Buffer,
    /// How the request travelled.
    pub routing: RoutingReport,
    /// `RoutePlan` as JSON, the same document that a server gives at `/v1/routing/{request_id}`.
    pub plan: String,
}

/// A model that the router chooses among.
#[napi(object, object_from_js = false)]
pub struct RoutedModel {
    /// The public name.
    pub name: String,
    /// The tier that it names; empty for none.
    pub tier: String,
    /// What it can do.
    pub capabilities: Vec<String>,
    /// How good its answers are taken to be, 0 to 1.
    pub quality: f64,
    /// Judgements that were taken in.
    pub samples: i64,
    /// Whether an endpoint may be asked.
    pub healthy: bool,
}

/// The router of the core, with a coordinator of its own. Where `request` stands, it is a chat-completion request as JSON in UTF-8
/// whose `model` is `auto` or `tier:NAME`.
#[napi]
pub struct LlmRouter {
    opened: Opened,
    decisions: Arc<Decisions>,
}

#[napi]
impl LlmRouter {
    /// Only validates: starts no process and opens no connection.
    #[napi(constructor, catch_unwind)]
    pub fn new(options: RuntimeOptions) -> napi::Result<Self> {
        Ok(Self { opened: Opened::new("LLMRouter", options)?, decisions: Arc::default() })
    }

    /// Without a configuration looks for other local servers; otherwise there is nothing to wait for.
    #[napi(catch_unwind)]
    pub fn initialize<'env>(&self, env: &'env Env) -> napi::Result<PromiseRaw<'env, ()>> {
        let runtime = Arc::clone(&self.opened.runtime);
        env.spawn_future(async move { Ok(runtime.ready().await.map_err(Crossing::from)?) })
    }

    /// Asks the model that is chosen for a whole answer, and those that follow where it fails. `predicate` is asked of the first answer of
    /// a cascade: 1 accepts it, 0 does not, anything else ends the call.
    #[napi(catch_unwind)]
    pub fn generate<'env>(
        &self,
        env: &'env Env,
        request: &[u8],
        ask: RouteAsk,
        limits: CallLimits,
        cancel: Option<&CancelHandle>,
        #[napi(ts_arg_type = "((completion: Completion) => Promise<number>) | undefined | null")]
        predicate: Option<AskPredicate<'_>>,
    ) -> napi::Result<PromiseRaw<'env, RoutedCompletion>> {
        let call = self.call(ask, &limits, cancel, predicate)?;
        let request = Bytes::copy_from_slice(request);
        let decisions = Arc::clone(&self.decisions);
        env.spawn_future(async move {
            let (body, report) = whole(asked(&call, request, &decisions).await?)?;
            let plan =
                call.decision.get().ok_or_else(|| Crossing::internal("an answer came without a decision"))?;
            Ok(RoutedCompletion {
                body: Vec::from(body).into(),
                routing: report.into(),
                plan: plan.plan().to_string(),
            })
        })
    }

    /// Asks for a streamed answer; resolves when its first content is there. `request` says `"stream": true`.
    #[napi(catch_unwind)]
    pub fn stream<'env>(
        &self,
        env: &'env Env,
        request: &[u8],
        ask: RouteAsk,
        limits: CallLimits,
        cancel: &CancelHandle,
        #[napi(ts_arg_type = "((completion: Completion) => Promise<number>) | undefined | null")]
        predicate: Option<AskPredicate<'_>>,
    ) -> napi::Result<PromiseRaw<'env, ChatStream>> {
        let call = self.call(ask, &limits, Some(cancel), predicate)?;
        let request = Bytes::copy_from_slice(request);
        let (decisions, readers) = (Arc::clone(&self.decisions), self.opened.readers.clone());
        env.spawn_future(async move {
            let answer = streamed(asked(&call, request, &decisions).await?)?;
            Ok(ChatStream::read_ahead(answer, call, &readers))
        })
    }

    /// Decides who would answer, and asks nobody: `RoutePlan` as JSON.
    #[napi(catch_unwind)]
    pub fn plan(
        &self,
        request: &[u8],
        ask: RouteAsk,
        #[napi(ts_arg_type = "((completion: Completion) => Promise<number>) | undefined | null")]
        predicate: Option<AskPredicate<'_>>,
    ) -> napi::Result<String> {
        let runtime = &self.opened.runtime;
        let request = ChatRequest::parse(Bytes::copy_from_slice(request))
            .map_err(|error| Crossing::from(RuntimeError::from(error)))?;
        let target = Target::parse(request.model())
            .ok_or_else(|| Crossing::internal("the wrapper named a model where it should name a tier"))?;
        let id = runtime.new_request_id();
        let routed =
            runtime.plan(id, target, &request, &route(&ask, predicate)?, None).map_err(Crossing::from)?;
        let plan = routed.plan().to_string();
        self.decisions.keep(routed, None);
        Ok(plan)
    }

    /// The decision of this id as `RoutePlan` in JSON; null once it is forgotten.
    #[napi(catch_unwind)]
    pub fn explain(&self, request_id: String) -> Option<String> {
        self.decisions.find(&request_id).map(|routed| routed.plan().to_string())
    }

    /// Says how good an answer was, 0 to 1; once for each.
    #[napi(catch_unwind)]
    pub fn feedback<'env>(
        &self,
        env: &'env Env,
        request_id: String,
        score: f64,
    ) -> napi::Result<PromiseRaw<'env, ()>> {
        let runtime = Arc::clone(&self.opened.runtime);
        runtime.check_score(score).map_err(Crossing::from)?;
        let decisions = Arc::clone(&self.decisions);
        let (model, routed) = decisions.judged(&request_id)?;
        env.spawn_future(async move {
            let taken = runtime.feedback(model, Some(&routed), score).await;
            Ok(taken.inspect_err(|_| decisions.is_not_judged(&request_id)).map_err(Crossing::from)?)
        })
    }

    /// The models that are chosen among.
    #[napi(catch_unwind)]
    pub fn models(&self) -> Vec<RoutedModel> {
        self.opened.runtime.routed_models().into_iter().map(RoutedModel::from).collect()
    }

    /// Ends the calls that are under way and lets the engine go.
    #[napi(catch_unwind)]
    pub fn close<'env>(&self, env: &'env Env) -> napi::Result<PromiseRaw<'env, ()>> {
        let closed = self.opened.close();
        env.spawn_future(async move {
            closed.await;
            Ok(())
        })
    }

    fn call(
        &self,
        ask: RouteAsk,
        limits: &CallLimits,
        cancel: Option<&CancelHandle>,
        predicate: Option<AskPredicate<'_>>,
    ) -> napi::Result<Call> {
        let mut call = self.opened.call(cancel, limits.timeout_ms, limits.cache);
        call.route = Some(Box::new(route(&ask, predicate)?));
        call.context = ask.context.map(|context| Box::new(context.into()));
        Ok(call)
    }
}

/// The answer; the decision is kept whatever comes of it.
async fn asked(call: &Call, request: Bytes, decisions: &Decisions) -> Result<Answer, Crossing> {
    let answer = call.chat(request).await;
    if let Some(routed) = call.decision.get() {
        let answered = match &answer {
            Ok(Answer::Complete { report, .. }) => Some(Arc::clone(&report.model)),
            Ok(Answer::Stream(stream)) => Some(stream.report().model),
            Err(_) => None,
        };
        decisions.keep(Arc::clone(routed), answered);
    }
    answer
}

fn route(ask: &RouteAsk, predicate: Option<AskPredicate<'_>>) -> napi::Result<runtime::RouteAsk> {
    let RouteAsk { capabilities, max_latency_ms, max_cost_usd, cascade, context: _ } = ask;
    Ok(runtime::RouteAsk {
        capabilities: capabilities.iter().map(|word| word.as_str().into()).collect::<BTreeSet<_>>(),
        constraints: Constraints { max_latency_ms: *max_latency_ms, max_cost_usd: *max_cost_usd },
        task: None,
        cascade: judged_by(cascade.as_ref(), predicate)?,
    })
}

impl From<ContextAsk> for runtime::ContextAsk {
    fn from(ContextAsk { session_id, documents, max_tokens }: ContextAsk) -> Self {
        let document = |ContextDocument { id, text }| runtime::Document { id: id.into(), text: text.into() };
        Self {
            session: session_id.map(Into::into),
            documents: documents.into_iter().map(document).collect(),
            // The wrapper has checked that it is a whole number above 0.
            max_tokens: max_tokens.map(|tokens| tokens as u64),
        }
    }
}

impl From<runtime::RoutedModel> for RoutedModel {
    fn from(model: runtime::RoutedModel) -> Self {
        Self {
            name: model.name.to_string(),
            tier: model.tier.as_deref().unwrap_or_default().to_owned(),
            capabilities: model.capabilities.iter().map(ToString::to_string).collect(),
            quality: model.quality,
            samples: number(model.samples),
            healthy: model.is_up,
        }
    }
}
