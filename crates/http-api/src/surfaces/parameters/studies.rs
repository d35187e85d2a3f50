//! `/v1/studies`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use http::Response;
use runtime::parameter_analytics_service::report;
use runtime::parameter_analytics_service::space::{Space, Value};
use runtime::parameter_analytics_service::study::{Outcome, StudyError, StudyOptions};
use serde::Deserialize;
use serde_json::json;

use super::words::{NewStudy, StudyWords, TrialWords};
use super::{Said, created, read, said, take};
use crate::gateway::Gateway;

/// `GET /v1/studies`.
pub(super) async fn list(State(gateway): State<Arc<Gateway>>, request: Request) -> Response<Body> {
    read(&gateway, request, |analytics, scope| {
        let names = analytics.studies()?;
        let own: Vec<&str> = names.iter().filter_map(|name| scope.outer(name)).collect();
        said(&json!({ "studies": own }))
    })
    .await
}

/// `POST /v1/studies`.
pub(super) async fn create(State(gateway): State<Arc<Gateway>>, request: Request) -> Response<Body> {
    take(&gateway, request, |analytics, scope, new: NewStudy| {
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
        created(is_new, &StudyWords::of(&*study.now()?, &new.name))
    })
    .await
}

/// `GET /v1/studies/{name}`.
pub(super) async fn show(
    State(gateway): State<Arc<Gateway>>,
    Path(name): Path<String>,
    request: Request,
) -> Response<Body> {
    read(&gateway, request, move |analytics, scope| {
        let study = analytics.load_study(&scope.inner(&name))?.now()?;
        said(&StudyWords::of(&study, &name))
    })
    .await
}

/// `GET /v1/studies/{name}/best`.
pub(super) async fn best(
    State(gateway): State<Arc<Gateway>>,
    Path(name): Path<String>,
    request: Request,
) -> Response<Body> {
    read(&gateway, request, move |analytics, scope| {
        let study = analytics.load_study(&scope.inner(&name))?.now()?;
        said(&json!({ "best": study.best().map(|trial| TrialWords::of(&study, trial)) }))
    })
    .await
}

/// `GET /v1/studies/{name}/report`: one page for people.
pub(super) async fn drawn(
    State(gateway): State<Arc<Gateway>>,
    Path(name): Path<String>,
    request: Request,
) -> Response<Body> {
    read(&gateway, request, move |analytics, scope| {
        let study = analytics.load_study(&scope.inner(&name))?.now()?;
        Ok(Said::Page(report::html(&study, analytics.now())))
    })
    .await
}

/// `DELETE /v1/studies/{name}`.
pub(super) async fn remove(
    State(gateway): State<Arc<Gateway>>,
    Path(name): Path<String>,
    request: Request,
) -> Response<Body> {
    read(&gateway, request, move |analytics, scope| {
        analytics.remove_study(&scope.inner(&name))?;
        said(&json!({}))
    })
    .await
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
    take(&gateway, request, move |analytics, scope, Ask { count }| {
        let now = analytics.now();
        let trials = analytics.change_study(&scope.inner(&name), |study| {
            let asked = study.ask(count, now)?;
            asked
                .iter()
                .map(|trial| Ok(TrialWords::of(study, study.trial(*trial)?)))
                .collect::<Result<Vec<_>, _>>()
        })?;
        said(&json!({ "trials": trials }))
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tell {
    trial: u64,
    values: Option<Values>,
    #[serde(default)]
    constraint_values: Vec<f64>,
}

#[derive(Deserialize)]
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
    take(&gateway, request, move |analytics, scope, Tell { trial, values, constraint_values }| {
        let outcome = match values {
            None => Outcome::Nothing,
            Some(Values::One(value)) => Outcome::Values(vec![value], constraint_values),
            Some(Values::Several(values)) => Outcome::Values(values, constraint_values),
        };
        let now = analytics.now();
        analytics.change_study(&scope.inner(&name), |study| study.tell(trial, outcome.clone(), now))?;
        said(&json!({}))
    })
    .await
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
    take(&gateway, request, move |analytics, scope, Intermediate { trial, step, value }| {
        let now = analytics.now();
        let should_prune = analytics.change_study(&scope.inner(&name), |study| {
            study.report(trial, step, value, now)?;
            study.should_prune(trial)
        })?;
        said(&json!({ "should_prune": should_prune }))
    })
    .await
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
    take(&gateway, request, move |analytics, scope, Heartbeat { trial }| {
        let now = analytics.now();
        analytics.change_study(&scope.inner(&name), |study| study.heartbeat(trial, now))?;
        said(&json!({}))
    })
    .await
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
    take(&gateway, request, move |analytics, scope, Choices { parameter, add, retire }| {
        analytics.change_study(&scope.inner(&name), |study| {
            add.iter().try_for_each(|choice| study.add_choice(&parameter, choice.clone()))?;
            retire.iter().try_for_each(|choice| study.retire_choice(&parameter, choice.clone()))
        })?;
        said(&json!({}))
    })
    .await
}
