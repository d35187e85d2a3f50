//! What the router is asked through [`Runtime`].

use std::sync::Arc;

use access::Key;
use llm_router::{Judgement, Target};
use llm_wire::WireError;
use llm_wire::openai::ChatRequest;

use super::begin::{Asked, Decided};
use super::count::Counts;
use super::judge::Judge;
use super::{RouteAsk, Routed};
use crate::Runtime;
use crate::errors::RuntimeError;
use crate::reload::now_ms;

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
    /// Decides who would answer, and asks nobody, for context neither. `request_id` is what the plan is called.
    ///
    /// # Errors
    /// `UAT_MODEL_NOT_FOUND` (no such tier), `UAT_INVALID_INPUT` (no such capability, or a cascade cannot judge its answer),
    /// `UAT_NO_CANDIDATE`.
    pub fn plan(
        &self,
        request_id: Arc<str>,
        target: Target,
        request: &ChatRequest,
        ask: &RouteAsk,
        caller: Option<&Key>,
    ) -> Result<Arc<Routed>, RuntimeError> {
        let judge = ask.cascade.as_ref().map(|cascade| Judge::of(cascade, request)).transpose()?;
        let asked =
            Asked { request_id, target, request, ask, judge: judge.as_ref(), caller, counts: Counts::new() };
        let Decided { routed, refused, .. } = self.decided(&self.wiring.load(), asked, None)?;
        refused.map_or(Ok(Arc::new(routed)), |error| Err(error.into()))
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
    /// As [`check_score`](Self::check_score), and `UAT_STORAGE` where it could not be kept; then it does not count.
    pub async fn feedback(
        &self,
        model: Arc<str>,
        routed: Option<&Routed>,
        score: f64,
    ) -> Result<(), RuntimeError> {
        self.check_score(score)?;
        let seen = routed.map(|routed| &routed.seen);
        let kept = seen.filter(|_| self.feedback.is_kept());
        let judgement = Judgement {
            at_ms: now_ms(),
            score,
            expected: seen.and_then(|seen| seen.estimate(&model)).map(|estimate| estimate.mean),
            features: kept.and_then(|seen| seen.features().cloned()),
            model,
        };
        self.feedback.take(judgement).await
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
        let routing = &wiring.routing;
        let is_there = |model: &str| wiring.require_file(model).is_ok();
        let snapshot = routing.snapshot(&wiring.coordinator, &self.feedback, None, is_there);
        let models = routing.catalogue.models().iter().zip(snapshot.models);
        models
            .map(|(model, standing)| RoutedModel {
                name: Arc::clone(&model.name),
                tier: model.tier.clone(),
                capabilities: model.capabilities.clone(),
                quality: llm_router::quality(model.quality, standing.quality),
                samples: self.feedback.read(|known| known.samples(&model.name)),
                is_up: standing.health.is_up,
            })
            .collect()
    }
}
