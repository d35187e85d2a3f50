use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use llm_wire::openai::{ChatRequest, EmbeddingsRequest, Encoding, embeddings_vectors};
use napi::Env;
use napi::bindgen_prelude::{Buffer, Float32Array, PromiseRaw};
use napi_derive::napi;
use runtime::{
    Answer, ChatOptions, ConfigSource, Outcome, Runtime, RuntimeError, UatConfig, process_environment,
};
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cancel::CancelHandle;
use crate::error::Crossing;

/// Chunks read ahead of a consumer that is slower than the model: enough for one batch per turn of the event loop,
/// little enough that a consumer which stops also stops the socket.
const READ_AHEAD: usize = 64;

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
        let source = match (options.config_path, options.config_json) {
            (Some(path), _) => ConfigSource::File(PathBuf::from(path)),
            (None, Some(json)) => ConfigSource::Json(json),
            (None, None) => ConfigSource::Default,
        };
        let engine_search = options.engine_search.into_iter().map(PathBuf::from).collect();
        let runtime = UatConfig::load(source, process_environment())
            .map_err(RuntimeError::from)
            .and_then(|loaded| Runtime::new(loaded.config, engine_search))
            .map_err(Crossing::from)?;
        Ok(Self { runtime, closing: CancellationToken::new(), readers: TaskTracker::new() })
    }

    /// Asks for a whole answer. `request` is a chat-completion request as JSON in UTF-8.
    #[napi(catch_unwind)]
    pub fn route<'env>(
        &self,
        env: &'env Env,
        request: &[u8],
        cancel: Option<&CancelHandle>,
        timeout_ms: Option<f64>,
    ) -> napi::Result<PromiseRaw<'env, Completion>> {
        let call = self.call(cancel, timeout_ms);
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
        let call = self.call(cancel, timeout_ms);
        env.spawn_future(async move {
            let (body, _) = whole(call.embed(&model, &input).await?)?;
            let embedded = embeddings_vectors(&body).map_err(RuntimeError::from).map_err(Crossing::from)?;
            Ok(Embeddings {
                embeddings: embedded.vectors.into_iter().map(Float32Array::from).collect(),
                prompt_tokens: number(embedded.prompt_tokens),
            })
        })
    }

    /// Asks for a streamed answer; resolves when its first content is there. `request` says `"stream": true`.
    #[napi(catch_unwind)]
    pub fn stream<'env>(
        &self,
        env: &'env Env,
        request: &[u8],
        cancel: &CancelHandle,
        timeout_ms: Option<f64>,
    ) -> napi::Result<PromiseRaw<'env, ChatStream>> {
        let call = self.call(Some(cancel), timeout_ms);
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

    fn call(&self, cancel: Option<&CancelHandle>, timeout_ms: Option<f64>) -> Call {
        Call {
            runtime: Arc::clone(&self.runtime),
            closing: self.closing.clone(),
            cancelled: cancel.map(|handle| handle.token.clone()).unwrap_or_default(),
            request_id: self.runtime.new_request_id(),
            // The wrapper has checked that it is a positive number; what no `Duration` can hold is no limit.
            timeout: timeout_ms.and_then(|ms| Duration::try_from_secs_f64(ms / 1e3).ok()),
            received: Instant::now(),
        }
    }
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

/// A streamed answer. A task reads it ahead, at most [`READ_AHEAD`] chunks, and closes the connection as soon as the
/// call is cancelled, whether or not somebody waits in `next` then.
#[napi]
pub struct ChatStream {
    call: Arc<Call>,
    /// Contended only if the wrapper called `next` twice at once, which it does not.
    unread: Arc<Mutex<Unread>>,
    /// Present once the answer is whole.
    report: Arc<OnceLock<runtime::RoutingReport>>,
}

struct Unread {
    chunks: mpsc::Receiver<Result<Bytes, Crossing>>,
    /// An error that came in one batch with chunks before it: they are delivered first.
    failed: Option<Crossing>,
}

