//! For those who operate the server: is it alive, can it answer, what has it done.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use http::{Response, StatusCode};
use runtime::{EndpointHealth, EndpointState, RuntimeError};
use serde_json::json;

use super::with_type;
use crate::error::ApiError;
use crate::gateway::Gateway;
use crate::headers::{JSON, PROMETHEUS, TEXT};
use crate::metrics::{Snapshot, exposition};
use crate::observer::Observer;

pub(super) async fn about() -> Response<Body> {
    let text = concat!(
        "universal-ai-tools ",
        env!("CARGO_PKG_VERSION"),
        " is running.\n\nOpenAI clients: base URL http://<this address>/v1\nAnthropic clients, Gemini clients, Ollama clients: base URL http://<this address>\n",
        "Models: /v1/models   Health: /health/ready   Metrics: /metrics\n"
    );
    with_type(text, TEXT)
}

pub(super) async fn live() -> Response<Body> {
    with_type(json!({ "status": "ok" }).to_string(), JSON)
}

/// 200 while at least one endpoint may be asked. A configuration that was refused is told and changes nothing in that: the
/// former one answers.
///
/// Which endpoints there are is nobody's business who needs no key to ask.
pub(super) async fn ready(State(gateway): State<Arc<Gateway>>) -> Response<Body> {
    let endpoints = gateway.runtime.health();
    let asked =
        |health: &EndpointHealth| !matches!(health.state, EndpointState::Open | EndpointState::Quarantined);
    let status = if gateway.is_draining() {
        "draining"
    } else if endpoints.iter().any(asked) {
        "ok"
    } else {
        "no endpoint can be asked"
    };
    let config = if gateway.runtime.reloads().last_failed { "last change refused" } else { "current" };
    let mut document = match gateway.asks_for_keys() {
        true => json!({ "status": status, "config": config }),
        false => json!({ "status": status, "config": config, "endpoints": endpoints }),
    };
    // It still answers: whoever has no limits, and the others from what was claimed before.
    if gateway.runtime.limits_outage().is_some() {
        document["limits"] = json!("cannot be counted at present");
    }
    let mut response = with_type(document.to_string(), JSON);
    if status != "ok" {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

/// What is known of each endpoint, and how it came to that.
pub(super) async fn endpoints(State(gateway): State<Arc<Gateway>>) -> Response<Body> {
    with_type(json!({ "endpoints": gateway.runtime.health() }).to_string(), JSON)
}

pub(super) async fn metrics(State(gateway): State<Arc<Gateway>>) -> Response<Body> {
    let runtime = &gateway.runtime;
    let (stats, endpoints, reloads) = (runtime.stats(), runtime.health(), runtime.reloads());
    let Observer { series, counts, .. } = &*gateway.observer;
    let snapshot = Snapshot {
        stats: &stats,
        endpoints: &endpoints,
        traffic: &gateway.traffic,
        reloads: &reloads,
        limits_up: runtime.limits_outage().is_none(),
        budgets_used: &runtime.budgets_used(),
        series,
        told: counts,
        gpus: runtime.gpus(),
    };
    match exposition(&snapshot) {
        Ok(text) => with_type(text, PROMETHEUS),
        Err(error) => {
            let message = format!("the metrics cannot be written: {error}");
            ApiError::from(RuntimeError::Internal { message }).openai()
        }
    }
}
