//! Studies, bandits and advice over HTTP.
//!
//! Whoever has a key has names of their own: behind the key's name and a slash, which administrators see and others do not. Without keys
//! there is one space of names.

mod advice;
mod bandits;
mod studies;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::{get, post};
use http::{Response, StatusCode};
use llm_wire::WireError;
use runtime::parameter_analytics_service::{AnalyticsError, ParameterAnalytics};
use runtime::{Key, RuntimeError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{identified, with_type};
use crate::error::ApiError;
use crate::gateway::{Call, Gateway};
use crate::headers::{HTML, JSON};
use crate::request_body;

pub(super) fn router() -> Router<Arc<Gateway>> {
    Router::new()
        .route("/v1/studies", get(studies::list).post(studies::create))
        .route("/v1/studies/{name}", get(studies::show).delete(studies::remove))
        .route("/v1/studies/{name}/ask", post(studies::ask))
        .route("/v1/studies/{name}/best", get(studies::best))
        .route("/v1/studies/{name}/choices", post(studies::choices))
        .route("/v1/studies/{name}/heartbeat", post(studies::heartbeat))
        .route("/v1/studies/{name}/intermediate", post(studies::intermediate))
        .route("/v1/studies/{name}/report", get(studies::drawn))
        .route("/v1/studies/{name}/tell", post(studies::tell))
        .route("/v1/optimize", post(advice::optimize))
        .route("/v1/outcomes", post(advice::record))
        .route("/v1/bandits", get(bandits::list).post(bandits::create))
        .route("/v1/bandits/{name}", get(bandits::show))
        .route("/v1/bandits/{name}/report", get(bandits::drawn))
        .route("/v1/bandits/{name}/reward", post(bandits::reward))
        .route("/v1/bandits/{name}/select", post(bandits::select))
}

/// The names that a caller has.
#[derive(Debug, Clone)]
struct Scope(Option<Arc<Key>>);

impl Scope {
    /// What the names of this caller begin with.
    fn prefix(&self) -> String {
        match &self.0 {
            Some(key) if !key.is_admin() => format!("{}/", key.name()),
            _ => String::new(),
        }
    }

    fn inner(&self, name: &str) -> String {
        self.prefix() + name
    }

    /// As the caller calls it, if it is theirs.
    fn outer<'a>(&self, name: &'a str) -> Option<&'a str> {
        name.strip_prefix(&*self.prefix())
    }
}

/// Does something with the service and answers with what comes of it.
async fn answer<T: Serialize + Send + 'static>(
    gateway: &Gateway,
    call: &Call,
    act: impl FnOnce(&ParameterAnalytics) -> Result<(StatusCode, T), AnalyticsError> + Send + 'static,
) -> Result<Response<Body>, ApiError> {
    let prefix = Scope(call.caller.clone()).prefix();
    let parameters = gateway.runtime.parameters().await?;
    let done = parameters.run(act).await.map_err(|error| outer_error(error, &prefix));
    let (status, answer) = done?;
    let body = serde_json::to_vec(&answer).map_err(|error| RuntimeError::Internal {
        message: format!("an answer cannot be written: {error}"),
    })?;
    let mut response = with_type(body, JSON);
    *response.status_mut() = status;
    Ok(response)
}

/// The same with a page.
async fn page(
    gateway: &Gateway,
    call: &Call,
    act: impl FnOnce(&ParameterAnalytics) -> Result<String, AnalyticsError> + Send + 'static,
) -> Result<Response<Body>, ApiError> {
    let prefix = Scope(call.caller.clone()).prefix();
    let parameters = gateway.runtime.parameters().await?;
    let drawn = parameters.run(act).await.map_err(|error| outer_error(error, &prefix))?;
    Ok(with_type(drawn, HTML))
}

/// Names in an error are the caller's, and those of others are not told.
fn outer_error(error: RuntimeError, prefix: &str) -> RuntimeError {
    match error {
        RuntimeError::Parameters(AnalyticsError::NotFound { mut name, nearest }) => {
            if let Some(outer) = name.name.strip_prefix(prefix) {
                name.name = outer.into();
            }
            let nearest = if prefix.is_empty() { nearest } else { String::new() };
            RuntimeError::Parameters(AnalyticsError::NotFound { name, nearest })
        }
        RuntimeError::Parameters(AnalyticsError::Differs { mut name, differences }) => {
            if let Some(outer) = name.name.strip_prefix(prefix) {
                name.name = outer.into();
            }
            RuntimeError::Parameters(AnalyticsError::Differs { name, differences })
        }
        other => other,
    }
}

/// The answer to a call, whatever came of it.
fn finished(call: &Call, answered: Result<Response<Body>, ApiError>) -> Response<Body> {
    identified(call, answered.unwrap_or_else(|error| error.openai()))
}

/// Reads a document; nothing is one without members.
async fn body<T: DeserializeOwned>(gateway: &Gateway, request: Request) -> Result<T, ApiError> {
    let bytes = request_body::collect(request.into_body(), gateway.max_body()).await?;
    let bytes = if bytes.is_empty() { &b"{}"[..] } else { &bytes[..] };
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let wrong = |field: String, error: serde_json::Error| {
        let field = if field.is_empty() || field == "." { "the body".to_owned() } else { field };
        let expected = "a document as /openapi.json describes it".to_owned();
        ApiError::from(WireError::Invalid { field, expected, got: error.to_string() })
    };
    let read = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| wrong(error.path().to_string(), error.into_inner()))?;
    reader.end().map_err(|error| wrong(String::new(), error))?;
    Ok(read)
}