#[napi]
impl ChatStream {
    /// The next chunks as one JSON array in UTF-8; null once the answer is whole.
    #[napi(catch_unwind, ts_return_type = "Promise<Buffer | null>")]
    pub fn next<'env>(&self, env: &'env Env) -> napi::Result<PromiseRaw<'env, Option<Buffer>>> {
        let (call, unread, report) =
            (Arc::clone(&self.call), Arc::clone(&self.unread), Arc::clone(&self.report));
        env.spawn_future(async move {
            let mut unread = unread.lock().await;
            tokio::select! {
                biased;
                ended = call.ended() => Err(ended.into()),
                batch = unread.batch() => match batch {
                    Err(error) => Err(call.signed(error).into()),
                    Ok(Some(chunks)) => Ok(Some(Buffer::from(chunks))),
                    Ok(None) if report.get().is_some() => Ok(None),
                    Ok(None) => Err(Crossing::internal("the task that reads the stream ended without saying why").into()),
                }
            }
        })
    }

    /// How the request travelled. Throws before `next` has resolved to null.
    #[napi(catch_unwind)]
    pub fn report(&self) -> napi::Result<RoutingReport> {
        match self.report.get() {
            Some(report) => Ok(report.clone().into()),
            None => Err(Crossing::internal("the stream has not ended").into()),
        }
    }
}

impl ChatStream {
    fn read_ahead(mut answer: runtime::ChatStream, call: Call, readers: &TaskTracker) -> Self {
        let (sender, chunks) = mpsc::channel(READ_AHEAD);
        let call = Arc::new(call);
        let report = Arc::new(OnceLock::new());
        let (reader_call, reader_report) = (Arc::clone(&call), Arc::clone(&report));
        readers.spawn(async move {
            let reading = async {
                while let Some(chunk) = answer.next().await {
                    let failed = chunk.is_err();
                    // Nobody listens: the JavaScript object was collected.
                    if sender.send(chunk.map_err(Crossing::from)).await.is_err() || failed {
                        return;
                    }
                }
                // A stream ends without an error only when the answer is whole; it is set once, here.
                let _ = reader_report.set(answer.report());
            };
            tokio::select! {
                () = reading => {}
                _ = reader_call.ended() => {}
                () = sender.closed() => {}
            }
        });
        Self { call, unread: Arc::new(Mutex::new(Unread { chunks, failed: None })), report }
    }
}

impl Unread {
    /// Everything that has been read, as one JSON array; `None` at the end.
    async fn batch(&mut self) -> Result<Option<Vec<u8>>, Crossing> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let mut ready = Vec::new();
        if self.chunks.recv_many(&mut ready, READ_AHEAD).await == 0 {
            return Ok(None);
        }
        let mut json =
            Vec::with_capacity(2 + ready.iter().flatten().map(|chunk| chunk.len() + 1).sum::<usize>());
        for chunk in ready {
            match chunk {
                Ok(chunk) => {
                    json.push(if json.is_empty() { b'[' } else { b',' });
                    json.extend_from_slice(&chunk);
                }
                Err(error) if json.is_empty() => return Err(error),
                Err(error) => self.failed = Some(error),
            }
        }
        json.push(b']');
        Ok(Some(json))
    }
}

/// A whole answer.
#[napi(object, object_from_js = false)]
pub struct Completion {
    /// OpenAI's completion object as JSON in UTF-8.
    pub body: Buffer,
    /// How the request travelled.
    pub routing: RoutingReport,
}

/// The vectors of some texts.
#[napi(object, object_from_js = false)]
pub struct Embeddings {
    /// One for each text, in their order.
    pub embeddings: Vec<Float32Array>,
    /// Of all texts together, as the endpoint counted them.
    pub prompt_tokens: i64,
}

/// How a request travelled.
#[napi(object, object_from_js = false)]
pub struct RoutingReport {
    /// Names the request in reports and logs.
    pub request_id: String,
    /// As the caller named it.
    pub model: String,
    /// Who answered.
    pub endpoint: String,
    /// Whether the response cache answered.
    #[napi(ts_type = "'bypass'")]
    pub cache: &'static str,
    /// Every try, in order.
    pub attempts: Vec<Attempt>,
    /// Microseconds.
    pub overhead_us: i64,
}

/// One try at one endpoint.
#[napi(object, object_from_js = false)]
pub struct Attempt {
    /// Its name.
    pub endpoint: String,
    /// The model's name there.
    pub model: String,
    /// How it ended.
    #[napi(ts_type = "'ok' | 'error' | 'timeout' | 'cancelled'")]
    pub outcome: &'static str,
    /// HTTP status.
    pub status: Option<u16>,
    /// Why it failed.
    pub error: Option<String>,
    /// Milliseconds.
    pub first_token_ms: Option<f64>,
    /// Milliseconds.
    pub total_ms: f64,
}

