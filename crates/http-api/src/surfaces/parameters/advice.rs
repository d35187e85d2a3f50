//! `/v1/optimize` and `/v1/outcomes`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use http::Response;
use runtime::parameter_analytics_service::advice::{Context, Limits, Mode, Request as Wanted};
use runtime::parameter_analytics_service::space::{Space, SpaceDocument};
use runtime::parameter_analytics_service::study::StudyError;
use runtime::parameter_analytics_service::{About, AnalyticsError, CallOutcome};
use serde::Deserialize;
use serde_json::json;

use super::{said, take};
use crate::gateway::Gateway;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Optimize {
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
#[serde(deny_unknown_fields, default)]
struct Constraints {
    /// Ms.
    max_latency: Option<f64>,
    /// USD.
    max_cost: Option<f64>,
    min_quality: Option<f64>,
}

/// `POST /v1/optimize`.
pub(super) async fn optimize(State(gateway): State<Arc<Gateway>>, request: Request) -> Response<Body> {
    take(&gateway, request, |analytics, scope, wanted| {
        let Optimize { model, task_type, constraints, space, context, mode } = wanted;
        let space = space.map(Space::try_from).transpose().map_err(StudyError::from)?;
        let limits = Limits {
            max_latency_ms: constraints.max_latency,
            max_cost_usd: constraints.max_cost,
            min_quality: constraints.min_quality,
        };
        let about = About { model: scope.inner(&model).into(), task_type, space };
        let advised = analytics.optimize(&about, &Wanted { limits, mode, context })?;
        let advice = &advised.advice;
        said(&json!({
            "trial_id": advised.trial_id,
            "parameters": advice.parameters,
            "expected": advice.expected,
            "feasible_probability": advice.feasible_probability,
            "source": advice.source,
            "observations": advice.observations,
        }))
    })
    .await
}

/// `POST /v1/outcomes`: it is kept when the answer comes.
pub(super) async fn record(State(gateway): State<Arc<Gateway>>, request: Request) -> Response<Body> {
    take(&gateway, request, |analytics, scope, outcome: CallOutcome| {
        // Another key's trials are as unknown as those that were never given.
        if !scope.prefix.is_empty() && !outcome.is_of(&scope.prefix) {
            return Err(AnalyticsError::UnknownTrial { trial: outcome.trial_id.chars().take(40).collect() });
        }
        analytics.record(&outcome)?;
        said(&json!({}))
    })
    .await
}
