//! `optimize()` and `record()`: requests and answers as JSON, in the words of `api.d.ts`.

use std::sync::Arc;

use runtime::parameter_analytics_service::advice::{Context, Limits, Mode, Performance, Request};
use runtime::parameter_analytics_service::space::{Space, SpaceDocument};
use runtime::parameter_analytics_service::study::StudyError;
use runtime::parameter_analytics_service::{About, Advised, AnalyticsError};
use serde::Deserialize;
use serde_json::{Value, json};

/// `OptimizeRequest`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct OptimizeRequest {
    model: Arc<str>,
    task_type: Arc<str>,
    #[serde(default)]
    constraints: Constraints,
    space: Option<SpaceDocument>,
    #[serde(default)]
    context: Context,
    #[serde(default)]
    mode: Mode,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Constraints {
    max_latency: Option<f64>,
    max_cost: Option<f64>,
    min_quality: Option<f64>,
}

impl OptimizeRequest {
    pub(super) fn into_request(self) -> Result<(About, Request), AnalyticsError> {
        let Self { model, task_type, constraints, space, context, mode } = self;
        let space = space.map(Space::try_from).transpose().map_err(StudyError::from)?;
        let limits = Limits {
            max_latency_ms: constraints.max_latency,
            max_cost_usd: constraints.max_cost,
            min_quality: constraints.min_quality,
        };
        Ok((About { model, task_type, space }, Request { limits, mode, context }))
    }
}

/// `OptimizeResult`; null stands for what nobody knows.
pub(super) fn advised(Advised { trial_id, advice }: &Advised) -> Value {
    let expected = &advice.expected;
    json!({
        "trialId": trial_id,
        "parameters": advice.parameters,
        "expected": {
            "reward": expected.reward,
            "rewardStd": expected.reward_std,
            "latencyMs": expected.latency_ms,
            "costUsd": expected.cost_usd,
        },
        "feasibleProbability": advice.feasible_probability,
        "source": advice.source,
        "observations": advice.observations,
    })
}

/// `PerformanceFilter`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Filter {
    pub(super) model: Option<Arc<str>>,
    pub(super) task_type: Option<Arc<str>>,
    pub(super) since_ms: Option<f64>,
}

impl Filter {
    pub(super) fn takes(&self, about: &About) -> bool {
        self.model.as_ref().is_none_or(|model| *model == about.model)
            && self.task_type.as_ref().is_none_or(|task_type| *task_type == about.task_type)
    }
}

/// A row of `performance()`.
pub(super) fn performance(about: &About, performance: &Performance) -> Value {
    json!({
        "model": about.model,
        "taskType": about.task_type,
        "trials": performance.trials,
        "errors": performance.errors,
        "rewardMean": performance.reward_mean,
        "latencyP50": performance.latency_p50,
        "latencyP95": performance.latency_p95,
        "costUsd": performance.cost_usd,
        "best": performance.best,
    })
}
