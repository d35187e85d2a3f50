//! The router's part of a configuration, wired: `auto` and `tier:NAME` become a plan of models.

mod begin;
mod calls;
mod meter;
mod question;
mod routed;

use std::sync::Arc;

use fast_llm_coordinator::{Coordinator, ModelConfig};
use llm_router::{Catalogue, Features, Learner, Model, Policy, RoutingConfig, Snapshot, Standing};
use llm_wire::WireError;
use route_plan::Price;

use crate::errors::RuntimeError;

pub use calls::RoutedModel;
pub(crate) use meter::admit_any;
pub use question::RouteAsk;
pub use routed::{DecisionSlot, Routed};

/// What was wanted of whoever answers says nothing where the request names who that is.
pub(crate) fn not_routed(model: &str, is_choice: bool) -> RuntimeError {
    let why = if is_choice { "a choice is described (x-uat-route)" } else { "context is wanted" };
    RuntimeError::Input(WireError::Invalid {
        field: "model".to_owned(),
        expected: format!("auto or tier:NAME, because {why}"),
        got: model.to_owned(),
    })
}

/// What decides, as one configuration has it.
pub(crate) struct Routing {
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) policy: Policy,
    /// Whether the configuration says anything of tiers.
    pub(crate) has_tiers: bool,
}

impl Routing {
    pub(crate) fn new(
        config: &RoutingConfig,
        models: &[ModelConfig],
        price: impl Fn(&ModelConfig) -> Option<Price>,
    ) -> Self {
        let model = |model: &ModelConfig| Model {
            name: Arc::clone(&model.name),
            tier: model.tier.clone(),
            capabilities: model.capabilities.iter().map(|capability| capability.as_str().into()).collect(),
            context_tokens: model.context_tokens,
            max_output_tokens: model.max_output_tokens,
            price: price(model),
            quality: model.quality,
        };
        let has_tiers = !config.tiers.is_empty() || models.iter().any(|model| model.tier.is_some());
        let catalogue = Arc::new(Catalogue::new(models.iter().map(model).collect(), config.tiers.clone()));
        Self { catalogue, policy: config.policy(), has_tiers }
    }

    /// What is known of the models now. `is_there`: the model could answer; its file, if it needs one, is there.
    pub(crate) fn snapshot(
        &self,
        coordinator: &Coordinator,
        learner: &dyn Learner,
        features: &Features,
        is_there: impl Fn(&str) -> bool,
    ) -> Snapshot {
        let models = self.catalogue.models().iter();
        // Both have the order of the configuration.
        let standing = |(model, mut health): (&Model, route_plan::ModelHealth)| {
            health.is_up = health.is_up && is_there(&model.name);
            Standing { health, quality: learner.quality(features, model) }
        };
        Snapshot { models: models.zip(coordinator.model_health()).map(standing).collect() }
    }
}
