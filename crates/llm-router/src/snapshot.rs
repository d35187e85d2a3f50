use route_plan::ModelHealth;
use serde::{Deserialize, Serialize};

use crate::judgements::Belief;

/// What is known of a model at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// How it answers, from the answers that it gave.
    pub health: ModelHealth,
    /// How good its answers to such questions were; `None`: nothing was learnt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<Belief>,
    /// What its quality was taken to be for this question, where whoever chooses explores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drawn: Option<f64>,
    /// Tokens of the prompt, where they were counted as this model does; `None`: the question's own number counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_tokens: Option<u64>,
}

/// What is known of the models of a catalogue, in its order. Of a model beyond the end nothing is known.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Snapshot {
    /// One for each model.
    pub models: Vec<Standing>,
}

impl Snapshot {
    pub(crate) fn of(&self, place: usize) -> Standing {
        self.models.get(place).copied().unwrap_or_default()
    }
}
