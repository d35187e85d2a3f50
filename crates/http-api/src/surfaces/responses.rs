//! OpenAI's Responses, of which nothing is stored.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::{Path, Request, State};
use bytes::BytesMut;
use http::Response;
use llm_wire::openai::responses::{FromOpenAi, ResponsesRequest, parse};

use super::{Begun, Whole, ask, complete_response, identified, stream_response};
use crate::answer_stream::Frames;
use crate::error::ApiError;
use crate::gateway::{Call, Gateway};
use crate::headers::{EVENT_STREAM, JSON};
use crate::request_body;

pub(super) async fn create(State(gateway): State<Arc<Gateway>>, request: Request) -> Response<Body> {
    let call = gateway.call(&request);
    match answer(&gateway, &call, request.into_body()).await {
        Ok(response) => response,
        Err(error) => identified(&call, error.openai()),
    }
}

async fn answer(gateway: &Gateway, call: &Call, body: Body) -> Result<Response<Body>, ApiError> {
    let body = request_body::collect(body, gateway.max_body()).await?;
    let ResponsesRequest { chat, echo } = parse(body)?;
    let translation = || FromOpenAi::new(&call.request_id, echo.clone(), now());
    let events = Events { translation: translation() };
    Ok(match ask(gateway, call, chat, Box::new(events)).await? {
        Begun::Complete(Whole { body, report, .. }) => {
            complete_response(call, translation().completion(&body, now())?, report, JSON)
        }
        Begun::Stream(stream, report) => stream_response(call, stream, report, EVENT_STREAM),
    })
}

/// Server-sent events with names and numbers.
struct Events {
    translation: FromOpenAi,
}

impl Frames for Events {
    fn chunk(&mut self, out: &mut BytesMut, chunk: &[u8]) -> Result<(), ApiError> {
        Ok(self.translation.chunk(chunk, out)?)
    }

    fn failed(&mut self, out: &mut BytesMut, error: &ApiError) {
        self.translation.failed(&error.body(), out);
    }

    fn ended(&mut self, out: &mut BytesMut) {
        self.translation.done(now(), out);
    }

    fn keep_alive(&self) -> Option<&'static [u8]> {
        Some(b": keep-alive\n\n")
    }
}

/// What would be read or deleted was never kept.
pub(super) async fn not_stored(Path(id): Path<String>) -> Response<Body> {
    ApiError::NotStored { id }.openai()
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
