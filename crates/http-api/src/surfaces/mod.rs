//! One file per dialect, and one for those who operate the server.

mod anthropic;
mod audio;
mod gemini;
mod inspect;
mod ollama;
mod openai;
mod operations;
mod parameters;
mod realtime;
mod responses;
mod routes;
mod routing;
pub(crate) mod whip;

use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::{delete, get, post};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use llm_wire::Spoken;
use llm_wire::openai::{ChatRequest, EmbeddingsRequest};
use runtime::{Answer, ChatOptions, ContextAsk, CoordinatorError, Key, RuntimeError, nearest};

use crate::answer_stream::{AnswerStream, Frames, Pending, unexpected_answer};
use crate::error::ApiError;
use crate::gateway::{Call, Gateway};
use crate::headers::{insert_report, insert_request_id};
use crate::openapi::openapi;

pub(crate) use openai::{chat_completions, is_chat_completion};
pub(crate) use routes::{ROUTES, Route, route_of};

pub(crate) fn router() -> Router<Arc<Gateway>> {
    Router::new()
        .route("/", get(operations::about))
        .route(openai::CHAT_COMPLETIONS, post(openai::chat_completions_route))
        .route(audio::TRANSCRIPTIONS, post(audio::transcriptions))
        .route("/v1/embeddings", post(openai::embeddings))
        .route("/v1/endpoints", get(operations::endpoints))
        .route("/v1/messages", post(anthropic::messages))
        .route("/v1/messages/count_tokens", post(anthropic::count_tokens))
        .route("/v1/models", get(openai::models))
        .route("/v1/models/{*id}", get(openai::model))
        .route(realtime::REALTIME, get(realtime::realtime))
        .route("/v1/responses", post(responses::create))
        .route("/v1/responses/{*id}", get(responses::not_stored).delete(responses::not_stored))
        .route("/api/chat", post(ollama::chat))
        .route("/api/embed", post(ollama::embed))
        .route("/api/embeddings", post(ollama::embeddings))
        .route("/api/generate", post(ollama::generate))
        .route("/api/ps", get(ollama::running))
        .route("/api/show", post(ollama::show))
        .route("/api/tags", get(ollama::tags))
        .route("/api/version", get(ollama::version))
        .route("/v1beta/models/{*call}", post(gemini::call))
        .route("/demo", get(whip::page))
        .route(whip::WHIP, post(whip::offer))
        .route("/whip/{id}", delete(whip::end))
        .route("/health/live", get(operations::live))
        .route("/health/ready", get(operations::ready))
        .route("/metrics", get(operations::metrics))
        .route("/openapi.json", get(openapi))
        .route("/v1/routing/{request_id}", get(routing::routing))
        .route("/v1/routing/{request_id}/feedback", post(routing::feedback))
        .merge(parameters::router())
        .fallback(no_such_path)
        .method_not_allowed_fallback(method_not_allowed)
}

/// What is served at `server.admin_bind`.
pub(crate) fn admin_router() -> Router<Arc<Gateway>> {
    Router::new()
        .route("/v1/endpoints", get(operations::endpoints))
        .route("/health/live", get(operations::live))
        .route("/health/ready", get(operations::ready))
        .route("/metrics", get(operations::metrics))
        .fallback(no_such_path)
        .method_not_allowed_fallback(method_not_allowed)
}

/// How the clients of a path read an error.
pub(crate) fn dialect(path: &str, headers: &HeaderMap) -> fn(&ApiError) -> Response<Body> {
    match path {
        path if path.starts_with("/api/") => ApiError::ollama,
        path if path.starts_with("/v1/messages") => ApiError::anthropic,
        path if path.starts_with("/v1/models") && anthropic::is_client(headers) => ApiError::anthropic,
        path if path.starts_with("/v1beta/") => ApiError::gemini,
        _ => ApiError::openai,
    }
}

async fn no_such_path(request: Request) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let nearest = nearest(path.trim_end_matches('/'), ROUTES.iter().map(|route| route.path));
    let dialect = dialect(&path, request.headers());
    dialect(&ApiError::NoSuchPath { path, nearest })
}

/// axum adds the header `Allow`.
async fn method_not_allowed(request: Request) -> Response<Body> {
    ApiError::MethodNotAllowed {
        method: request.method().as_str().to_owned(),
        path: request.uri().path().to_owned(),
    }
    .openai()
}

/// A whole answer.
struct Whole {
    body: Bytes,
    /// Its dialect, if it is the client's own and not OpenAI's.
    spoken: Option<Spoken>,
    report: runtime::RoutingReport,
}

/// A whole answer, or the beginning of a stream.
enum Begun {
    Complete(Whole),
    Stream(Body, Option<runtime::RoutingReport>),
}

