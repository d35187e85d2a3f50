use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::sampler::SamplerKind;
use crate::space::Space;
use crate::study::StudyError;

/// Which values are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Small ones.
    Minimize,
    /// Large ones.
    Maximize,
}

/// Which trials are ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrunerKind {
    /// None.
    #[default]
    None,
    /// Those that are worse than half of the others were at the same step.
    Median,
    /// All but the best quarter, at steps 1, 4, 16, and so on.
    SuccessiveHalving,
}

/// What makes a study, in the words of `api.d.ts`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StudyOptions {
    /// Not empty.
    pub name: Arc<str>,
    /// What can be tried.
    pub space: Space,
    /// One for each objective.
    #[serde(default = "minimize")]
    pub directions: Vec<Direction>,
    /// Names of what must not be above 0.
    #[serde(default)]
    pub constraints: Vec<Arc<str>>,
    /// How points are chosen.
    #[serde(default)]
    pub sampler: SamplerKind,
    /// Where its random numbers come from.
    #[serde(default)]
    pub seed: u64,
    /// Which trials are ended early.
    #[serde(default)]
    pub pruner: PrunerKind,
    /// How often a worker says that it lives, in ms; a trial of which nothing was heard for two of them has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_ms: Option<u64>,
}

fn minimize() -> Vec<Direction> {
    vec![Direction::Minimize]
}

impl StudyOptions {
    /// One objective that is minimised, by the sampler that suits.
    pub fn new(name: &str, space: Space) -> Self {
        Self {
            name: name.into(),
            space,
            directions: minimize(),
            constraints: Vec::new(),
            sampler: SamplerKind::Auto,
            seed: 0,
            pruner: PrunerKind::None,
            heartbeat_ms: None,
        }
    }

    pub(super) fn check(&self) -> Result<(), StudyError> {
        let fail = |option, problem: &str| Err(StudyError::Option { option, problem: problem.to_owned() });
        match self.directions.len() {
            0 => return fail("directions", "needs at least one"),
            1 => {}
            _ => return Err(StudyError::Unsupported("several objectives")),
        }
        if self.name.is_empty() {
            return fail("name", "must not be empty");
        }
        if self.sampler == SamplerKind::Given {
            return fail("sampler", "is `auto`, `gp`, `tpe`, `random` or `sobol`");
        }
        if self.heartbeat_ms == Some(0) {
            return fail("heartbeatMs", "must be above 0");
        }
        let twice = |(place, name)| self.constraints.iter().take(place).any(|other| other == name);
        match self.constraints.iter().enumerate().find(|&constraint| twice(constraint)) {
            Some((_, name)) => fail("constraints", &format!("has `{name}` twice")),
            None => Ok(()),
        }
    }
}
