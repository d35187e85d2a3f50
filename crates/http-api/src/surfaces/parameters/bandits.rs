//! `/v1/bandits`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use http::{Response, StatusCode};
use runtime::parameter_analytics_service::bandit::DecisionId;
use runtime::parameter_analytics_service::report::bandit_html;
use runtime::parameter_analytics_service::{
    AnalyticsError, BanditDocument, ParameterAnalytics, PolicyName, RewardName, SharedBandit,
};
use serde::Deserialize;
use serde_json::json;

use super::words::arms;
use super::{Scope, answer, body, finished, page};
use crate::error::ApiError;
use crate::gateway::{Call, Gateway};

/// `GET /v1/bandits`.
pub(super) async fn list(State(gateway): State<Arc<Gateway>>, request: Request) -> Response<Body> {
    let call = gateway.call(&request);
    let scope = Scope(call.caller.clone());
    let act = move |analytics: &ParameterAnalytics| {
        let names = analytics.bandits()?;
        let own: Vec<&str> = names.iter().filter_map(|name| scope.outer(name)).collect();
        Ok((StatusCode::OK, json!({ "bandits": own })))
    };
    finished(&call, answer(&gateway, &call, act).await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewBandit {
    name: Arc<str>,
    arms: Vec<Arc<str>>,
    #[serde(default)]
    policy: PolicyName,
    #[serde(default)]
    reward: RewardName,
    context_dims: Option<usize>,
    discount: Option<f64>,
    seed: Option<u64>,
}

/// `POST /v1/bandits`.
pub(super) async fn create(State(gateway): State<Arc<Gateway>>, request: Request) -> Response<Body> {
    let call = gateway.call(&request);
    finished(&call, created(&gateway, &call, request).await)
}

async fn created(gateway: &Gateway, call: &Call, request: Request) -> Result<Response<Body>, ApiError> {
    let NewBandit { name, arms, policy, reward, context_dims, discount, seed } =
        body(gateway, request).await?;
    let scope = Scope(call.caller.clone());
    let act = move |analytics: &ParameterAnalytics| {
        let document = BanditDocument { name, arms, policy, reward, context_dims, discount, seed };
        let options = document.options(analytics.seed())?;
        let inner = scope.inner(&document.name);
        let is_new = !analytics.bandits()?.iter().any(|known| **known == *inner);
        let bandit = analytics.bandit(&inner, &options)?;
        bandit.flush(analytics.now())?;
        let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
        Ok((status, shown(&bandit, &document.name, analytics.now())?))
    };
    answer(gateway, call, act).await
}

/// `GET /v1/bandits/{name}`.
pub(super) async fn show(
    State(gateway): State<Arc<Gateway>>,
    Path(name): Path<String>,
    request: Request,
) -> Response<Body> {
    let call = gateway.call(&request);
    let outer = name.clone();
    let act = move |bandit: Arc<SharedBandit>, now| shown(&bandit, &outer, now);
    finished(&call, with_bandit(&gateway, &call, name, act).await)
}

/// `GET /v1/bandits/{name}/report`: one page for people.
pub(super) async fn drawn(
    State(gateway): State<Arc<Gateway>>,
    Path(name): Path<String>,
    request: Request,
) -> Response<Body> {
    let call = gateway.call(&request);
    let inner = Scope(call.caller.clone()).inner(&name);
    let act = move |analytics: &ParameterAnalytics| {
        let (bandit, now) = (analytics.load_bandit(&inner)?, analytics.now());
        let arms = bandit.posterior(None, now)?;
        Ok(bandit_html(&name, &arms, bandit.verdict().as_deref(), now))
    };
    finished(&call, page(&gateway, &call, act).await)
}

fn shown(bandit: &SharedBandit, name: &str, now: u64) -> Result<serde_json::Value, AnalyticsError> {
    let options = bandit.options();
    let posterior = arms(bandit.posterior(None, now)?);
    Ok(json!({
        "name": name,
        "policy": options.policy,
        "reward": options.rewards,
        "forget": options.forget,
        "posterior": posterior,
        "verdict": bandit.verdict(),
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Select {
    context: Option<Vec<f64>>,
}

/// `POST /v1/bandits/{name}/select`.
pub(super) async fn select(
    State(gateway): State<Arc<Gateway>>,
    Path(name): Path<String>,
    request: Request,
) -> Response<Body> {
    let call = gateway.call(&request);
    let act = |Select { context }, bandit: Arc<SharedBandit>, now| {
        let decision = bandit.select(context.as_deref(), now)?;
        Ok(json!({
            "arm": decision.arm,
            "decision_id": decision.decision_id,
            "probability": decision.probability,
        }))
    };
    finished(&call, posted(&gateway, &call, name, request, act).await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reward {
    decision_id: String,
    reward: f64,
}

/// `POST /v1/bandits/{name}/reward`: it is kept when the answer comes.
pub(super) async fn reward(
    State(gateway): State<Arc<Gateway>>,
    Path(name): Path<String>,
    request: Request,
) -> Response<Body> {
    let call = gateway.call(&request);
    let act = |Reward { decision_id, reward }, bandit: Arc<SharedBandit>, now| {
        let decision: DecisionId = decision_id.parse()?;
        bandit.reward(decision, reward, now)?;
        bandit.flush(now)?;
        Ok(json!({}))
    };
    finished(&call, posted(&gateway, &call, name, request, act).await)
}

/// Does something with a bandit of the caller's, at a time in ms since 1970.
async fn with_bandit<T: serde::Serialize + Send + 'static>(
    gateway: &Gateway,
    call: &Call,
    name: String,
    act: impl FnOnce(Arc<SharedBandit>, u64) -> Result<T, AnalyticsError> + Send + 'static,
) -> Result<Response<Body>, ApiError> {
    let inner = Scope(call.caller.clone()).inner(&name);
    let act = move |analytics: &ParameterAnalytics| {
        Ok((StatusCode::OK, act(analytics.load_bandit(&inner)?, analytics.now())?))
    };
    answer(gateway, call, act).await
}

/// The same with what was sent.
async fn posted<B, T>(
    gateway: &Gateway,
    call: &Call,
    name: String,
    request: Request,
    act: impl FnOnce(B, Arc<SharedBandit>, u64) -> Result<T, AnalyticsError> + Send + 'static,
) -> Result<Response<Body>, ApiError>
where
    B: serde::de::DeserializeOwned + Send + 'static,
    T: serde::Serialize + Send + 'static,
{
    let sent: B = body(gateway, request).await?;
    with_bandit(gateway, call, name, move |bandit, now| act(sent, bandit, now)).await
}
