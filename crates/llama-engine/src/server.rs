//! HTTP/1.1 on a private Unix socket. Every open connection is a client; when the last one has been gone for a while the
//! process ends.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use llm_wire::openai::{self, ChatRequest, EmbeddingsRequest};
use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::EngineError;
use crate::answer::{self, Heading};
use crate::devices::Device;
use crate::llama;
use crate::memory::DeviceMemory;
use crate::models::{Embeddings, Models};
use crate::options::{KvType, Options};
use crate::request::ChatJob;
use crate::socket::Socket;
use crate::worker::Shared;

/// A million tokens of prompt are some 4 MB; more than this is no conversation. In bytes.
const MAX_BODY_BYTES: usize = 32 << 20;
/// How long running answers may go on after SIGTERM.
const DRAIN: Duration = Duration::from_secs(5);
/// How long to wait after a failed accept: file descriptors come back as connections close.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// See [`deadline`].
const TIMEOUT: &str = "x-uat-timeout-ms";
/// How often models are looked at that nobody asks.
const SWEEP: Duration = Duration::from_secs(1);

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What every connection shares.
#[derive(Debug)]
pub struct Server {
    /// The models of this process.
    pub models: Models,
    /// What the models share.
    pub shared: Arc<Shared>,
    /// The part of ggml that computes, told by `/health`.
    pub backend: String,
    /// Open connections.
    pub connections: AtomicUsize,
}

/// What `GET /health` says.
#[derive(Debug, Serialize)]
struct Health<'a> {
    status: &'static str,
    pid: u32,
    version: &'static str,
    connections: usize,
    models: Vec<String>,
    /// Threads that compute now; `/v1/stats` says why so many.
    threads: usize,
    backend: &'a str,
    devices: Vec<Device>,
}

