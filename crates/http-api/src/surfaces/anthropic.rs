//! Anthropic's dialect.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use bytes::BytesMut;
use http::Response;
use llm_wire::anthropic::{FromOpenAi, ends_stream, error_kind, parse_messages};

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
    let translation = FromOpenAi::new(request.model().to_owned(), &call.request_id);
    let events = Events { translation, own_end_came: false };
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
