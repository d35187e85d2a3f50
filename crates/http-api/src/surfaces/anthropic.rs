//! Anthropic's dialect.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::{Request, State};
use bytes::BytesMut;
use http::{HeaderMap, HeaderValue, Response};
use llm_wire::anthropic::{
    FromOpenAi, ends_stream, error_kind, parse_count_tokens, parse_messages, token_count,
};
use llm_wire::openai::ChatRequest;
use runtime::ModelInfo;
use serde_json::{Value, json};

use super::{Begun, Whole, ask, complete_response, identified, stream_response, with_type};
use crate::answer_stream::Frames;
use crate::error::ApiError;
use crate::gateway::{Call, Gateway};
use crate::headers::{ESTIMATE, EVENT_STREAM, JSON};
use crate::request_body;

pub(super) async fn messages(State(gateway): State<Arc<Gateway>>, request: Request) -> Response<Body> {
    let call = gateway.call(&request);
    let beta = beta(request.headers());
    match answer(&gateway, &call, beta, request.into_body()).await {
        Ok(response) => response,
        Err(error) => identified(&call, error.anthropic()),
    }
}

pub(super) async fn count_tokens(State(gateway): State<Arc<Gateway>>, request: Request) -> Response<Body> {
    let call = gateway.call(&request);
    let beta = beta(request.headers());
    match counted(&gateway, &call, beta, request.into_body()).await {
        Ok(response) => identified(&call, response),
        Err(error) => identified(&call, error.anthropic()),
    }
}

async fn counted(
    gateway: &Gateway,
    call: &Call,
    beta: Option<String>,
    body: Body,
) -> Result<Response<Body>, ApiError> {
    let body = request_body::collect(body, gateway.max_body()).await?;
    let request = with_beta(parse_count_tokens(body)?, beta);
    let options = call.asks(request.model())?;
    let count = gateway.runtime.count_tokens(&request, options).await?;
    let mut response = with_type(token_count(count.tokens), JSON);
    if count.is_estimate {
        response.headers_mut().insert(ESTIMATE, HeaderValue::from_static("upper"));
    }
    Ok(response)
}

/// Whether this client reads lists in Anthropic's shape: its header says so.
pub(super) fn is_client(headers: &HeaderMap) -> bool {
    headers.contains_key("anthropic-version")
}

/// The list of models, all on one page.
pub(super) fn model_list(models: &[ModelInfo]) -> Response<Body> {
    let data: Vec<Value> = models.iter().map(model_entry).collect();
    let end = |model: Option<&ModelInfo>| model.map(|model| model.name.to_string());
    let (first_id, last_id) = (end(models.first()), end(models.last()));
    let list = json!({ "data": data, "has_more": false, "first_id": first_id, "last_id": last_id });
    with_type(list.to_string(), JSON)
}

/// One of them.
pub(super) fn model_entry(model: &ModelInfo) -> Value {
    let created = UNIX_EPOCH + Duration::from_secs(model.created);
    let created = humantime::format_rfc3339_seconds(created).to_string();
    json!({ "type": "model", "id": &*model.name, "display_name": &*model.name, "created_at": created })
}

/// Betas of the interface that the client uses, for an endpoint that gets its document as it is.
fn beta(headers: &HeaderMap) -> Option<String> {
    let named: Vec<&str> =
        headers.get_all("anthropic-beta").iter().filter_map(|value| value.to_str().ok()).collect();
    (!named.is_empty()).then(|| named.join(","))
}

fn with_beta(request: ChatRequest, beta: Option<String>) -> ChatRequest {
    match beta {
        Some(beta) => request.with_beta(beta),
        None => request,
    }
}

async fn answer(
    gateway: &Gateway,
    call: &Call,
    beta: Option<String>,
    body: Body,
) -> Result<Response<Body>, ApiError> {
    let body = request_body::collect(body, gateway.max_body()).await?;
    let request = with_beta(parse_messages(body)?, beta);
    let translation = FromOpenAi::new(request.model().to_owned(), &call.request_id);
    let events = Events { translation, own_end_came: false };
    Ok(match ask(gateway, call, request, Box::new(events)).await? {
        Begun::Complete(Whole { body, spoken: Some(_), report }) => {
            complete_response(call, body, report, JSON)
        }
        Begun::Complete(Whole { body, spoken: None, report }) => {
            let message = FromOpenAi::completion(&body, &call.request_id)?;
            complete_response(call, message, report, JSON)
        }
        Begun::Stream(stream, report) => stream_response(call, stream, report, EVENT_STREAM),
    })
}

/// What an endpoint may have left out, although its reason to stop says that the message is whole.
const MESSAGE_STOP: &[u8] = b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

/// Anthropic's events.
struct Events {
    translation: FromOpenAi,
    /// Whether an endpoint that speaks the dialect has ended the message.
    own_end_came: bool,
}

impl Frames for Events {
    fn chunk(&mut self, out: &mut BytesMut, chunk: &[u8]) -> Result<(), ApiError> {
        Ok(self.translation.chunk(chunk, out)?)
    }

    fn own(&mut self, out: &mut BytesMut, event: &[u8]) -> Result<(), ApiError> {
        self.own_end_came |= is_end(event);
        out.extend_from_slice(event);
        Ok(())
    }

    fn failed(&mut self, out: &mut BytesMut, error: &ApiError) {
        self.translation.failed(out, error_kind(error.status()), &error.to_string());
    }

    fn ended(&mut self, out: &mut BytesMut) {
        self.translation.done(out);
    }

    fn own_ended(&mut self, out: &mut BytesMut) {
        if !self.own_end_came {
            out.extend_from_slice(MESSAGE_STOP);
        }
    }

    fn keep_alive(&self) -> Option<&'static [u8]> {
        Some(b"event: ping\ndata: {\"type\": \"ping\"}\n\n")
    }
}

/// Whether an event, framed as the core does it, ends the message.
fn is_end(event: &[u8]) -> bool {
    match event.strip_prefix(b"event: ") {
        Some(named) => named.starts_with(b"message_stop\n"),
        None => event.strip_prefix(b"data: ").is_some_and(|data| ends_stream(None, data)),
    }
}