impl Server {
    /// Serves until `stop` completes or nobody has been connected for `idle_exit`; then removes the socket, lets running
    /// answers end for five seconds, and returns.
    pub async fn run(
        self: Arc<Self>,
        mut socket: Socket,
        idle_exit: Duration,
        stop: impl Future<Output = ()>,
    ) {
        let ending = CancellationToken::new();
        let mut connections = JoinSet::new();
        let mut stop = pin!(stop);
        let mut idle = pin!(sleep(idle_exit));
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                accepted = socket.accept() => match accepted {
                    Ok(stream) => self.open(stream, &ending, &mut connections),
                    Err(error) => {
                        tracing::warn!(%error, "a connection was not accepted");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(ended) = connections.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a connection's task failed");
                    }
                    if connections.is_empty() {
                        idle.as_mut().reset(Instant::now() + idle_exit);
                    }
                }
                () = &mut idle, if connections.is_empty() => {
                    // Nobody finds the socket any more; whoever connected a moment ago is still served.
                    socket.remove();
                    match socket.accept().now_or_never() {
                        Some(Ok(stream)) => self.open(stream, &ending, &mut connections),
                        _ => break,
                    }
                }
                _ = sweep.tick() => self.models.unload_idle(std::time::Instant::now()).await,
                () = &mut stop => break,
            }
        }
        socket.remove();
        drop(socket);
        ending.cancel();
        let drained = timeout(DRAIN, async { while connections.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            tracing::warn!(connections = connections.len(), "answers were cut off by the shutdown");
            connections.shutdown().await;
        }
        let threads = tokio::task::spawn_blocking(move || self.models.finish());
        if timeout(DRAIN, threads).await.is_err() {
            tracing::warn!("a batch was still being computed at the shutdown");
        }
    }

    fn open(self: &Arc<Self>, stream: UnixStream, ending: &CancellationToken, connections: &mut JoinSet<()>) {
        let server = Arc::clone(self);
        let ending = ending.clone();
        self.connections.fetch_add(1, Ordering::Relaxed);
        connections.spawn(async move {
            let counted = Counted(&server.connections);
            let service = service_fn(|request| {
                let server = Arc::clone(&server);
                async move { Ok::<_, Infallible>(server.respond(request).await) }
            });
            // No header timeout: a connection that says nothing is a lease that keeps the engine alive.
            let connection = http1::Builder::new()
                .header_read_timeout(None)
                .serve_connection(TokioIo::new(stream), service);
            let mut connection = pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = ending.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection broke");
            }
            drop(counted);
        });
    }

    async fn respond(&self, request: Request<Incoming>) -> Response<Body> {
        let result = match (request.method(), request.uri().path()) {
            (&Method::POST, "/v1/chat/completions") => self.chat(request).await,
            (&Method::POST, "/v1/chat/completions/input_tokens") => self.count(request).await,
            (&Method::POST, "/v1/embeddings") => self.embed(request).await,
            (&Method::POST, "/v1/memory") => self.memory(request).await,
            (&Method::POST, "/v1/models/unload") => self.unload(request).await,
            (&Method::GET, "/v1/models") => Ok(json(openai::model_list(&self.models.available()))),
            (&Method::GET, "/v1/stats") => {
                let models = self.models.loaded(std::time::Instant::now());
                document(&self.shared.stats.snapshot(self.shared.threads_now(), models))
            }
            (&Method::GET, "/health") => document(&Health {
                status: "ok",
                pid: std::process::id(),
                version: env!("CARGO_PKG_VERSION"),
                connections: self.connections.load(Ordering::Relaxed),
                models: self.models.names(),
                threads: self.shared.threads_now().chosen,
                backend: &self.backend,
                devices: llama::devices(),
            }),
            (method, path) => Err(EngineError::NoRoute { method: method.to_string(), path: path.to_owned() }),
        };
        result.unwrap_or_else(|error| refusal(&error))
    }

    /// As Anthropic's servers answer for their own requests.
    async fn count(&self, request: Request<Incoming>) -> Result<Response<Body>, EngineError> {
        self.shared.stats.requests.fetch_add(1, Ordering::Relaxed);
        let request = ChatRequest::parse(read(request.into_body()).await?)?;
        let job = ChatJob::read(&request, 0)?;
        let input_tokens = self.models.count(job, Timestamp::now()).await?;
        document(&serde_json::json!({ "input_tokens": input_tokens }))
    }

    async fn embed(&self, request: Request<Incoming>) -> Result<Response<Body>, EngineError> {
        self.shared.stats.requests.fetch_add(1, Ordering::Relaxed);
        let deadline = deadline(request.headers())?;
        let request = EmbeddingsRequest::parse(read(request.into_body()).await?)?;
        let Embeddings { vectors, prompt_tokens } = self.models.embed(&request, deadline).await?;
        let (model, encoding) = (request.model(), request.encoding());
        Ok(json(openai::embeddings_answer(model, &vectors, encoding, prompt_tokens as u64)))
    }

    async fn memory(&self, request: Request<Incoming>) -> Result<Response<Body>, EngineError> {
        let body = read(request.into_body()).await?;
        let asked: MemoryQuestion = serde_json::from_slice(&body).map_err(|error| EngineError::Invalid {
            message: format!("expected {{\"model\": NAME}} and optionally context_tokens, kv_type, gpu_layers and parallel: {error}"),
            param: None,
        })?;
        let own = self.shared.options;
        let options = Options {
            context_tokens: asked.context_tokens.unwrap_or(own.context_tokens).max(1),
            kv_type: asked.kv_type.unwrap_or(own.kv_type),
            gpu_layers: asked.gpu_layers.or(own.gpu_layers),
            lanes: asked.parallel.unwrap_or(own.lanes).max(1),
            ..own
        };
        let devices = self.models.project(&asked.model, options).await?;
        let sum = |part: fn(&DeviceMemory) -> u64| devices.iter().map(part).sum::<u64>();
        let (weights, cache, compute) =
            (sum(|device| device.weights), sum(|device| device.cache), sum(|device| device.compute));
        document(&MemoryAnswer { weights, cache, compute, total: weights + cache + compute, devices })
    }

    async fn unload(&self, request: Request<Incoming>) -> Result<Response<Body>, EngineError> {
        let body = read(request.into_body()).await?;
        let asked: UnloadQuestion = serde_json::from_slice(&body).map_err(|error| EngineError::Invalid {
            message: format!("expected {{\"model\": NAME}}: {error}"),
            param: None,
        })?;
        document(&serde_json::json!({ "unloaded": self.models.unload(&asked.model).await? }))
    }

    async fn chat(&self, request: Request<Incoming>) -> Result<Response<Body>, EngineError> {
        self.shared.stats.requests.fetch_add(1, Ordering::Relaxed);
        let deadline = deadline(request.headers())?;
        let request = ChatRequest::parse(read(request.into_body()).await?)?;
        let job = ChatJob::read(&request, fastrand::u64(..))?;
        let now = Timestamp::now();
        let heading = Heading {
            id: format!("chatcmpl-{:016x}", fastrand::u64(..)),
            model: request.model().to_owned(),
            created: u64::try_from(now.as_second()).unwrap_or_default(),
            include_usage: request.include_usage(),
            logprobs: job.sampling.logprobs.is_some(),
        };
        let answer = self.models.answer(job, deadline, now).await?;
        if !request.stream() {
            return Ok(json(answer::complete(&heading, answer).await?));
        }
        let frames = answer::stream(heading, answer).await?.map(|bytes| Ok(Frame::data(bytes)));
        let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        Ok(response)
    }
}

