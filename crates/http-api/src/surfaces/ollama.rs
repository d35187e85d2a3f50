//! Ollama's dialect.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::{Request, State};
use bytes::{Bytes, BytesMut};
use http::Response;
use llm_wire::WireError;
use llm_wire::ollama::{
    FromOpenAi, Generate, Path, TagEntry, embed_answer, embedding_answer, error_body, loaded, parse_chat,
    parse_embed, parse_embeddings, parse_generate, parse_show,
};
use llm_wire::openai::{ChatRequest, EmbeddingsRequest};
use runtime::{Key, ModelInfo};

use super::{
    Begun, Whole, ask, complete_response, embed as ask_embeddings, identified, inspect, stream_response,
    unless_revoked, whole, with_type,
};
use crate::answer_stream::Frames;
use crate::error::ApiError;
use crate::gateway::{Call, Gateway, caller};
use crate::headers::{JSON, NDJSON};
use crate::request_body;

pub(super) async fn chat(State(gateway): State<Arc<Gateway>>, request: Request) -> Response<Body> {
    let call = gateway.call(&request);
    let answered = async {
        let body = request_body::collect(request.into_body(), gateway.max_body()).await?;
        answer(&gateway, &call, parse_chat(body)?, Path::Chat).await
    };
    answered.await.unwrap_or_else(|error: ApiError| identified(&call, error.ollama()))
}

pub(super) async fn generate(State(gateway): State<Arc<Gateway>>, request: Request) -> Response<Body> {
    let call = gateway.call(&request);
    let answered = async {
        let body = request_body::collect(request.into_body(), gateway.max_body()).await?;
        match parse_generate(body)? {
            Generate::Answer(request) => answer(&gateway, &call, request, Path::Generate).await,
            Generate::Load(request) => load(&gateway, &call, request).await,
        }
    };
    answered.await.unwrap_or_else(|error: ApiError| identified(&call, error.ollama()))
}

async fn answer(
    gateway: &Gateway,
    call: &Call,
    request: ChatRequest,
    path: Path,
) -> Result<Response<Body>, ApiError> {
    let model = request.model().to_owned();
    let lines = Lines { translation: FromOpenAi::new(model.clone(), path), received: call.received };
    Ok(match ask(gateway, call, request, Box::new(lines)).await? {
        Begun::Complete(Whole { body, report, .. }) => {
            let line = FromOpenAi::completion(&body, &model, path, &now_rfc3339(), call.received.elapsed())?;
            complete_response(call, line, report, JSON)
        }
        Begun::Stream(stream, report) => stream_response(call, stream, report, NDJSON),
    })
}

/// The model is in memory once it has answered.
async fn load(gateway: &Gateway, call: &Call, request: ChatRequest) -> Result<Response<Body>, ApiError> {
    let model = request.model().to_owned();
    let options = call.asks(&model)?;
    let asking = pin!(gateway.runtime.chat(request, options));
    let Whole { report, .. } = whole(unless_revoked(call.caller.as_ref(), asking).await?)?;
    Ok(complete_response(call, loaded(&model, &now_rfc3339()), report, JSON))
}

/// Ollama's lines of JSON.
struct Lines {
    translation: FromOpenAi,
    received: Instant,
}

impl Frames for Lines {
    fn chunk(&mut self, out: &mut BytesMut, chunk: &[u8]) -> Result<(), ApiError> {
        if let Some(line) = self.translation.chunk(chunk, &now_rfc3339())? {
            out.extend_from_slice(&line);
        }
        Ok(())
    }

    fn failed(&mut self, out: &mut BytesMut, error: &ApiError) {
        out.extend_from_slice(&error_body(&error.to_string()));
        out.extend_from_slice(b"\n");
    }

    fn ended(&mut self, out: &mut BytesMut) {
        out.extend_from_slice(&self.translation.done(&now_rfc3339(), self.received.elapsed()));
    }

    /// Ollama's clients parse every line, so there is nothing that could be sent to them in between.
    fn keep_alive(&self) -> Option<&'static [u8]> {
        None
    }
}

