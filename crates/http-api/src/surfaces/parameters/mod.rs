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
use http::{HeaderValue, Response, StatusCode};
use llm_wire::WireError;
use runtime::Key;
use runtime::parameter_analytics_service::{AnalyticsError, ParameterAnalytics};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{openai_answer, with_type};
use crate::error::ApiError;
use crate::gateway::Gateway;
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
#[derive(Debug)]
struct Scope {
    /// What they begin with.
    prefix: String,
}

impl Scope {
    fn of(caller: Option<&Key>) -> Self {
        let own = caller.filter(|key| !key.is_admin());
        Self { prefix: own.map(|key| format!("{}/", key.name())).unwrap_or_default() }
    }

    /// As it is kept.
    fn inner(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// As the caller calls it, if it is theirs.
    fn outer<'a>(&self, name: &'a str) -> Option<&'a str> {
        name.strip_prefix(&*self.prefix)
    }

    /// Names in an error are the caller's, and those of others are not told.
    fn outer_error(&self, mut error: AnalyticsError) -> AnalyticsError {
        if let AnalyticsError::NotFound { nearest, .. } = &mut error
            && !self.prefix.is_empty()
        {
            nearest.clear();
        }
        if let AnalyticsError::NotFound { name, .. } | AnalyticsError::Differs { name, .. } = &mut error
            && let Some(outer) = self.outer(&name.name)
        {
            name.name = outer.into();
        }
        error
    }
}

/// What an operation answers: a document, or a page for people.
enum Said {
    Document(StatusCode, Vec<u8>),
    Page(String),
}

/// A document with 200.
fn said(document: &impl Serialize) -> Result<Said, AnalyticsError> {
    said_with(StatusCode::OK, document)
}

/// A document with 201 where something was created.
fn created(is_new: bool, document: &impl Serialize) -> Result<Said, AnalyticsError> {
    said_with(if is_new { StatusCode::CREATED } else { StatusCode::OK }, document)
}

fn said_with(status: StatusCode, document: &impl Serialize) -> Result<Said, AnalyticsError> {
    let written = serde_json::to_vec(document).map_err(|error| AnalyticsError::Refused {
        code: "UAT_INTERNAL",
        reason: format!("an answer cannot be written: {error}"),
    })?;
    Ok(Said::Document(status, written))
}

/// Does something with the service, on a thread that may block.
async fn read(
    gateway: &Gateway,
    request: Request,
    act: impl FnOnce(&ParameterAnalytics, &Scope) -> Result<Said, AnalyticsError> + Send + 'static,
) -> Response<Body> {
    let call = gateway.call(&request);
    drop(request);
    let scope = Scope::of(call.caller.as_deref());
    openai_answer(&call, answered(gateway, scope, act).await)
}

/// The same with the document that was sent.
async fn take<T: DeserializeOwned + Send + 'static>(
    gateway: &Gateway,
    request: Request,
    act: impl FnOnce(&ParameterAnalytics, &Scope, T) -> Result<Said, AnalyticsError> + Send + 'static,
) -> Response<Body> {
    let call = gateway.call(&request);
    let scope = Scope::of(call.caller.as_deref());
    let answer = match body(gateway, request).await {
        Ok(sent) => answered(gateway, scope, move |analytics, scope| act(analytics, scope, sent)).await,
        Err(error) => Err(error),
    };
    openai_answer(&call, answer)
}

async fn answered(
    gateway: &Gateway,
    scope: Scope,
    act: impl FnOnce(&ParameterAnalytics, &Scope) -> Result<Said, AnalyticsError> + Send + 'static,
) -> Result<Response<Body>, ApiError> {
    let parameters = gateway.runtime.parameters().await?;
    let act = move |analytics: &ParameterAnalytics| {
        act(analytics, &scope).map_err(|error| scope.outer_error(error))
    };
    let (status, content, media): (_, Body, HeaderValue) = match parameters.run(act).await? {
        Said::Document(status, written) => (status, written.into(), JSON),
        Said::Page(page) => (StatusCode::OK, page.into(), HTML),
    };
    let mut response = with_type(content, media);
    *response.status_mut() = status;
    Ok(response)
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
