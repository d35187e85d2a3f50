//! A request that leaves it to the router who answers: what is added to it, who is asked, and what that may cost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use access::Key;
use fast_llm_coordinator::{Answer, CallOptions};
use llm_router::{Decision, Model, Question, RouterError, Snapshot, Target, decide};
use llm_wire::openai::ChatRequest;
use route_plan::RoutePlan;

use super::count::{Counts, counted};
use super::judge::Judge;
use super::meter::Payable;
use super::question::{prompt_of, question_of};
use super::routed::Cascaded;
use super::{RouteAsk, Routed, admit_any, cascade};
use crate::callers::Size;
use crate::context::{Fitted, Gathered, Turn};
use crate::errors::RuntimeError;
use crate::wiring::Wiring;
use crate::{ChatOptions, Runtime};

/// What is carried out.
struct Begun {
    wiring: Arc<Wiring>,
    plan: RoutePlan,
    call: CallOptions,
    /// With what was added to it; `None`: the request is asked as it is.
    request: Option<ChatRequest>,
    /// What is to be remembered of the answer.
    turn: Option<Turn>,
    /// How the first of two stages is judged, and where that is told.
    cascade: Option<(Judge, Arc<Routed>)>,
}

/// Tokens that are kept free for an answer of which the request does not say how long it may be: as the router takes it to be.
const ANSWER: u64 = 512;

impl Runtime {
    /// Answers a request of which the router decides who is asked.
    pub(crate) async fn chat_routed(
        &self,
        target: Target,
        request: ChatRequest,
        mut options: ChatOptions,
    ) -> Result<Answer, RuntimeError> {
        self.ready().await?;
        let wiring = self.wiring.load_full();
        let (slot, wanted) = (options.tuning.clone(), options.route.clone());
        let (ask, caller) = (options.context.take(), options.caller.as_deref());
        let tenant = options.tenant.as_deref().or_else(|| caller.map(|key| &**key.name()));
        let context = wiring.providers.gather(&wiring.memory, &request, ask.as_deref(), tenant).await?;
        let begun = self.begin_with(wiring, target, &request, options, context, Size::of_chat).await?;
        let Begun { wiring, plan, call, request: fuller, turn, cascade } = begun;
        let request = fuller.unwrap_or(request);
        let answer = match &cascade {
            None => {
                let request = self.with_parameters(&wiring, &plan, request, wanted.as_deref(), slot).await;
                wiring.coordinator.execute(&plan, &request, call).await?
            }
            // Its two models are asked alike.
            Some((judge, routed)) => {
                cascade::carried_out(&wiring, &plan, &request, call, judge, routed).await?
            }
        };
        Ok(match turn {
            Some(turn) => turn.of(answer).await,
            None => answer,
        })
    }

    /// What a request needs to which nothing is added.
    pub(crate) async fn begin_routed(
        &self,
        target: Target,
        request: &ChatRequest,
        mut options: ChatOptions,
        size: fn(&ChatRequest, Option<u64>) -> Size,
    ) -> Result<(Arc<Wiring>, RoutePlan, CallOptions), RuntimeError> {
        if let Some(route) = &mut options.route {
            // There is no answer to be judged.
            route.cascade = None;
        }
        self.ready().await?;
        let wiring = self.wiring.load_full();
        let Begun { wiring, plan, call, .. } =
            self.begin_with(wiring, target, request, options, None, size).await?;
        Ok((wiring, plan, call))
    }

    async fn begin_with(
        &self,
        wiring: Arc<Wiring>,
        target: Target,
        request: &ChatRequest,
        options: ChatOptions,
        context: Option<Gathered>,
        size: fn(&ChatRequest, Option<u64>) -> Size,
    ) -> Result<Begun, RuntimeError> {
        let ChatOptions {
            request_id, timeout, received, cache, tenant, caller, trace, route, decision, ..
        } = options;
        let request_id = request_id.unwrap_or_else(|| self.request_ids.make());
        let ask = route.as_deref().cloned().unwrap_or_default();
        let judge = ask.cascade.as_ref().map(|cascade| Judge::of(cascade, request)).transpose()?;
        let asked = Asked {
            request_id,
            target,
            request,
            ask: &ask,
            judge: judge.as_ref(),
            caller: caller.as_deref(),
            counts: Counts::new(),
        };
        let asked = self.with_counts(&wiring, asked, timeout).await;
        let Decided { routed, refused, fitted } = self.decided(&wiring, asked, context)?;
        let routed = Arc::new(routed);
        if let Some(slot) = decision {
            // Each request has its own.
            let _ = slot.set(Arc::clone(&routed));
        }
        if let Some(error) = refused {
            return Err(error.into());
        }
        let (fuller, turn) = match fitted {
            Some(fitted) => (fitted.added_to(request)?, fitted.turn),
            None => (None, None),
        };
        let request = fuller.as_ref().unwrap_or(request);
        let plan = routed.decision.plan.clone();
        let models = || plan.stages.iter().flat_map(|stage| &stage.candidates).map(|one| &one.model);
        // One whose file is missing is asked after all others; what is missing counts where none can be asked.
        let mut files = models().map(|model| wiring.require_file(model));
        if let Some(Err(missing)) = files.next()
            && files.all(|file| file.is_err())
        {
            return Err(missing);
        }
        let meter = match &caller {
            None => None,
            Some(key) => {
                let payable = |model: &Arc<str>| {
                    let cost = wiring.cost_of(model, key)?;
                    let size = size(request, cost.max_output_tokens);
                    Ok(Payable { model: Arc::clone(model), price: cost.price, size })
                };
                let payables = models().map(payable).collect::<Result<Vec<_>, RuntimeError>>()?;
                let accounts = self.callers.accounts(&wiring.config).await?;
                Some(admit_any(&accounts.allowances, key, payables, routed.first_stage()).await?)
            }
        };
        let tenant = tenant.or_else(|| caller.map(|key| Arc::clone(key.name())));
        let call = CallOptions { timeout, received, cache, tenant, meter, trace, waited: Duration::ZERO };
        let cascade = judge.filter(|_| plan.stages.len() > 1).map(|judge| (judge, routed));
        Ok(Begun { wiring, plan, call, request: fuller, turn, cascade })
    }

