mod shapes;
mod stream;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use llm_wire::openai::{ChatRequest, EmbeddingsRequest, Encoding, embeddings_vectors};
use napi::Env;
use napi::bindgen_prelude::{Float32Array, PromiseRaw};
use napi_derive::napi;
use runtime::{
    Answer, CachePreference, ChatOptions, ConfigSource, Runtime, RuntimeError, UatConfig, process_environment,
};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cancel::CancelHandle;
use crate::error::Crossing;

use shapes::{Completion, CoordinatorStats, Embeddings, EndpointHealth, number};
use stream::ChatStream;

/// Where the configuration comes from, and the engine.
#[napi(object)]
pub struct FastLlmCoordinatorOptions {
    /// A file in the form of uat.toml.
    pub config_path: Option<String>,
    /// The same as one JSON document; with neither, `UAT_CONFIG`, `./uat.toml` or the defaults.
    pub config_json: Option<String>,
    /// Folders in which the engine may lie besides the usual places.
    pub engine_search: Vec<String>,
}

/// The coordinator of the core.
#[napi]
pub struct FastLlmCoordinator {
    runtime: Arc<Runtime>,
    /// Ends every call that is under way.
    closing: CancellationToken,
    /// The tasks that read streams.
    readers: TaskTracker,
}

#[napi]
impl FastLlmCoordinator {
    /// Only validates: starts no process and opens no connection.
    #[napi(constructor, catch_unwind)]
    pub fn new(options: FastLlmCoordinatorOptions) -> napi::Result<Self> {
        let engine_search = options.engine_search.into_iter().map(PathBuf::from).collect();
        let runtime = load(options.config_path, options.config_json)
            .and_then(|config| Runtime::new(config, engine_search))
            .map_err(Crossing::from)?;
        Ok(Self { runtime, closing: CancellationToken::new(), readers: TaskTracker::new() })
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
        let call = self.call(cancel, timeout_ms, cache);
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
        let call = self.call(cancel, timeout_ms, None);
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
        let call = self.call(Some(cancel), timeout_ms, cache);
        let request = Bytes::copy_from_slice(request);
        let readers = self.readers.clone();
        env.spawn_future(async move {
            match call.chat(request).await? {
                Answer::Stream(answer) => Ok(ChatStream::read_ahead(answer, call, &readers)),
                Answer::Complete { .. } => {
                    Err(Crossing::internal("a stream was asked for and a whole answer came").into())
                }
            }
        })
    }

    /// What is known of each endpoint.
    #[napi(catch_unwind)]
    pub fn health(&self) -> Vec<EndpointHealth> {
        self.runtime.health().into_iter().map(EndpointHealth::from).collect()
    }

    /// Counts since the start.
    #[napi(catch_unwind)]
    pub fn stats(&self) -> CoordinatorStats {
        self.runtime.stats().into()
    }

    /// Takes over another configuration, or rejects and keeps the old one. Without a path and a document as the constructor.
    #[napi(catch_unwind)]
    pub fn reload<'env>(
        &self,
        env: &'env Env,
        config_path: Option<String>,
        config_json: Option<String>,
    ) -> napi::Result<PromiseRaw<'env, ()>> {
        let runtime = Arc::clone(&self.runtime);
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
        let (runtime, readers) = (Arc::clone(&self.runtime), self.readers.clone());
        self.closing.cancel();
        readers.close();
        env.spawn_future(async move {
            readers.wait().await;
            runtime.close().await;
            Ok(())
        })
    }

    fn call(&self, cancel: Option<&CancelHandle>, timeout_ms: Option<f64>, cache: Option<bool>) -> Call {
        Call {
            runtime: Arc::clone(&self.runtime),
            closing: self.closing.clone(),
            cancelled: cancel.map(|handle| handle.token.clone()).unwrap_or_default(),
            request_id: self.runtime.new_request_id(),
            // The wrapper has checked that it is a positive number; what no `Duration` can hold is no limit.
            timeout: timeout_ms.and_then(|ms| Duration::try_from_secs_f64(ms / 1e3).ok()),
            received: Instant::now(),
            cache: match cache {
                None => CachePreference::Default,
                Some(true) => CachePreference::On,
                Some(false) => CachePreference::Off,
            },
        }
    }
}

fn load(path: Option<String>, json: Option<String>) -> Result<UatConfig, RuntimeError> {
    let source = match (path, json) {
        (Some(path), _) => ConfigSource::File(PathBuf::from(path)),
        (None, Some(json)) => ConfigSource::Json(json),
        (None, None) => ConfigSource::Default,
    };
    Ok(UatConfig::load(source, process_environment())?.config)
}

impl Drop for FastLlmCoordinator {
    /// The object was collected, or its environment (a worker thread, say) ends: nobody waits for its calls any more.
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

/// One call: what can end it from outside, and under which id it is reported.
struct Call {
    runtime: Arc<Runtime>,
    closing: CancellationToken,
    cancelled: CancellationToken,
    request_id: Arc<str>,
    timeout: Option<Duration>,
    received: Instant,
    cache: CachePreference,
}

impl Call {
    async fn chat(&self, request: Bytes) -> Result<Answer, Crossing> {
        self.unless_ended(async { self.runtime.chat(ChatRequest::parse(request)?, self.options()).await })
            .await
    }

    async fn embed(&self, model: &str, input: &[String]) -> Result<Answer, Crossing> {
        self.unless_ended(async {
            // The vectors cross as numbers of this width, so nothing is lost, and base64 is quicker to read.
            let request = EmbeddingsRequest::of_texts(model, input, Encoding::Base64)?;
            self.runtime.embed(request, self.options()).await
        })
        .await
    }

    fn options(&self) -> ChatOptions {
        ChatOptions {
            request_id: Some(Arc::clone(&self.request_id)),
            timeout: self.timeout,
            received: self.received,
            cache: self.cache,
            ..ChatOptions::default()
        }
    }

    async fn unless_ended(
        &self,
        asked: impl Future<Output = Result<Answer, RuntimeError>>,
    ) -> Result<Answer, Crossing> {
        tokio::select! {
            // In this order, so that a call which was cancelled before it began asks nobody.
            biased;
            ended = self.ended() => Err(ended),
            answer = asked => answer.map_err(|error| self.signed(error.into())),
        }
    }

    /// Resolves when somebody ends the call from outside.
    async fn ended(&self) -> Crossing {
        tokio::select! {
            () = self.closing.cancelled() => Crossing::closed(),
            () = self.cancelled.cancelled() => Crossing::cancelled(),
        }
    }

    fn signed(&self, error: Crossing) -> Crossing {
        error.with("requestId", &*self.request_id)
    }
}

fn whole(answer: Answer) -> Result<(Bytes, runtime::RoutingReport), Crossing> {
    match answer {
        Answer::Complete { body, report, .. } => Ok((body, report)),
        Answer::Stream(_) => Err(Crossing::internal("a whole answer was asked for and a stream came")),
    }
}
