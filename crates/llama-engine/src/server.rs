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
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use llm_wire::openai::{self, ChatRequest};
use serde::Serialize;
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::EngineError;
use crate::answer::{self, Heading};
use crate::devices::Device;
use crate::llama;
use crate::models::Models;
use crate::request::ChatJob;
use crate::socket::Socket;
use crate::stats::Stats;

/// A million tokens of prompt are some 4 MB; more than this is no conversation. In bytes.
const MAX_BODY_BYTES: usize = 32 << 20;
/// How long running answers may go on after SIGTERM.
const DRAIN: Duration = Duration::from_secs(5);
/// How long to wait after a failed accept: file descriptors come back as connections close.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What every connection shares.
#[derive(Debug)]
pub struct Server {
    /// The models of this process.
    pub models: Models,
    /// Counters.
    pub stats: Arc<Stats>,
    /// Threads that compute, told by `/health`.
    pub threads: usize,
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
            (&Method::GET, "/v1/models") => Ok(json(openai::model_list(&self.models.available()))),
            (&Method::GET, "/v1/stats") => document(&self.stats.snapshot(self.models.loaded())),
            (&Method::GET, "/health") => document(&Health {
                status: "ok",
                pid: std::process::id(),
                version: env!("CARGO_PKG_VERSION"),
                connections: self.connections.load(Ordering::Relaxed),
                models: self.models.names(),
                threads: self.threads,
                backend: &self.backend,
                devices: llama::devices(),
            }),
            (method, path) => Err(EngineError::NoRoute { method: method.to_string(), path: path.to_owned() }),
        };
        result.unwrap_or_else(|error| refusal(&error))
    }

    async fn chat(&self, request: Request<Incoming>) -> Result<Response<Body>, EngineError> {
        self.stats.requests.fetch_add(1, Ordering::Relaxed);
        let request = ChatRequest::parse(read(request.into_body()).await?)?;
        let job = ChatJob::read(&request, fastrand::u32(..u32::MAX))?;
        let now = Timestamp::now();
        let heading = Heading {
            id: format!("chatcmpl-{:016x}", fastrand::u64(..)),
            model: request.model().to_owned(),
            created: u64::try_from(now.as_second()).unwrap_or_default(),
            include_usage: request.include_usage(),
        };
        let answer = self.models.answer(job, now).await?;
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
    if error.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
