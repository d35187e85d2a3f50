//! Anthropic's dialect.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use bytes::BytesMut;
use http::Response;
use llm_wire::anthropic::{FromOpenAi, error_kind, parse_messages};

use super::{Begun, Whole, ask, complete_response, identified, stream_response};
use crate::answer_stream::Frames;
use crate::error::ApiError;
use crate::gateway::{Call, Gateway};
use crate::headers::{EVENT_STREAM, JSON};
use crate::request_body;

pub(super) async fn messages(State(gateway): State<Arc<Gateway>>, request: Request) -> Response<Body> {
    let call = gateway.call(request.headers());
    match answer(&gateway, &call, request.into_body()).await {
        Ok(response) => response,
        Err(error) => identified(&call, error.anthropic()),
    }
}

async fn answer(gateway: &Gateway, call: &Call, body: Body) -> Result<Response<Body>, ApiError> {
    let body = request_body::collect(body, gateway.max_body).await?;
    let request = parse_messages(body)?;
    let events = Events(FromOpenAi::new(request.model().to_owned(), &call.request_id));
    Ok(match ask(gateway, call, request, Box::new(events)).await? {
        Begun::Complete(Whole { body, spoken: Some(_), report }) => {
            complete_response(call, body, &report, JSON)
        }
        Begun::Complete(Whole { body, spoken: None, report }) => {
            let message = FromOpenAi::completion(&body, &call.request_id)?;
            complete_response(call, message, &report, JSON)
        }
        Begun::Stream(stream, report) => stream_response(call, stream, report.as_ref(), EVENT_STREAM),
    })
}

/// Anthropic's events.
struct Events(FromOpenAi);

impl Frames for Events {
    fn chunk(&mut self, out: &mut BytesMut, chunk: &[u8]) -> Result<(), ApiError> {
        Ok(self.0.chunk(chunk, out)?)
    }

    fn failed(&mut self, out: &mut BytesMut, error: &ApiError) {
        self.0.failed(out, error_kind(error.status()), &error.to_string());
    }

    fn ended(&mut self, out: &mut BytesMut) {
        self.0.done(out);
    }

    fn keep_alive(&self) -> Option<&'static [u8]> {
        Some(b"event: ping\ndata: {\"type\": \"ping\"}\n\n")
    }
}
