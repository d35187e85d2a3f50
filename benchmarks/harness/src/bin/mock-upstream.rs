//! A model provider that costs next to nothing: every answer is prepared before the first request.
//!
//! A request with `"stream":true` gets the role, and then `--chunks` pieces of content, the first at once and the others
//! every `--interval-ms`; any other gets the same text as one completion, after `--first-ms`. `GET /__count` tells how many
//! chats were asked for; any other GET gets an answer with status 200, which is what routers want of a worker.

use std::future::poll_fn;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use clap::Parser;
use http_body_util::{Either, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response};
use memchr::memmem;
use serde_json::{Value, json};
use tokio::time::{Instant, Sleep};

#[derive(Debug, Clone, Copy, Parser)]
struct Arguments {
    /// Port of 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Pieces of content in an answer.
    #[arg(long, default_value_t = 50)]
    chunks: usize,
    /// Milliseconds from one streamed piece to the next.
    #[arg(long, default_value_t = 10)]
    interval_ms: u64,
    /// Milliseconds before an answer that is not streamed.
    #[arg(long, default_value_t = 0)]
    first_ms: u64,
}

/// The answers, ready to be sent.
struct Answers {
    completion: Bytes,
    /// Events before which the stream waits for its next tick; the first goes out at once.
    events: Vec<Bytes>,
    interval: Duration,
    first: Duration,
    /// Chats that were asked for.
    count: AtomicU64,
}

impl Answers {
    fn new(arguments: Arguments) -> Self {
        let pieces = bench_harness::pieces(arguments.chunks);
        let chunk = |delta: Value, finish: Value| {
            json!({"id": "chatcmpl-mock", "object": "chat.completion.chunk", "created": 1_700_000_000,
                "model": "mock", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
        };
        let event = |json: Value| format!("data: {json}\n\n");
        let mut events: Vec<String> =
            pieces.iter().map(|piece| event(chunk(json!({"content": piece}), Value::Null))).collect();
        if let Some(first) = events.first_mut() {
            first.insert_str(0, &event(chunk(json!({"role": "assistant", "content": ""}), Value::Null)));
        }
        if let Some(last) = events.last_mut() {
            last.push_str(&event(chunk(json!({}), json!("stop"))));
            last.push_str("data: [DONE]\n\n");
        }
        let completion = json!({"id": "chatcmpl-mock", "object": "chat.completion", "created": 1_700_000_000,
            "model": "mock", "choices": [{"index": 0, "finish_reason": "stop",
                "message": {"role": "assistant", "content": pieces.concat()}}],
            "usage": {"prompt_tokens": 10, "completion_tokens": pieces.len(), "total_tokens": 10 + pieces.len()}});
        Self {
            completion: completion.to_string().into(),
            events: events.into_iter().map(Bytes::from).collect(),
            interval: Duration::from_millis(arguments.interval_ms),
            first: Duration::from_millis(arguments.first_ms),
            count: AtomicU64::new(0),
        }
    }
}

/// A streamed answer that keeps to its schedule: a late event does not delay those after it.
struct Paced {
    answers: Arc<Answers>,
    next: usize,
    start: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Paced {
    fn new(answers: Arc<Answers>) -> Self {
        let start = Instant::now();
        Self { answers, next: 0, start, sleep: Box::pin(tokio::time::sleep_until(start)) }
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(event) = self.answers.events.get(self.next).cloned() else { return Poll::Ready(None) };
        if self.next > 0 {
            ready!(self.sleep.as_mut().poll(context));
        }
        self.next += 1;
        let ticks = u32::try_from(self.next).unwrap_or(u32::MAX);
        let due = self.start + self.answers.interval.saturating_mul(ticks);
        self.sleep.as_mut().reset(due);
        Poll::Ready(Some(Ok(Frame::data(event))))
    }
}

async fn answer(request: Request<Incoming>, answers: Arc<Answers>) -> Response<Either<Full<Bytes>, Paced>> {
    if request.uri().path() == "/__count" {
        return Response::new(Either::Left(answers.count.load(Ordering::Relaxed).to_string().into()));
    }
    let is_chat = request.method() == Method::POST;
    let mut body = request.into_body();
    let mut bytes = BytesMut::new();
    while let Some(Ok(frame)) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        if let Ok(data) = frame.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    if is_chat {
        answers.count.fetch_add(1, Ordering::Relaxed);
    }
    let streams =
        [&b"\"stream\":true"[..], b"\"stream\": true"].iter().any(|w| memmem::find(&bytes, w).is_some());
    let (kind, body) = if streams {
        ("text/event-stream", Either::Right(Paced::new(answers)))
    } else {
        if is_chat && !answers.first.is_zero() {
            tokio::time::sleep(answers.first).await;
        }
        ("application/json", Either::Left(Full::new(answers.completion.clone())))
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

// One thread: the mock must leave the other cores to what is measured.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let answers = Arc::new(Answers::new(arguments));
    let served =
        bench_harness::serve(arguments.port, move |request| answer(request, Arc::clone(&answers))).await;
    if served.is_err() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
