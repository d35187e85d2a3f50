//! What happened to a request, for whoever made it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use http::Response;
use llm_wire::WireError;
use runtime::llm_router::Record;
use runtime::telemetry::Fate;
use runtime::{Attempt, CacheOutcome, Key, Tuned};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{identified, with_type};
use crate::error::ApiError;
use crate::gateway::{Gateway, caller};
use crate::headers::JSON;
use crate::observer::{Observer, tokens};
use crate::recent::Whose;
use crate::request_body;
use crate::trail::{Known, Trail};

/// `GET /v1/routing/{request_id}`; with `?record` also what it takes to decide the same again.
pub(super) async fn routing(
    State(gateway): State<Arc<Gateway>>,
    Path(id): Path<String>,
    request: Request,
) -> Response<Body> {
    let whose = whose(caller(request.extensions()));
    let mut wishes = request.uri().query().unwrap_or_default().split('&');
    let with_record = wishes.any(|wish| matches!(wish, "record" | "record=true"));
    match gateway.observer.recent.find(&id, &whose) {
        Some(trail) => with_type(report(&gateway.observer, &trail, &whose, with_record), JSON),
        None => ApiError::NoSuchReport { id }.openai(),
    }
}

fn whose(caller: Option<Arc<Key>>) -> Whose {
    match caller {
        Some(key) if key.is_admin() => Whose::All,
        Some(key) => Whose::Of(Some(Arc::clone(key.name()))),
        None => Whose::Of(None),
    }
}

/// How good an answer was.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Feedback {
    /// 0 to 1.
    score: f64,
}

/// `POST /v1/routing/{request_id}/feedback`.
pub(super) async fn feedback(
    State(gateway): State<Arc<Gateway>>,
    Path(id): Path<String>,
    request: Request,
) -> Response<Body> {
    let call = gateway.call(&request);
    match judged(&gateway, id, request).await {
        Ok(answer) => identified(&call, with_type(answer.to_string(), JSON)),
        Err(error) => identified(&call, error.openai()),
    }
}

async fn judged(gateway: &Gateway, id: String, request: Request) -> Result<serde_json::Value, ApiError> {
    let whose = whose(caller(request.extensions()));
    let body = request_body::collect(request.into_body(), gateway.max_body()).await?;
    let Feedback { score } = serde_json::from_slice(&body).map_err(|error| WireError::Invalid {
        field: "score".to_owned(),
        expected: "{\"score\": a number from 0 to 1}".to_owned(),
        got: error.to_string(),
    })?;
    let Some(trail) = gateway.observer.recent.find(&id, &whose) else {
        return Err(ApiError::NoSuchReport { id });
    };
    let (answered, routed, tuned) = trail.known(|known| {
        let model = known.report.as_ref().map(|report| Arc::clone(&report.model));
        (model, known.routed().cloned(), known.tuned().cloned())
    });
    let Some(model) = answered else { return Err(ApiError::NotAnswered { id }) };
    gateway.runtime.check_score(score)?;
    if !trail.is_judged_first() {
        return Err(ApiError::JudgedAlready { id });
    }
    let taken = gateway.runtime.feedback(Arc::clone(&model), routed.as_deref(), score).await;
    taken.inspect_err(|_| trail.is_not_judged())?;
    if let Some(tuned) = tuned
        && let Err(error) = gateway.runtime.learn(&tuned, score).await
    {
        tracing::warn!(%error, "the judgement teaches the router, and not the parameters");
    }
    Ok(json!({ "requestId": id, "model": model, "score": score }))
}

/// In the words of `RoutingReport` in Node.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    request_id: &'a str,
    /// Nothing changes any more.
    is_final: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache: Option<CacheOutcome>,
    attempts: Vec<Tried<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    overhead_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_content_ms: Option<f64>,
    dropped: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Used>,
    /// Of the answer, and of a cascade's first stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_usd: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<Record>,
    /// With which it was asked, where the request named none and the model says `parameters = "auto"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    tuned: Option<&'a Tuned>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tried<'a> {
    #[serde(flatten)]
    attempt: &'a Attempt,
    started_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Used {
    prompt_tokens: u64,
    cached_prompt_tokens: u64,
    completion_tokens: u64,
}

fn report(observer: &Observer, trail: &Trail, whose: &Whose, with_record: bool) -> Vec<u8> {
    trail.known(|known| {
        let report = known.report.as_ref();
        // An endpoint's own words may repeat a prompt: they are for whoever sent it.
        let attempts: Vec<Attempt> = match whose {
            Whose::Of(_) => known.attempts().to_vec(),
            Whose::All => {
                known.attempts().iter().map(|attempt| Attempt { error: None, ..attempt.clone() }).collect()
            }
        };
        let written = Report {
            request_id: &trail.request_id,
            is_final: known.fate.is_some(),
            outcome: known.fate.map(Fate::as_str),
            status: known.status,
            code: known.code,
            key: known.key.as_deref(),
            model: report.map(|report| &*report.model).or(known.model.as_deref()),
            endpoint: report.map(|report| &*report.endpoint),
            cache: report.map(|report| report.cache),
            attempts: attempts.iter().map(tried).collect(),
            overhead_us: report.map(|report| report.overhead_us),
            first_content_ms: known.first_content.map(|time| time.as_secs_f64() * 1e3),
            dropped: report.map_or(&[], |report| &report.dropped),
            usage: used(known),
            cost_usd: observer.cost(known).map(|nano| nano as f64 / 1e9),
            trace_id: trail.begun.as_ref().map(|begun| format!("{:032x}", begun.context.trace_id())),
            plan: known.routed().map(|routed| routed.plan()),
            record: known.routed().filter(|_| with_record).map(|routed| routed.record()),
            tuned: known.tuned(),
        };
        // Text and numbers: nothing that JSON cannot carry.
        serde_json::to_vec(&written).unwrap_or_default()
    })
}

fn tried(attempt: &Attempt) -> Tried<'_> {
    Tried { attempt, started_ms: attempt.started_ms, code: attempt.code }
}

fn used(known: &Known) -> Option<Used> {
    tokens(known.report.as_ref()?).map(|tokens| Used {
        prompt_tokens: tokens.prompt,
        cached_prompt_tokens: tokens.cached_prompt,
        completion_tokens: tokens.completion,
    })
}
