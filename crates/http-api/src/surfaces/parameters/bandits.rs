//! `/v1/bandits`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use http::Response;
use runtime::parameter_analytics_service::bandit::DecisionId;
use runtime::parameter_analytics_service::report::bandit_html;
use runtime::parameter_analytics_service::{
    AnalyticsError, BanditDocument, PolicyName, RewardName, SharedBandit,
};
use serde::Deserialize;
use serde_json::json;

use super::words::arms;
use super::{Said, created, read, said, take};
use crate::gateway::Gateway;

/// `GET /v1/bandits`.
pub(super) async fn list(State(gateway): State<Arc<Gateway>>, request: Request) -> Response<Body> {
    read(&gateway, request, |analytics, scope| {
        let names = analytics.bandits()?;
        let own: Vec<&str> = names.iter().filter_map(|name| scope.outer(name)).collect();
        said(&json!({ "bandits": own }))
    })
    .await
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
    take(&gateway, request, |analytics, scope, new| {
        let NewBandit { name, arms, policy, reward, context_dims, discount, seed } = new;
        let document = BanditDocument { name, arms, policy, reward, context_dims, discount, seed };
        let options = document.options(analytics.seed())?;
        let (bandit, is_new) = analytics.create_bandit(&scope.inner(&document.name), &options)?;
        created(is_new, &shown(&bandit, &document.name, analytics.now())?)
    })
    .await
}

/// `GET /v1/bandits/{name}`.
pub(super) async fn show(
    State(gateway): State<Arc<Gateway>>,
    Path(name): Path<String>,
    request: Request,
) -> Response<Body> {
    read(&gateway, request, move |analytics, scope| {
        let bandit = analytics.load_bandit(&scope.inner(&name))?;
        said(&shown(&bandit, &name, analytics.now())?)
    })
    .await
}

/// `GET /v1/bandits/{name}/report`: one page for people.
pub(super) async fn drawn(
    State(gateway): State<Arc<Gateway>>,
    Path(name): Path<String>,
    request: Request,
) -> Response<Body> {
    read(&gateway, request, move |analytics, scope| {
        let (bandit, now) = (analytics.load_bandit(&scope.inner(&name))?, analytics.now());
        let arms = bandit.posterior(None, now)?;
        Ok(Said::Page(bandit_html(&name, &arms, bandit.verdict().as_deref(), now)))
    })
    .await
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
    take(&gateway, request, move |analytics, scope, Select { context }| {
        let bandit = analytics.load_bandit(&scope.inner(&name))?;
        let decision = bandit.select(context.as_deref(), analytics.now())?;
        said(&json!({
            "arm": decision.arm,
            "decision_id": decision.decision_id,
            "probability": decision.probability,
        }))
    })
    .await
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
    take(&gateway, request, move |analytics, scope, Reward { decision_id, reward }| {
        let (bandit, now) = (analytics.load_bandit(&scope.inner(&name))?, analytics.now());
        let decision: DecisionId = decision_id.parse()?;
        bandit.reward(decision, reward, now)?;
        bandit.flush(now)?;
        said(&json!({}))
    })
    .await
}
