//! `/v1/studies`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use http::{Response, StatusCode};
use runtime::parameter_analytics_service::report;
use runtime::parameter_analytics_service::space::{Space, Value};
use runtime::parameter_analytics_service::study::{Outcome, StudyError, StudyOptions};
use runtime::parameter_analytics_service::{AnalyticsError, ParameterAnalytics, SharedStudy};
use serde::Deserialize;
use serde_json::json;

use super::words::{NewStudy, StudyWords, TrialWords};
use super::{Scope, answer, body, finished, page};
use crate::error::ApiError;
use crate::gateway::{Call, Gateway};

/// What most answers are given with.
const OK: StatusCode = StatusCode::OK;

/// `GET /v1/studies`.
pub(super) async fn list(State(gateway): State<Arc<Gateway>>, request: Request) -> Response<Body> {
    let call = gateway.call(&request);
    let scope = Scope(call.caller.clone());
    let act = move |analytics: &ParameterAnalytics| {
        let names = analytics.studies()?;
        let own: Vec<&str> = names.iter().filter_map(|name| scope.outer(name)).collect();
        Ok((OK, json!({ "studies": own })))
    };
    finished(&call, answer(&gateway, &call, act).await)
}

/// `POST /v1/studies`.
pub(super) async fn create(State(gateway): State<Arc<Gateway>>, request: Request) -> Response<Body> {
    let call = gateway.call(&request);
    finished(&call, created(&gateway, &call, request).await)
}

async fn created(gateway: &Gateway, call: &Call, request: Request) -> Result<Response<Body>, ApiError> {
    let new: NewStudy = body(gateway, request).await?;
    let scope = Scope(call.caller.clone());
    let act = move |analytics: &ParameterAnalytics| {
        let space = Space::try_from(new.space).map_err(StudyError::from)?;
        let default = StudyOptions::new(&scope.inner(&new.name), space);
        let options = StudyOptions {
            directions: new.directions.unwrap_or(default.directions),
            constraints: new.constraints.unwrap_or_default(),
            sampler: new.sampler.unwrap_or_default(),
            seed: new.seed.unwrap_or_default(),
            pruner: new.pruner.unwrap_or_default(),
            heartbeat_ms: new.heartbeat_ms,
            ..default
        };
        if new.name.is_empty() {
            // A prefix alone is no name.
            let problem = "must not be empty".to_owned();
            return Err(StudyError::Option { option: "name", problem }.into());
        }
        let (study, is_new) = analytics.create_study(&options)?;
        let status = if is_new { StatusCode::CREATED } else { OK };
        Ok((status, StudyWords::of(&*study.now()?, &new.name)))
    };
    answer(gateway, call, act).await
}

/// `GET /v1/studies/{name}`.
pub(super) async fn show(
    State(gateway): State<Arc<Gateway>>,
    Path(name): Path<String>,
    request: Request,
) -> Response<Body> {
    let call = gateway.call(&request);
    let outer = name.clone();
    let act = move |study: Arc<SharedStudy>, _| Ok(StudyWords::of(&*study.now()?, &outer));
    finished(&call, with_study(&gateway, &call, name, act).await)
}

/// `GET /v1/studies/{name}/best`.
pub(super) async fn best(
    State(gateway): State<Arc<Gateway>>,
    Path(name): Path<String>,
    request: Request,
) -> Response<Body> {
    let call = gateway.call(&request);
    let act = move |study: Arc<SharedStudy>, _| {
        let study = study.now()?;
        Ok(json!({ "best": study.best().map(|trial| TrialWords::of(&study, trial)) }))
    };
    finished(&call, with_study(&gateway, &call, name, act).await)
}

/// `GET /v1/studies/{name}/report`: one page for people.
pub(super) async fn drawn(
    State(gateway): State<Arc<Gateway>>,
    Path(name): Path<String>,
    request: Request,
) -> Response<Body> {
    let call = gateway.call(&request);
    let inner = Scope(call.caller.clone()).inner(&name);
    let act = move |analytics: &ParameterAnalytics| {
        Ok(report::html(&*analytics.load_study(&inner)?.now()?, analytics.now()))
    };
    finished(&call, page(&gateway, &call, act).await)
}