/// What is known of one endpoint.
#[napi(object, object_from_js = false)]
pub struct EndpointHealth {
    /// Its name.
    pub endpoint: String,
    /// Whether it is asked.
    #[napi(ts_type = "'healthy' | 'degraded' | 'open' | 'half-open' | 'quarantined'")]
    pub state: &'static str,
    /// Milliseconds.
    pub ewma_first_token_ms: f64,
    /// Requests under way.
    pub in_flight: u32,
    /// 0 to 1.
    pub error_rate: f64,
    /// The last reason for which it counted as failed.
    pub last_error: Option<String>,
}

/// Counts since the start.
#[napi(object, object_from_js = false)]
pub struct CoordinatorStats {
    /// Accepted.
    pub requests: i64,
    /// Ended in an error.
    pub errors: i64,
    /// Attempts beyond the first of a request.
    pub failovers: i64,
    /// Streams continued elsewhere.
    pub resumes: i64,
    /// Sent twice.
    pub hedges: i64,
    /// Answers from the response cache.
    pub cache_hits: i64,
    /// Questions that it could not answer.
    pub cache_misses: i64,
    /// Under way.
    pub in_flight: i64,
    /// Microseconds.
    #[napi(js_name = "p50OverheadUs")]
    pub p50_overhead_us: i64,
    /// Microseconds.
    #[napi(js_name = "p99OverheadUs")]
    pub p99_overhead_us: i64,
}

/// A count as JavaScript holds it: exact up to 2^53, far beyond what a process counts.
fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl From<runtime::RoutingReport> for RoutingReport {
    fn from(report: runtime::RoutingReport) -> Self {
        Self {
            request_id: report.request_id.to_string(),
            model: report.model.to_string(),
            endpoint: report.endpoint.to_string(),
            cache: match report.cache {
                runtime::CacheOutcome::Bypass => "bypass",
                runtime::CacheOutcome::Miss => "miss",
                runtime::CacheOutcome::Hit => "hit",
            },
            attempts: report.attempts.into_iter().map(Attempt::from).collect(),
            overhead_us: number(report.overhead_us),
        }
    }
}

impl From<runtime::Attempt> for Attempt {
    fn from(attempt: runtime::Attempt) -> Self {
        Self {
            endpoint: attempt.endpoint.to_string(),
            model: attempt.model.to_string(),
            outcome: match attempt.outcome {
                Outcome::Ok => "ok",
                Outcome::Error => "error",
                Outcome::Timeout => "timeout",
                Outcome::Cancelled => "cancelled",
                Outcome::Resumed => "resumed",
            },
            status: attempt.status,
            error: attempt.error,
            first_token_ms: attempt.first_token_ms,
            total_ms: attempt.total_ms,
        }
    }
}

impl From<runtime::EndpointHealth> for EndpointHealth {
    fn from(health: runtime::EndpointHealth) -> Self {
        Self {
            endpoint: health.endpoint.to_string(),
            state: match health.state {
                runtime::EndpointState::Healthy => "healthy",
                runtime::EndpointState::Degraded => "degraded",
                runtime::EndpointState::Open => "open",
                runtime::EndpointState::HalfOpen => "half-open",
                runtime::EndpointState::Quarantined => "quarantined",
            },
            ewma_first_token_ms: health.ewma_first_token_ms,
            in_flight: health.in_flight,
            error_rate: health.error_rate,
            last_error: health.last_error,
        }
    }
}

impl From<runtime::Stats> for CoordinatorStats {
    fn from(stats: runtime::Stats) -> Self {
        Self {
            requests: number(stats.requests),
            errors: number(stats.errors),
            failovers: number(stats.failovers),
            resumes: number(stats.resumes),
            hedges: number(stats.hedges),
            cache_hits: number(stats.cache_hits),
            cache_misses: number(stats.cache_misses),
            in_flight: number(stats.in_flight),
            p50_overhead_us: number(stats.p50_overhead_us),
            p99_overhead_us: number(stats.p99_overhead_us),
        }
    }
}