    /// With the prompt counted for those whom an estimate of its length alone would rule out.
    async fn with_counts<'a>(
        &self,
        wiring: &Wiring,
        mut asked: Asked<'a>,
        timeout: Option<Duration>,
    ) -> Asked<'a> {
        let most = asked.request.most_prompt_tokens().saturating_add(asked.request.max_tokens().unwrap_or(1));
        let is_tight = |model: &Model| model.context_tokens.is_some_and(|holds| most > holds);
        let mut models = wiring.routing.catalogue.models().iter();
        if models.any(|model| is_tight(model) && wiring.engine_source(&model.name).is_some())
            && let Ok(Decided { routed, .. }) = self.decided(wiring, asked.clone(), None)
        {
            asked.counts = counted(wiring, &routed.decision, asked.request, timeout).await;
        }
        asked
    }

    /// The decision on a request, with as much added to it as leaves somebody who can hold it.
    pub(super) fn decided(
        &self,
        wiring: &Wiring,
        Asked { request_id, target, request, ask, judge, caller, counts }: Asked<'_>,
        context: Option<Gathered>,
    ) -> Result<Decided, RouterError> {
        let begun = Instant::now();
        let routing = &wiring.routing;
        let mut question =
            question_of(target, request, ask, judge.map(Judge::answers), caller, &routing.catalogue);
        let seen = routing.look(&self.feedback, || prompt_of(request));
        let is_there = |model: &str| wiring.require_file(model).is_ok();
        let mut snapshot = routing.snapshot(&wiring.coordinator, &self.feedback, Some(&seen), is_there);
        for (model, standing) in routing.catalogue.models().iter().zip(&mut snapshot.models) {
            standing.prompt_tokens = counts.get(&model.name).copied();
        }
        let decide = |question: &Question, snapshot: &Snapshot| {
            let id = Arc::clone(&request_id);
            match decide(id, question, &routing.catalogue, snapshot, &routing.policy) {
                Ok(decision) => Ok((decision, None)),
                Err(RouterError::NoCandidate { nearest, rejection, decision }) => {
                    let kept = (*decision).clone();
                    Ok((kept, Some(RouterError::NoCandidate { nearest, rejection, decision })))
                }
                Err(error) => Err(error),
            }
        };
        let (mut decision, refused) = decide(&question, &snapshot)?;
        let mut fitted = context.map(|gathered| match refused {
            None => gathered.fit(room(&decision, &question, wiring)),
            Some(_) => gathered.fit(0),
        });
        if let Some(fits) = fitted.take_if(|fits| fits.tokens() > 0) {
            let own = question.prompt_tokens;
            question.prompt_tokens.tokens = own.tokens.saturating_add(fits.tokens());
            question.prompt_tokens.is_estimate = true;
            let mut with_more = snapshot.clone();
            for standing in &mut with_more.models {
                standing.prompt_tokens = standing.prompt_tokens.map(|own| own.saturating_add(fits.tokens()));
            }
            fitted = Some(match decide(&question, &with_more)? {
                (fuller, None) => {
                    (decision, snapshot) = (fuller, with_more);
                    fits
                }
                // It would cost too much, or come too late.
                (_, Some(_)) => {
                    question.prompt_tokens = own;
                    fits.with_nothing()
                }
            });
        }
        let context = fitted.as_ref().map(|fitted| fitted.report.clone()).unwrap_or_default();
        let routed = Routed {
            question,
            catalogue: Arc::clone(&routing.catalogue),
            snapshot,
            policy: routing.policy,
            seen,
            decision,
            context,
            cascade: judge.map(|judge| Cascaded::by(judge.check)),
            decided_in: begun.elapsed(),
        };
        Ok(Decided { routed, refused, fitted })
    }
}

/// What is decided on.
#[derive(Clone)]
pub(super) struct Asked<'a> {
    pub(super) request_id: Arc<str>,
    pub(super) target: Target,
    pub(super) request: &'a ChatRequest,
    pub(super) ask: &'a RouteAsk,
    /// How the answer of a first stage would be judged, if there is to be one.
    pub(super) judge: Option<&'a Judge>,
    pub(super) caller: Option<&'a Key>,
    pub(super) counts: Counts,
}

/// A decision, and what is added to the request.
pub(super) struct Decided {
    pub(super) routed: Routed,
    /// Why nobody can be asked.
    pub(super) refused: Option<RouterError>,
    /// `None`: nothing was configured, and nothing asked for.
    fitted: Option<Fitted>,
}

/// By how many tokens the prompt may grow and still be held by one of those who can be asked, with an answer.
fn room(decision: &Decision, question: &Question, wiring: &Wiring) -> u64 {
    let taken = question.prompt_tokens.tokens.saturating_add(question.output_tokens.unwrap_or(ANSWER));
    let models = wiring.routing.catalogue.models();
    let held =
        |name: &str| models.iter().find(|model| *model.name == *name).and_then(|model| model.context_tokens);
    let can = decision.candidates.iter().filter(|candidate| candidate.rejected.is_none());
    can.map(|candidate| held(&candidate.model).map_or(u64::MAX, |held| held.saturating_sub(taken)))
        .max()
        .unwrap_or(0)
}
