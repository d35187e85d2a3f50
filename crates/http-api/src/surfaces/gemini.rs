//! Gemini's dialect. The model and what is wanted of it stand in the path: `/v1beta/models/MODEL:METHOD`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use bytes::{Bytes, BytesMut};
use http::{Response, Uri};
use llm_wire::WireError;
use llm_wire::gemini::{
    FromOpenAi, batch_embed_answer, embed_answer, parse_batch_embed, parse_embed, parse_generate,
    wants_thoughts,
};
use llm_wire::openai::EmbeddingsRequest;
use llm_wire::sse;

use super::{Begun, Whole, ask, complete_response, embed, identified, stream_response};
use crate::answer_stream::Frames;
use crate::error::ApiError;
use crate::gateway::{Call, Gateway};
use crate::headers::{EVENT_STREAM, JSON};
use crate::request_body;

/// What the last part of a path names, for "did you mean".
const METHODS: [&str; 4] = ["generateContent", "streamGenerateContent", "embedContent", "batchEmbedContents"];

/// The longest event that is taken from an endpoint which speaks Gemini's dialect, in bytes: what the core takes.
const MAX_EVENT_BYTES: usize = 8 << 20;

pub(super) async fn call(
    State(gateway): State<Arc<Gateway>>,
    Path(path): Path<String>,
    request: Request,
) -> Response<Body> {
    let call = gateway.call(&request);
    let (model, method) = path.rsplit_once(':').unwrap_or((&path, ""));
    let answered = match method {
        "generateContent" => generate(&gateway, &call, model, None, request).await,
        "streamGenerateContent" => {
            let framing = framing(request.uri());
            generate(&gateway, &call, model, Some(framing), request).await
        }
        "embedContent" => embedded(&gateway, &call, model, request, parse_embed, embed_answer).await,
        "batchEmbedContents" => {
            embedded(&gateway, &call, model, request, parse_batch_embed, batch_embed_answer).await
        }
        method => {
            let path = request.uri().path().to_owned();
            Err(ApiError::NoSuchPath { path, nearest: runtime::nearest(method, METHODS.iter().copied()) })
        }
    };
    answered.unwrap_or_else(|error| identified(&call, error.gemini()))
}

/// How the documents of a stream are set apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Framing {
    Events,
    Array,
}

/// Google's servers stream an array unless they are asked for events.
fn framing(uri: &Uri) -> Framing {
    let mut pairs = uri.query().unwrap_or_default().split('&');
    if pairs.any(|pair| matches!(pair, "alt=sse" | "%24alt=sse" | "$alt=sse")) {
        Framing::Events
    } else {
        Framing::Array
    }
}

async fn generate(
    gateway: &Gateway,
    call: &Call,
    model: &str,
    framing: Option<Framing>,
    request: Request,
) -> Result<Response<Body>, ApiError> {
    let body = request_body::collect(request.into_body(), gateway.max_body()).await?;
    let request = parse_generate(body, model, framing.is_some())?;
    let thoughts = wants_thoughts(&request);
    let translation =
        || FromOpenAi::new(model.to_owned(), call.request_id.to_string()).with_thoughts(thoughts);
    let (frames, content_type): (Box<dyn Frames>, _) = match framing {
        Some(Framing::Array) => (Box::new(Elements::new(translation())), JSON),
        Some(Framing::Events) | None => (Box::new(Events(translation())), EVENT_STREAM),
    };
    Ok(match ask(gateway, call, request, frames).await? {
        Begun::Complete(Whole { body, spoken: Some(_), report }) => {
            complete_response(call, body, report, JSON)
        }
        Begun::Complete(Whole { body, spoken: None, report }) => {
            complete_response(call, translation().whole(&body)?, report, JSON)
        }
        Begun::Stream(stream, report) => stream_response(call, stream, report, content_type),
    })
}

/// Documents as server-sent events.
struct Events(FromOpenAi);

impl Frames for Events {
    fn chunk(&mut self, out: &mut BytesMut, chunk: &[u8]) -> Result<(), ApiError> {
        Ok(self.0.chunk(chunk, out)?)
    }

    fn failed(&mut self, out: &mut BytesMut, error: &ApiError) {
        self.0.failed(out, error.status(), &error.to_string());
    }

    fn ended(&mut self, out: &mut BytesMut) {
        self.0.done(out);
    }

    fn keep_alive(&self) -> Option<&'static [u8]> {
        Some(b": keep-alive\r\n\r\n")
    }
}

/// Documents as the elements of one array.
struct Elements {
    translation: FromOpenAi,
    decoder: sse::Decoder,
}

impl Elements {
    fn new(translation: FromOpenAi) -> Self {
        Self { translation: translation.as_array(), decoder: sse::Decoder::new(MAX_EVENT_BYTES) }
    }
}

impl Frames for Elements {
    fn chunk(&mut self, out: &mut BytesMut, chunk: &[u8]) -> Result<(), ApiError> {
        Ok(self.translation.chunk(chunk, out)?)
    }

    /// Gemini is always asked for events.
    fn own(&mut self, out: &mut BytesMut, event: &[u8]) -> Result<(), ApiError> {
        self.decoder.push(Bytes::copy_from_slice(event));
        while let Some(event) = self.decoder.next_event() {
            self.translation.own(&event?.data, out);
        }
        Ok(())
    }

    fn failed(&mut self, out: &mut BytesMut, error: &ApiError) {
        self.translation.failed(out, error.status(), &error.to_string());
    }

    fn ended(&mut self, out: &mut BytesMut) {
        self.translation.done(out);
    }

    fn own_ended(&mut self, out: &mut BytesMut) {
        self.translation.close(out);
    }

    /// White space before an array, and between its elements, says nothing.
    fn keep_alive(&self) -> Option<&'static [u8]> {
        Some(b"\r\n")
    }
}

/// `answer` writes a list of OpenAI's as the method's clients read it.
async fn embedded(
    gateway: &Gateway,
    call: &Call,
    model: &str,
    request: Request,
    parse: fn(&[u8], &str) -> Result<EmbeddingsRequest, WireError>,
    answer: fn(&[u8]) -> Result<Bytes, WireError>,
) -> Result<Response<Body>, ApiError> {
    let body = request_body::collect(request.into_body(), gateway.max_body()).await?;
    let Whole { body, report, .. } = embed(gateway, call, parse(&body, model)?).await?;
    Ok(complete_response(call, answer(&body)?, report, JSON))
}
