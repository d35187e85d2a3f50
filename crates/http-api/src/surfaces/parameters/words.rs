//! Documents of studies and bandits: `api.d.ts`, in snake case.

use std::collections::BTreeMap;
use std::sync::Arc;

use runtime::parameter_analytics_service::bandit::Standing;
use runtime::parameter_analytics_service::sampler::SamplerKind;
use runtime::parameter_analytics_service::space::{ParameterValues, SpaceDocument};
use runtime::parameter_analytics_service::study::{Direction, PrunerKind, State, Study, StudyOptions, Trial};
use serde::{Deserialize, Serialize};

/// What a study is made from.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewStudy {
    pub(super) name: Arc<str>,
    pub(super) space: SpaceDocument,
    pub(super) directions: Option<Vec<Direction>>,
    pub(super) constraints: Option<Vec<Arc<str>>>,
    pub(super) sampler: Option<SamplerKind>,
    pub(super) seed: Option<u64>,
    pub(super) pruner: Option<PrunerKind>,
    pub(super) heartbeat_ms: Option<u64>,
}

/// A trial.
#[derive(Serialize)]
pub(super) struct TrialWords {
    id: u64,
    parameters: ParameterValues,
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<Vec<f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    constraint_values: Option<Vec<f64>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reports: Vec<(u64, f64)>,
    state: State,
    started_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<u64>,
}

impl TrialWords {
    pub(super) fn of(study: &Study, trial: &Trial) -> Self {
        let document = study.document(trial);
        Self {
            id: document.id,
            parameters: document.parameters,
            values: document.values,
            constraint_values: document.constraint_values,
            reports: document.reports,
            state: document.state,
            started_at: document.started_at,
            ended_at: document.ended_at,
        }
    }
}

/// All of a study.
#[derive(Serialize)]
pub(super) struct StudyWords {
    name: String,
    space: SpaceDocument,
    directions: Vec<Direction>,
    constraints: Vec<Arc<str>>,
    sampler: SamplerKind,
    /// Which sampler chooses now, and why.
    chooses: Chooses,
    seed: u64,
    pruner: PrunerKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    heartbeat_ms: Option<u64>,
    trials: Vec<TrialWords>,
    best: Option<TrialWords>,
    pareto_front: Vec<TrialWords>,
    /// How much each parameter matters.
    importance: BTreeMap<Arc<str>, f64>,
}

#[derive(Serialize)]
struct Chooses {
    sampler: SamplerKind,
    reason: String,
}

impl StudyWords {
    /// `name` is what its caller calls it.
    pub(super) fn of(study: &Study, name: &str) -> Self {
        let StudyOptions { space, directions, constraints, sampler, seed, pruner, heartbeat_ms, .. } =
            study.options().clone();
        let chooses = study.sampler();
        let best = study.best().map(|trial| TrialWords::of(study, trial));
        Self {
            name: name.to_owned(),
            space: SpaceDocument::from(&space),
            directions,
            constraints,
            sampler,
            chooses: Chooses { sampler: chooses.sampler, reason: chooses.reason },
            seed,
            pruner,
            heartbeat_ms,
            trials: study.trials().map(|trial| TrialWords::of(study, trial)).collect(),
            pareto_front: study
                .pareto_front()
                .into_iter()
                .map(|trial| TrialWords::of(study, trial))
                .collect(),
            importance: study.importance().into_iter().collect(),
            best,
        }
    }
}

/// What is known of an arm.
#[derive(Serialize)]
pub(super) struct ArmWords {
    mean: f64,
    std: f64,
    pulls: f64,
    probability_best: f64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_retired: bool,
}

pub(super) fn arms(standings: Vec<Standing>) -> BTreeMap<Arc<str>, ArmWords> {
    let words = |Standing { arm, is_retired, mean, std, pulls, probability_best }| {
        (arm, ArmWords { mean, std, pulls, probability_best, is_retired })
    };
    standings.into_iter().map(words).collect()
}
