pub(crate) mod shapes;

use std::sync::Arc;

use bytes::Bytes;
use llm_wire::openai::embeddings_vectors;
use napi::Env;
use napi::bindgen_prelude::{Float32Array, PromiseRaw};
use napi_derive::napi;
use runtime::RuntimeError;

use crate::cancel::CancelHandle;
use crate::chat_stream::ChatStream;
use crate::error::Crossing;
use crate::opened::{Opened, RuntimeOptions, load, streamed, whole};

use shapes::{Completion, CoordinatorStats, Embeddings, EndpointHealth, number};

/// The coordinator of the core.
#[napi]
pub struct FastLlmCoordinator(Opened);

#[napi]
impl FastLlmCoordinator {
    /// Only validates: starts no process and opens no connection.
    #[napi(constructor, catch_unwind)]
    pub fn new(options: RuntimeOptions) -> napi::Result<Self> {
        Ok(Self(Opened::new("FastLLMCoordinator", options)?))
    }

    /// Asks for a whole answer. `request` is a chat-completion request as JSON in UTF-8; `cache` what the caller wishes of
    /// the response cache.
    #[napi(catch_unwind)]
    pub fn route<'env>(
        &self,
        env: &'env Env,
        request: &[u8],
        cancel: Option<&CancelHandle>,
        timeout_ms: Option<f64>,
        cache: Option<bool>,
    ) -> napi::Result<PromiseRaw<'env, Completion>> {
        let call = self.0.call(cancel, timeout_ms, cache);
        // Copied here: a JavaScript buffer that another thread drops is given back through the event loop.
        let request = Bytes::copy_from_slice(request);
        env.spawn_future(async move {
            let (body, report) = whole(call.chat(request).await?)?;
            Ok(Completion { body: Vec::from(body).into(), routing: report.into() })
        })
    }

    /// Asks for one vector for each of the texts.
    #[napi(catch_unwind)]
    pub fn embed<'env>(
        &self,
        env: &'env Env,
        model: String,
        input: Vec<String>,
        cancel: Option<&CancelHandle>,
        timeout_ms: Option<f64>,
    ) -> napi::Result<PromiseRaw<'env, Embeddings>> {
        let call = self.0.call(cancel, timeout_ms, None);
        env.spawn_future(async move {
            let (body, _) = whole(call.embed(&model, &input).await?)?;
            let embedded = embeddings_vectors(&body).map_err(RuntimeError::from).map_err(Crossing::from)?;
            Ok(Embeddings {
                embeddings: embedded.vectors.into_iter().map(Float32Array::from).collect(),
                prompt_tokens: number(embedded.prompt_tokens),
            })
        })
    }

    /// Asks for a streamed answer; resolves when its first content is there. `request` says `"stream": true`; `cache` as in
    /// `route`.
    #[napi(catch_unwind)]
    pub fn stream<'env>(
        &self,
        env: &'env Env,
        request: &[u8],
        cancel: &CancelHandle,
        timeout_ms: Option<f64>,
        cache: Option<bool>,
    ) -> napi::Result<PromiseRaw<'env, ChatStream>> {
        let call = self.0.call(Some(cancel), timeout_ms, cache);
        let request = Bytes::copy_from_slice(request);
        let readers = self.0.readers.clone();
        env.spawn_future(async move {
            let answer = streamed(call.chat(request).await?)?;
            Ok(ChatStream::read_ahead(answer, call, &readers))
        })
    }

    /// What is known of each endpoint.
    #[napi(catch_unwind)]
    pub fn health(&self) -> Vec<EndpointHealth> {
        self.0.runtime.health().into_iter().map(EndpointHealth::from).collect()
    }

    /// Counts since the start.
    #[napi(catch_unwind)]
    pub fn stats(&self) -> CoordinatorStats {
        self.0.runtime.stats().into()
    }

    /// Takes over another configuration, or rejects and keeps the old one. Without a path and a document as the constructor.
    #[napi(catch_unwind)]
    pub fn reload<'env>(
        &self,
        env: &'env Env,
        config_path: Option<String>,
        config_json: Option<String>,
    ) -> napi::Result<PromiseRaw<'env, ()>> {
        let runtime = Arc::clone(&self.0.runtime);
        // Read at once: what the caller changes in the file afterwards is for the next time.
        let config = load(config_path, config_json);
        env.spawn_future(async move {
            let taken_over = async { runtime.reload(config?).await };
            taken_over.await.map_err(Crossing::from)?;
            Ok(())
        })
    }

    /// Ends the calls that are under way and lets the engine go.
    #[napi(catch_unwind)]
    pub fn close<'env>(&self, env: &'env Env) -> napi::Result<PromiseRaw<'env, ()>> {
        let closed = self.0.close();
        env.spawn_future(async move {
            closed.await;
            Ok(())
        })
    }
}
