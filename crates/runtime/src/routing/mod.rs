//! The router's part of a configuration, wired: `auto` and `tier:NAME` become a plan of models.

mod begin;
mod calls;
mod cascade;
mod count;
mod feedback;
mod judge;
mod learned_file;
mod meter;
mod question;
mod routed;

use std::sync::Arc;

use fast_llm_coordinator::{Coordinator, ModelConfig};
use llm_router::learned::Learned;
use llm_router::{Catalogue, Model, Policy, RoutingConfig, Seen, Snapshot, Standing, drawn};
use llm_wire::WireError;
use route_plan::Price;

use crate::errors::RuntimeError;
use crate::since_1970;

pub use calls::RoutedModel;
pub(crate) use feedback::Feedback;
pub use feedback::read as read_feedback;
pub use judge::{CascadeAsk, Predicate};
pub(crate) use learned_file::LearnedFile;
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
    learned: Option<Arc<LearnedFile>>,
    explores: bool,
}

impl Routing {
    pub(crate) fn new(
        config: &RoutingConfig,
        models: &[ModelConfig],
        price: impl Fn(&ModelConfig) -> Option<Price>,
        former: Option<&Self>,
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
        let names: Vec<&str> = models.iter().map(|model| &*model.name).collect();
        let former = former.and_then(|former| former.learned.as_ref());
        let learned = config.learned_file.as_deref().map(|path| LearnedFile::open(path, former, &names));
        Self { catalogue, policy: config.policy(), has_tiers, learned, explores: config.explore }
    }

    /// What was learned from judged answers.
    fn learned(&self) -> Option<&Arc<Learned>> {
        self.learned.as_ref()?.learned()
    }

    /// Looks at a question, if that is of any use. `prompt` gives its text.
    pub(crate) fn look(&self, feedback: &Feedback, prompt: impl FnOnce() -> String) -> Seen {
        let learned = self.learned();
        match learned.is_some() || feedback.is_kept() {
            true => Seen::of(&prompt(), learned),
            false => Seen::default(),
        }
    }

    /// What is known of the models now, to choose one for the question that was `seen`; `None`: whatever the question. `is_there`: the model could answer; its file, if it needs one, is there.
    pub(crate) fn snapshot(
        &self,
        coordinator: &Coordinator,
        feedback: &Feedback,
        seen: Option<&Seen>,
        is_there: impl Fn(&str) -> bool,
    ) -> Snapshot {
        let now = since_1970();
        let models = self.catalogue.models().iter();
        // Both have the order of the configuration.
        feedback.read(|judgements| {
            let mut rng =
                (seen.is_some() && self.explores && !judgements.is_empty()).then(fastrand::Rng::new);
            let standing = |(model, mut health): (&Model, route_plan::ModelHealth)| {
                health.is_up = health.is_up && is_there(&model.name);
                let estimate = seen.and_then(|seen| seen.estimate(&model.name));
                let quality = judgements.belief(&model.name, estimate, now);
                let drawn = rng.as_mut().map(|rng| drawn(model.quality, quality, rng));
                Standing { health, quality, drawn, prompt_tokens: None }
            };
            Snapshot { models: models.zip(coordinator.model_health()).map(standing).collect() }
        })
    }
}