/// Asks the core. A stream resolves with its first content; where `hold` passes before that, it is begun without.
async fn ask(
    gateway: &Gateway,
    call: &Call,
    request: ChatRequest,
    frames: Box<dyn Frames>,
) -> Result<Begun, ApiError> {
    ask_with(gateway, call, request, None, frames).await
}

/// The same with what is to be added to the request.
async fn ask_with(
    gateway: &Gateway,
    call: &Call,
    request: ChatRequest,
    context: Option<Box<ContextAsk>>,
    frames: Box<dyn Frames>,
) -> Result<Begun, ApiError> {
    let options = ChatOptions { context, ..call.asks(request.model())? };
    let caller = call.caller.as_ref();
    if !request.stream() {
        let asking = pin!(gateway.runtime.chat(request, options));
        let answer = unless_revoked(caller, asking).await?;
        return Ok(Begun::Complete(whole(answer)?));
    }
    let may_hold = frames.keep_alive().is_some();
    let runtime = gateway.runtime.clone();
    let mut pending: Pending = Box::pin(async move { runtime.chat(request, options).await });
    let answer = tokio::select! {
        biased;
        answer = unless_revoked(caller, &mut pending) => answer?,
        () = tokio::time::sleep(gateway.hold()), if may_hold => {
            let held = AnswerStream::held(pending, frames, Arc::clone(&call.trail)).until_revoked(caller);
            return Ok(Begun::Stream(Body::new(held), None));
        }
    };
    match answer {
        Answer::Stream(stream) => {
            let report = stream.report();
            let running =
                AnswerStream::running(stream, frames, Arc::clone(&call.trail)).until_revoked(caller);
            Ok(Begun::Stream(Body::new(running), Some(report)))
        }
        Answer::Complete { .. } => Err(unexpected_answer().into()),
    }
}

/// The same for embeddings, which are never streamed.
async fn embed(gateway: &Gateway, call: &Call, request: EmbeddingsRequest) -> Result<Whole, ApiError> {
    let options = call.asks(request.model())?;
    let asking = pin!(gateway.runtime.embed(request, options));
    whole(unless_revoked(call.caller.as_ref(), asking).await?)
}

/// What is asked for ends when the key is revoked with which it was asked. `asking` is better a pinned reference: an
/// `async fn` has room for its arguments twice.
async fn unless_revoked<T>(
    caller: Option<&Arc<Key>>,
    asking: impl Future<Output = Result<T, RuntimeError>>,
) -> Result<T, RuntimeError> {
    let Some(key) = caller else { return asking.await };
    tokio::select! {
        biased;
        answer = asking => answer,
        () = key.revoked() => Err(RuntimeError::KeyRevoked),
    }
}

fn whole(answer: Answer) -> Result<Whole, ApiError> {
    match answer {
        Answer::Complete { body, spoken, report } => Ok(Whole { body, spoken, report }),
        Answer::Stream(_) => Err(unexpected_answer().into()),
    }
}

/// Proxies such as nginx collect an answer before they pass it on, unless they are told otherwise.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

fn stream_response(
    call: &Call,
    stream: Body,
    report: Option<runtime::RoutingReport>,
    content_type: HeaderValue,
) -> Response<Body> {
    let mut response = Response::new(stream);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    insert_request_id(headers, &call.request_id);
    if let Some(report) = report {
        insert_report(headers, &report);
        call.trail.streams(report);
    }
    response
}

fn complete_response(
    call: &Call,
    body: Bytes,
    report: runtime::RoutingReport,
    content_type: HeaderValue,
) -> Response<Body> {
    let mut response = with_type(body, content_type);
    let headers = response.headers_mut();
    insert_request_id(headers, &call.request_id);
    insert_report(headers, &report);
    call.trail.answered(report);
    response
}

pub(crate) fn with_type(body: impl Into<Body>, content_type: HeaderValue) -> Response<Body> {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// Refuses a model that a key may not use: as anywhere, it is unknown to it.
fn may_use(caller: Option<&Arc<Key>>, model: &str) -> Result<(), RuntimeError> {
    if caller.is_none_or(|key| key.may_use(model)) {
        return Ok(());
    }
    Err(CoordinatorError::ModelNotFound { model: model.to_owned(), nearest: Vec::new() }.into())
}

/// What OpenAI's clients are answered, under the request's own id.
fn openai_answer(call: &Call, answered: Result<Response<Body>, ApiError>) -> Response<Body> {
    identified(call, answered.unwrap_or_else(|error| error.openai()))
}

/// The parameter of a query, as it stands there.
fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// An answer under the request's own id.
fn identified(call: &Call, mut response: Response<Body>) -> Response<Body> {
    insert_request_id(response.headers_mut(), &call.request_id);
    response
}