/// The time as Ollama writes it.
fn now_rfc3339() -> String {
    humantime::format_rfc3339_micros(SystemTime::now()).to_string()
}

pub(super) async fn embed(State(gateway): State<Arc<Gateway>>, request: Request) -> Response<Body> {
    embedded(&gateway, request, parse_embed, embed_answer).await
}

/// The older path, for one text.
pub(super) async fn embeddings(State(gateway): State<Arc<Gateway>>, request: Request) -> Response<Body> {
    embedded(&gateway, request, parse_embeddings, |body, _, _| embedding_answer(body)).await
}

/// `answer` writes a list of OpenAI's, given the model and how long it took, as the path's clients read it.
async fn embedded(
    gateway: &Gateway,
    request: Request,
    parse: fn(Bytes) -> Result<EmbeddingsRequest, WireError>,
    answer: fn(&[u8], &str, Duration) -> Result<Bytes, WireError>,
) -> Response<Body> {
    let call = gateway.call(&request);
    let answered = async {
        let request = parse(request_body::collect(request.into_body(), gateway.max_body()).await?)?;
        let model = request.model().to_owned();
        let Whole { body, report, .. } = ask_embeddings(gateway, &call, request).await?;
        Ok(complete_response(&call, answer(&body, &model, call.received.elapsed())?, report, JSON))
    };
    answered.await.unwrap_or_else(|error: ApiError| identified(&call, error.ollama()))
}

pub(super) async fn tags(State(gateway): State<Arc<Gateway>>, request: Request) -> Response<Body> {
    let caller = caller(request.extensions());
    match gateway.runtime.ready().await {
        Ok(()) => {
            let tags: Vec<TagEntry> = gateway.runtime.models_for(caller.as_deref()).iter().map(tag).collect();
            with_type(llm_wire::ollama::tags(&tags), JSON)
        }
        Err(error) => ApiError::from(error).ollama(),
    }
}

fn tag(model: &ModelInfo) -> TagEntry {
    let since = UNIX_EPOCH + Duration::from_secs(model.created);
    TagEntry {
        name: model.name.to_string(),
        size: model.file.as_ref().map_or(0, |file| file.bytes),
        digest: model.file.as_ref().map(|file| file.sha256.clone()).unwrap_or_default(),
        modified_at: humantime::format_rfc3339_seconds(since).to_string(),
        family: String::new(),
        parameter_size: String::new(),
        quantization: String::new(),
    }
}

pub(super) async fn show(State(gateway): State<Arc<Gateway>>, request: Request) -> Response<Body> {
    let call = gateway.call(&request);
    match described(&gateway, call.caller.as_deref(), request.into_body()).await {
        Ok(body) => identified(&call, with_type(body, JSON)),
        Err(error) => identified(&call, error.ollama()),
    }
}

async fn described(gateway: &Gateway, caller: Option<&Key>, body: Body) -> Result<Bytes, ApiError> {
    let model = parse_show(&request_body::collect(body, gateway.max_body()).await?)?;
    let described = gateway.runtime.describe(&model, caller).await?;
    Ok(llm_wire::ollama::show(&inspect::show_entry(described)))
}

pub(super) async fn running(State(gateway): State<Arc<Gateway>>, request: Request) -> Response<Body> {
    let caller = caller(request.extensions());
    match gateway.runtime.in_memory().await {
        Ok(mut models) => {
            let now = SystemTime::now();
            models.retain(|model| caller.as_ref().is_none_or(|key| key.may_use(&model.name)));
            let entries: Vec<_> =
                models.into_iter().map(|model| inspect::running_entry(model, now)).collect();
            with_type(llm_wire::ollama::running(&entries), JSON)
        }
        Err(error) => ApiError::from(error).ollama(),
    }
}

pub(super) async fn version() -> Response<Body> {
    with_type(serde_json::json!({ "version": env!("CARGO_PKG_VERSION") }).to_string(), JSON)
}