/// `DELETE /v1/studies/{name}`.
pub(super) async fn remove(
    State(gateway): State<Arc<Gateway>>,
    Path(name): Path<String>,
    request: Request,
) -> Response<Body> {
    let call = gateway.call(&request);
    let inner = Scope(call.caller.clone()).inner(&name);
    let act = move |analytics: &ParameterAnalytics| {
        analytics.remove_study(&inner)?;
        Ok((OK, json!({})))
    };
    finished(&call, answer(&gateway, &call, act).await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    #[serde(default = "one")]
    count: usize,
}

fn one() -> usize {
    1
}

/// `POST /v1/studies/{name}/ask`.
pub(super) async fn ask(
    State(gateway): State<Arc<Gateway>>,
    Path(name): Path<String>,
    request: Request,
) -> Response<Body> {
    let call = gateway.call(&request);
    let act = |Ask { count }, study: Arc<SharedStudy>, now| {
        let trials = study.change(|study| study.ask(count, now))?;
        let study = study.now()?;
        let words = trials.iter().filter_map(|trial| Some(TrialWords::of(&study, study.trial(*trial).ok()?)));
        Ok(json!({ "trials": words.collect::<Vec<_>>() }))
    };
    finished(&call, posted(&gateway, &call, name, request, act).await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tell {
    trial: u64,
    values: Option<Values>,
    #[serde(default)]
    constraint_values: Vec<f64>,
}

#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Values {
    One(f64),
    Several(Vec<f64>),
}

/// `POST /v1/studies/{name}/tell`.
pub(super) async fn tell(
    State(gateway): State<Arc<Gateway>>,
    Path(name): Path<String>,
    request: Request,
) -> Response<Body> {
    let call = gateway.call(&request);
    let act = |Tell { trial, values, constraint_values }, study: Arc<SharedStudy>, now| {
        let outcome = match values {
            None => Outcome::Nothing,
            Some(Values::One(value)) => Outcome::Values(vec![value], constraint_values),
            Some(Values::Several(values)) => Outcome::Values(values, constraint_values),
        };
        study.change(|study| study.tell(trial, outcome.clone(), now))?;
        Ok(json!({}))
    };
    finished(&call, posted(&gateway, &call, name, request, act).await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Intermediate {
    trial: u64,
    step: u64,
    value: f64,
}

/// `POST /v1/studies/{name}/intermediate`: a value on the way, and whether to go on.
pub(super) async fn intermediate(
    State(gateway): State<Arc<Gateway>>,
    Path(name): Path<String>,
    request: Request,
) -> Response<Body> {
    let call = gateway.call(&request);
    let act = |Intermediate { trial, step, value }, study: Arc<SharedStudy>, now| {
        study.change(|study| study.report(trial, step, value, now))?;
        Ok(json!({ "should_prune": study.now()?.should_prune(trial)? }))
    };
    finished(&call, posted(&gateway, &call, name, request, act).await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Heartbeat {
    trial: u64,
}

/// `POST /v1/studies/{name}/heartbeat`: the worker of a trial lives.
pub(super) async fn heartbeat(
    State(gateway): State<Arc<Gateway>>,
    Path(name): Path<String>,
    request: Request,
) -> Response<Body> {
    let call = gateway.call(&request);
    let act = |Heartbeat { trial }, study: Arc<SharedStudy>, now| {
        study.change(|study| study.heartbeat(trial, now))?;
        Ok(json!({}))
    };
    finished(&call, posted(&gateway, &call, name, request, act).await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Choices {
    parameter: String,
    #[serde(default)]
    add: Vec<Value>,
    #[serde(default)]
    retire: Vec<Value>,
}

/// `POST /v1/studies/{name}/choices`: what a categorical parameter can be from now on.
pub(super) async fn choices(
    State(gateway): State<Arc<Gateway>>,
    Path(name): Path<String>,
    request: Request,
) -> Response<Body> {
    let call = gateway.call(&request);
    let act = |Choices { parameter, add, retire }, study: Arc<SharedStudy>, _| {
        study.change(|study| {
            add.iter().try_for_each(|choice| study.add_choice(&parameter, choice.clone()))?;
            retire.iter().try_for_each(|choice| study.retire_choice(&parameter, choice.clone()))
        })?;
        Ok(json!({}))
    };
    finished(&call, posted(&gateway, &call, name, request, act).await)
}

/// Does something with a study of the caller's, at a time in ms since 1970.
async fn with_study<T: serde::Serialize + Send + 'static>(
    gateway: &Gateway,
    call: &Call,
    name: String,
    act: impl FnOnce(Arc<SharedStudy>, u64) -> Result<T, AnalyticsError> + Send + 'static,
) -> Result<Response<Body>, ApiError> {
    let inner = Scope(call.caller.clone()).inner(&name);
    let act =
        move |analytics: &ParameterAnalytics| Ok((OK, act(analytics.load_study(&inner)?, analytics.now())?));
    answer(gateway, call, act).await
}

/// The same with what was sent.
async fn posted<B, T>(
    gateway: &Gateway,
    call: &Call,
    name: String,
    request: Request,
    act: impl FnOnce(B, Arc<SharedStudy>, u64) -> Result<T, AnalyticsError> + Send + 'static,
) -> Result<Response<Body>, ApiError>
where
    B: serde::de::DeserializeOwned + Send + 'static,
    T: serde::Serialize + Send + 'static,
{
    let sent: B = body(gateway, request).await?;
    with_study(gateway, call, name, move |study, now| act(sent, study, now)).await
}
