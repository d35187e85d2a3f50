//! OpenAI's dialect.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use http::Response;
use llm_wire::openai::{ChatRequest, EmbeddingsRequest, ModelEntry, model_list};
use runtime::llm_router::Target;
use runtime::{ContextAsk, CoordinatorError, Key, ModelInfo, RuntimeError, nearest_few};

use super::{Begun, anthropic, ask_with, complete_response, embed, identified, stream_response, with_type};
use crate::answer_stream::OpenAiEvents;
use crate::error::ApiError;
use crate::gateway::{Call, Gateway, caller};
use crate::headers::{EVENT_STREAM, JSON};
use crate::request_body;

/// The path of OpenAI's chat completions.
pub(super) const CHAT_COMPLETIONS: &str = "/v1/chat/completions";

/// Whether this is what [`chat_completions`] answers.
pub(crate) fn is_chat_completion<B>(request: &http::Request<B>) -> bool {
    request.method() == http::Method::POST && request.uri().path() == CHAT_COMPLETIONS
}

pub(crate) async fn chat_completions(gateway: &Gateway, call: Call, body: Body) -> Response<Body> {
    match answer(gateway, &call, body).await {
        Ok(response) => response,
        Err(error) => identified(&call, error.openai()),
    }
}

async fn answer(gateway: &Gateway, call: &Call, body: Body) -> Result<Response<Body>, ApiError> {
    // The type of the body is not asked for: what parses is JSON, and half of the scripts forget to say so.
    let body = request_body::collect(body, gateway.max_body()).await?;
    let request = ChatRequest::parse(body)?;
    let (request, context) = match Target::is_target(request.model()) {
        true => context_of(request)?,
        false => (request, None),
    };
    Ok(match ask_with(gateway, call, request, context, Box::new(OpenAiEvents)).await? {
        Begun::Complete(whole) => complete_response(call, whole.body, whole.report, JSON),
        Begun::Stream(stream, report) => stream_response(call, stream, report, EVENT_STREAM),
    })
}

/// What is to be added to a request that the router decides: its member `context`, which is ours and goes no further.
fn context_of(request: ChatRequest) -> Result<(ChatRequest, Option<Box<ContextAsk>>), ApiError> {
    match request.without_member("context")? {
        Some((json, rest)) => Ok((rest, Some(Box::new(ContextAsk::from_json(&json)?)))),
        None => Ok((request, None)),
    }
}

/// Only asked with another method, for the error; see [`is_chat_completion`].
pub(super) async fn chat_completions_route(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Response<Body> {
    let call = gateway.call(&request);
    chat_completions(&gateway, call, request.into_body()).await
}

pub(super) async fn embeddings(State(gateway): State<Arc<Gateway>>, request: Request) -> Response<Body> {
    let call = gateway.call(&request);
    match embedded(&gateway, &call, request.into_body()).await {
        Ok(response) => response,
        Err(error) => identified(&call, error.openai()),
    }
}

async fn embedded(gateway: &Gateway, call: &Call, body: Body) -> Result<Response<Body>, ApiError> {
    let body = request_body::collect(body, gateway.max_body()).await?;
    let answered = embed(gateway, call, EmbeddingsRequest::parse(body)?).await?;
    Ok(complete_response(call, answered.body, answered.report, JSON))
}

pub(super) async fn models(State(gateway): State<Arc<Gateway>>, request: Request) -> Response<Body> {
    let headers = request.headers();
    match listed(&gateway, caller(request.extensions())).await {
        Ok(models) if anthropic::is_client(headers) => anthropic::model_list(&models),
        Ok(models) => with_type(model_list(&models.iter().map(entry).collect::<Vec<_>>()), JSON),
        Err(error) if anthropic::is_client(headers) => error.anthropic(),
        Err(error) => error.openai(),
    }
}

pub(super) async fn model(
    State(gateway): State<Arc<Gateway>>,
    Path(id): Path<String>,
    request: Request,
) -> Response<Body> {
    let headers = request.headers();
    let models = match listed(&gateway, caller(request.extensions())).await {
        Ok(models) => models,
        Err(error) => return error.openai(),
    };
    match models.iter().find(|model| *model.name == *id) {
        Some(model) if anthropic::is_client(headers) => {
            with_type(anthropic::model_entry(model).to_string(), JSON)
        }
        Some(model) => {
            let ModelEntry { id, created, owned_by } = entry(model);
            let document =
                serde_json::json!({ "id": id, "object": "model", "created": created, "owned_by": owned_by });
            with_type(document.to_string(), JSON)
        }
        None => {
            let nearest = nearest_few(&id, models.iter().map(|model| &*model.name), 3);
            let nearest = nearest.into_iter().map(Arc::from).collect();
            let error = CoordinatorError::ModelNotFound { model: id, nearest };
            let error = ApiError::from(RuntimeError::from(error));
            if anthropic::is_client(headers) { error.anthropic() } else { error.openai() }
        }
    }
}

/// The models that the caller may ask for, and what it may say for the router to choose.
async fn listed(gateway: &Gateway, caller: Option<Arc<Key>>) -> Result<Vec<ModelInfo>, ApiError> {
    gateway.runtime.ready().await?;
    let mut models = gateway.runtime.models_for(caller.as_deref());
    let created = models.first().map_or(0, |model| model.created);
    let targets = gateway.runtime.targets_for(caller.as_deref());
    models.extend(targets.into_iter().map(|target| ModelInfo {
        name: target.to_string().into(),
        created,
        endpoints: Vec::new(),
        capabilities: Vec::new(),
        context_tokens: None,
        file: None,
    }));
    Ok(models)
}

fn entry(model: &ModelInfo) -> ModelEntry {
    let owner = model.endpoints.first().map_or("uat", |endpoint| &**endpoint);
    ModelEntry { id: model.name.to_string(), created: model.created, owned_by: owner.to_owned() }
}