/// A model that is to go.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UnloadQuestion {
    model: String,
}

/// A question for the memory that a model would take.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MemoryQuestion {
    model: String,
    context_tokens: Option<usize>,
    kv_type: Option<KvType>,
    gpu_layers: Option<u32>,
    /// Requests that run at a time.
    parallel: Option<usize>,
}

/// llama.cpp's own projection. All in bytes.
#[derive(Debug, Serialize)]
struct MemoryAnswer {
    weights: u64,
    cache: u64,
    compute: u64,
    total: u64,
    devices: Vec<DeviceMemory>,
}

/// When the caller stops waiting, by its `x-uat-timeout-ms` header: the milliseconds that it will still wait.
fn deadline(headers: &HeaderMap) -> Result<Option<std::time::Instant>, EngineError> {
    let Some(value) = headers.get(TIMEOUT) else { return Ok(None) };
    let millis = value.to_str().ok().and_then(|value| value.parse::<u64>().ok()).ok_or_else(|| {
        EngineError::invalid(TIMEOUT, format!("{TIMEOUT}: expected a number of milliseconds, got {value:?}"))
    })?;
    // A time beyond the clock's range is no deadline.
    Ok(std::time::Instant::now().checked_add(Duration::from_millis(millis)))
}

/// Counts a connection until it is dropped, however its task ends.
struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn read(body: Incoming) -> Result<Bytes, EngineError> {
    match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(EngineError::BodyTooLarge { limit: MAX_BODY_BYTES })
        }
        Err(error) => {
            Err(EngineError::Invalid { message: format!("the request body broke off: {error}"), param: None })
        }
    }
}

fn json(body: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(body).boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn document(document: &impl Serialize) -> Result<Response<Body>, EngineError> {
    let body =
        serde_json::to_vec(document).map_err(|error| EngineError::Internal { message: error.to_string() })?;
    Ok(json(Bytes::from(body)))
}

fn refusal(error: &EngineError) -> Response<Body> {
    let mut response = json(error.body().to_json());
    *response.status_mut() = error.status();
    response.headers_mut().insert("x-uat-code", HeaderValue::from_static(error.code()));
    if let Some(wait) = error.retry_after() {
        let seconds = wait.as_secs_f64().ceil().max(1.0) as u64;
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
