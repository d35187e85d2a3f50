//! A runtime that JavaScript opened, and the calls made of it: what the coordinator and the router have in common.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use llm_wire::openai::{ChatRequest, EmbeddingsRequest, Encoding};
use napi_derive::napi;
use runtime::{
    Answer, CachePreference, ChatOptions, ConfigSource, ContextAsk, DecisionSlot, RouteAsk, Runtime,
    RuntimeError, UatConfig, process_environment,
};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cancel::CancelHandle;
use crate::error::Crossing;

/// Where the configuration comes from, and the engine.
#[napi(object)]
pub struct RuntimeOptions {
    /// A file in the form of uat.toml.
    pub config_path: Option<String>,
    /// The same as one JSON document; with neither, `UAT_CONFIG`, `./uat.toml` or the defaults.
    pub config_json: Option<String>,
    /// Folders in which the engine may lie besides the usual places.
    pub engine_search: Vec<String>,
}

/// A runtime, and what ends the calls made of it.
pub(crate) struct Opened {
    pub(crate) runtime: Arc<Runtime>,
    /// The class that users made, for messages.
    class: &'static str,
    /// Ends every call that is under way.
    closing: CancellationToken,
    /// The tasks that read streams.
    pub(crate) readers: TaskTracker,
}

impl Opened {
    /// Only validates: starts no process and opens no connection.
    pub(crate) fn new(class: &'static str, options: RuntimeOptions) -> Result<Self, Crossing> {
        let engine_search = options.engine_search.into_iter().map(PathBuf::from).collect();
        let runtime = load(options.config_path, options.config_json)
            .and_then(|config| Runtime::new(config, engine_search))?;
        Ok(Self { runtime, class, closing: CancellationToken::new(), readers: TaskTracker::new() })
    }

    pub(crate) fn call(
        &self,
        cancel: Option<&CancelHandle>,
        timeout_ms: Option<f64>,
        cache: Option<bool>,
    ) -> Call {
        Call {
            runtime: Arc::clone(&self.runtime),
            class: self.class,
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
            route: None,
            context: None,
            decision: DecisionSlot::default(),
        }
    }

    /// Ends the calls that are under way and lets the engine go.
    pub(crate) fn close(&self) -> impl Future<Output = ()> + Send + use<> {
        let (runtime, readers) = (Arc::clone(&self.runtime), self.readers.clone());
        self.closing.cancel();
        readers.close();
        async move {
            readers.wait().await;
            runtime.close().await;
        }
    }
}

impl Drop for Opened {
    /// The object was collected, or its environment (a worker thread, say) ends: nobody waits for its calls any more.
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

/// Reads a configuration; without a path and a document from the usual places.
pub(crate) fn load(path: Option<String>, json: Option<String>) -> Result<UatConfig, RuntimeError> {
    let source = match (path, json) {
        (Some(path), _) => ConfigSource::File(PathBuf::from(path)),
        (None, Some(json)) => ConfigSource::Json(json),
        (None, None) => ConfigSource::Default,
    };
    Ok(UatConfig::load(source, process_environment())?.config)
}

/// One call: what can end it from outside, and under which id it is reported.
pub(crate) struct Call {
    runtime: Arc<Runtime>,
    class: &'static str,
    closing: CancellationToken,
    cancelled: CancellationToken,
    request_id: Arc<str>,
    timeout: Option<Duration>,
    received: Instant,
    cache: CachePreference,
    /// What is wanted of whoever answers.
    pub(crate) route: Option<Box<RouteAsk>>,
    /// What is wanted beside the request's own messages.
    pub(crate) context: Option<Box<ContextAsk>>,
    /// What the router decided, if it was asked.
    pub(crate) decision: DecisionSlot,
}

impl Call {
    pub(crate) async fn chat(&self, request: Bytes) -> Result<Answer, Crossing> {
        self.unless_ended(async { self.runtime.chat(ChatRequest::parse(request)?, self.options()).await })
            .await
    }

    pub(crate) async fn embed(&self, model: &str, input: &[String]) -> Result<Answer, Crossing> {
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
            route: self.route.clone(),
            context: self.context.clone(),
            decision: Some(Arc::clone(&self.decision)),
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
    pub(crate) async fn ended(&self) -> Crossing {
        tokio::select! {
            () = self.closing.cancelled() => Crossing::closed(self.class),
            () = self.cancelled.cancelled() => Crossing::cancelled(),
        }
    }

    pub(crate) fn signed(&self, error: Crossing) -> Crossing {
        error.with("requestId", &*self.request_id)
    }
}

/// The answer to a question that was not asked as a stream.
pub(crate) fn whole(answer: Answer) -> Result<(Bytes, runtime::RoutingReport), Crossing> {
    match answer {
        Answer::Complete { body, report, .. } => Ok((body, report)),
        Answer::Stream(_) => Err(Crossing::internal("a whole answer was asked for and a stream came")),
    }
}

/// The answer to a question that was asked as a stream.
pub(crate) fn streamed(answer: Answer) -> Result<runtime::ChatStream, Crossing> {
    match answer {
        Answer::Stream(answer) => Ok(answer),
        Answer::Complete { .. } => Err(Crossing::internal("a stream was asked for and a whole answer came")),
    }
}
