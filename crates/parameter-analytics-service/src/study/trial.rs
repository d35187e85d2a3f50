use serde::{Deserialize, Serialize};

use crate::sampler::SamplerKind;
use crate::space::{ParameterValues, Point};

/// Where a trial is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Somebody is at it.
    Running,
    /// It has its values.
    Complete,
    /// It has none, and the point is kept clear of.
    Failed,
    /// It was ended early.
    Pruned,
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Pruned => "pruned",
        })
    }
}

/// One try. Times are ms since 1970.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// From 0.
    pub id: u64,
    /// What was tried.
    pub point: Point,
    /// Which sampler chose it.
    pub by: SamplerKind,
    /// Where it is.
    pub state: State,
    /// One for each objective, once complete.
    pub values: Vec<f64>,
    /// One for each constraint, once complete; feasible up to 0.
    pub constraint_values: Vec<f64>,
    /// Steps and values that were reported on the way, in the order of steps.
    pub reports: Vec<(u64, f64)>,
    /// When it was asked.
    pub started_at: u64,
    /// When it was last heard of.
    pub seen_at: u64,
    /// When it ended.
    pub ended_at: Option<u64>,
}

impl Trial {
    /// By how much the constraints are not met, in sum; 0 where all are.
    pub fn violation(&self) -> f64 {
        self.constraint_values.iter().map(|value| value.max(0.0)).sum()
    }
}

/// A trial in the words of `api.d.ts`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrialDocument {
    /// From 0.
    pub id: u64,
    /// What was tried.
    pub parameters: ParameterValues,
    /// One for each objective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<f64>>,
    /// One for each constraint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constraint_values: Option<Vec<f64>>,
    /// Steps and values that were reported on the way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reports: Vec<(u64, f64)>,
    /// Where it is.
    pub state: State,
    /// Ms since 1970.
    pub started_at: u64,
    /// Ms since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<u64>,
}
