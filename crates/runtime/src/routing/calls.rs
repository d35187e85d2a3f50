//! What the router is asked through [`Runtime`].

use std::sync::Arc;
use std::time::Instant;

use access::Key;
use fast_llm_coordinator::CallOptions;
use llm_router::{RouterError, Target, decide};
use llm_wire::WireError;
use llm_wire::openai::ChatRequest;
use route_plan::RoutePlan;

use super::meter::Payable;
use super::question::{prompt_of, question_of};
use super::{RouteAsk, Routed, admit_any};
use crate::callers::Size;
use crate::errors::RuntimeError;
use crate::wiring::Wiring;
use crate::{ChatOptions, Runtime};

/// A model that the router chooses among, and what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct RoutedModel {
    /// The public name.
    pub name: Arc<str>,
    /// The tier that it names.
    pub tier: Option<Arc<str>>,
    /// What it can do.
    pub capabilities: Vec<Arc<str>>,
    /// How good its answers are taken to be, whatever the question, 0 to 1.
    pub quality: f64,
    /// Judgements that were taken in.
    pub samples: u64,
    /// Whether an endpoint may be asked.
    pub is_up: bool,
}

impl Runtime {
    /// Decides who would answer, and asks nobody. `request_id` is what the plan is called.
    ///
    /// # Errors
    /// `UAT_MODEL_NOT_FOUND` (no such tier), `UAT_INVALID_INPUT` (no such capability), `UAT_NO_CANDIDATE`.
    pub fn plan(
        &self,
        request_id: Arc<str>,
        target: Target,
        request: &ChatRequest,
        ask: &RouteAsk,
        caller: Option<&Key>,
    ) -> Result<Arc<Routed>, RuntimeError> {
        let (routed, refused) = self.routed(&self.wiring.load(), request_id, target, request, ask, caller)?;
        refused.map_or(Ok(routed), |error| Err(error.into()))
    }

    /// The decision, and why nobody can be asked if that is what it comes to.
    fn routed(
        &self,
        wiring: &Wiring,
        request_id: Arc<str>,
        target: Target,
        request: &ChatRequest,
        ask: &RouteAsk,
        caller: Option<&Key>,
    ) -> Result<(Arc<Routed>, Option<RouterError>), RouterError> {
        let begun = Instant::now();
        let routing = &wiring.routing;
        let learner = &*self.learner;
        let question = question_of(target, request, ask, caller, &routing.catalogue);
        let features = learner.features(&|| prompt_of(request));
        let is_there = |model: &str| wiring.require_file(model).is_ok();
        let snapshot = routing.snapshot(&wiring.coordinator, learner, &features, is_there);
        let decided = decide(request_id, &question, &routing.catalogue, &snapshot, &routing.policy);
        let (decision, refused) = match decided {
            Ok(decision) => (decision, None),
            Err(RouterError::NoCandidate { nearest, rejection, decision }) => {
                let kept = (*decision).clone();
                (kept, Some(RouterError::NoCandidate { nearest, rejection, decision }))
            }
            Err(error) => return Err(error),
        };
        let routed = Routed {
            question,
            catalogue: Arc::clone(&routing.catalogue),
            snapshot,
            policy: routing.policy,
            features,
            decision,
            decided_in: begun.elapsed(),
        };
        Ok((Arc::new(routed), refused))
    }

    /// What a request needs that leaves it to the router who answers.
    pub(crate) async fn begin_routed(
        &self,
        target: Target,
        request: &ChatRequest,
        options: ChatOptions,
        size: fn(&ChatRequest, Option<u64>) -> Size,
    ) -> Result<(Arc<Wiring>, RoutePlan, CallOptions), RuntimeError> {
        self.ready().await?;
        let wiring = self.wiring.load_full();
        let ChatOptions { request_id, timeout, received, cache, tenant, caller, trace, route, decision } =
            options;
        let request_id = request_id.unwrap_or_else(|| self.request_ids.make());
        let ask = route.as_deref().cloned().unwrap_or_default();
        let (routed, refused) = self.routed(&wiring, request_id, target, request, &ask, caller.as_deref())?;
        if let Some(slot) = decision {
            // Each request has its own.
            let _ = slot.set(Arc::clone(&routed));
        }
        if let Some(error) = refused {
            return Err(error.into());
        }
        let plan = routed.decision.plan.clone();
        let models = || plan.stages.iter().flat_map(|stage| &stage.candidates).map(|one| &one.model);
        if let Some(first) = models().next() {
            wiring.require_file(first)?;
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
                Some(admit_any(&accounts.allowances, key, payables).await?)
            }
        };
        let tenant = tenant.or_else(|| caller.map(|key| Arc::clone(key.name())));
        let call = CallOptions { timeout, received, cache, tenant, meter, trace };
        Ok((wiring, plan, call))
    }

    /// Whether this can be how good an answer was.
    ///
    /// # Errors
    /// `UAT_INVALID_INPUT` for what is no number from 0 to 1.
    pub fn check_score(&self, score: f64) -> Result<(), RuntimeError> {
        if (0.0..=1.0).contains(&score) {
            return Ok(());
        }
        Err(RuntimeError::Input(WireError::Invalid {
            field: "score".to_owned(),
            expected: "a number from 0 to 1".to_owned(),
            got: score.to_string(),
        }))
    }

    /// An answer of `model` was so good, 0 to 1. `routed` is how its question was routed, if it was.
    ///
    /// # Errors
    /// As [`check_score`](Self::check_score).
    pub fn feedback(&self, model: &str, routed: Option<&Routed>, score: f64) -> Result<(), RuntimeError> {
        self.check_score(score)?;
        let features = routed.map(|routed| routed.features.clone()).unwrap_or_default();
        self.learner.feedback(&features, model, score);
        Ok(())
    }

    /// What a request may say instead of a model's name, where the configuration knows tiers: `auto`, and each `tier:NAME` of which
    /// the caller may use a model.
    pub fn targets_for(&self, caller: Option<&Key>) -> Vec<Target> {
        let wiring = self.wiring.load();
        if !wiring.routing.has_tiers {
            return Vec::new();
        }
        let may_ask = |model: &str| caller.is_none_or(|key| key.may_use(model));
        let tiers = wiring.routing.catalogue.tiers(may_ask).into_iter().map(Target::Tier);
        std::iter::once(Target::Auto).chain(tiers).collect()
    }

    /// The models that the router chooses among, and what is known of them.
    pub fn routed_models(&self) -> Vec<RoutedModel> {
        let wiring = self.wiring.load();
        let (routing, learner) = (&wiring.routing, &*self.learner);
        let features = learner.features(&String::new);
        let is_there = |model: &str| wiring.require_file(model).is_ok();
        let snapshot = routing.snapshot(&wiring.coordinator, learner, &features, is_there);
        let models = routing.catalogue.models().iter().zip(snapshot.models);
        models
            .map(|(model, standing)| RoutedModel {
                name: Arc::clone(&model.name),
                tier: model.tier.clone(),
                capabilities: model.capabilities.clone(),
                quality: llm_router::quality(model.quality, standing.quality),
                samples: learner.samples(&model.name),
                is_up: standing.health.is_up,
            })
            .collect()
    }
}
