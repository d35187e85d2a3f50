//! `/v1/optimize` and `/v1/outcomes`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use http::{Response, StatusCode};
use runtime::parameter_analytics_service::advice::{Context, Limits, Mode, Request as Wanted};
use runtime::parameter_analytics_service::space::{Space, SpaceDocument};
use runtime::parameter_analytics_service::study::StudyError;
use runtime::parameter_analytics_service::{About, AnalyticsError, CallOutcome, ParameterAnalytics};
use serde::Deserialize;
use serde_json::json;

use super::{Scope, answer, body, finished};
use crate::error::ApiError;
use crate::gateway::{Call, Gateway};

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
    let call = gateway.call(&request);
    finished(&call, optimized(&gateway, &call, request).await)
}

async fn optimized(gateway: &Gateway, call: &Call, request: Request) -> Result<Response<Body>, ApiError> {
    let Optimize { model, task_type, constraints, space, context, mode } = body(gateway, request).await?;
    let scope = Scope(call.caller.clone());
    let act = move |analytics: &ParameterAnalytics| {
        let space = space.map(Space::try_from).transpose().map_err(StudyError::from)?;
        let limits = Limits {
            max_latency_ms: constraints.max_latency,
            max_cost_usd: constraints.max_cost,
            min_quality: constraints.min_quality,
        };
        let about = About { model: scope.inner(&model).into(), task_type, space };
        let advised = analytics.optimize(&about, &Wanted { limits, mode, context })?;
        let advice = &advised.advice;
        let answer = json!({
            "trial_id": advised.trial_id,
            "parameters": advice.parameters,
            "expected": advice.expected,
            "feasible_probability": advice.feasible_probability,
            "source": advice.source,
            "observations": advice.observations,
        });
        Ok((StatusCode::OK, answer))
    };
    answer(gateway, call, act).await
}

/// `POST /v1/outcomes`: it is kept when the answer comes.
pub(super) async fn record(State(gateway): State<Arc<Gateway>>, request: Request) -> Response<Body> {
    let call = gateway.call(&request);
    finished(&call, recorded(&gateway, &call, request).await)
}

async fn recorded(gateway: &Gateway, call: &Call, request: Request) -> Result<Response<Body>, ApiError> {
    let outcome: CallOutcome = body(gateway, request).await?;
    let prefix = Scope(call.caller.clone()).prefix();
    let act = move |analytics: &ParameterAnalytics| {
        // Another key's trials are as unknown as those that were never given.
        if !prefix.is_empty() && !outcome.is_of(&prefix) {
            return Err(AnalyticsError::UnknownTrial { trial: outcome.trial_id.chars().take(40).collect() });
        }
        analytics.record(&outcome)?;
        Ok((StatusCode::OK, json!({})))
    };
    answer(gateway, call, act).await
}
