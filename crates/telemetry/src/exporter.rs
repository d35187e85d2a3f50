//! Hands spans to a collector, in batches, off the way of every request.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use https_connector::NoTls;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::counts::Counts;
use crate::ended::EndedRequest;
use crate::error::TelemetryError;
use crate::options::TracesOptions;
use crate::spans::{Resource, request, spans};
use crate::traces::Begun;

/// Spans of one message: some 300 KB, as collectors take them by default (4 MB).
const BATCH: usize = 512;
/// A batch waits no longer for more spans: whoever looks for a trace finds it a second later.
const DELAY: Duration = Duration::from_secs(1);
/// The longest that a collector may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Tries for one batch. More would keep a queue full of old spans, and drop the new ones.
const TRIES: u32 = 3;
/// The pause before the second try; before the third it is twice that.
const PAUSE: Duration = Duration::from_secs(1);
/// A collector that asks for a longer pause gets this one.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long a shutdown waits for what is in the queue.
const LAST_PATIENCE: Duration = Duration::from_secs(5);
/// What is read of a collector's answer, in bytes.
const LONGEST_ANSWER: usize = 64 << 10;

/// A request that is kept, in the queue.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) begun: Begun,
    pub(crate) request: EndedRequest,
}

/// What takes spans out of the queue; does nothing until it is [run](Self::run).
pub struct Exporter {
    items: mpsc::Receiver<Item>,
    collector: Collector,
    resource: Resource,
    counts: Arc<Counts>,
}

impl Exporter {
    pub(crate) fn new(
        options: &TracesOptions,
        items: mpsc::Receiver<Item>,
        resource: Resource,
        counts: Arc<Counts>,
    ) -> Result<Self, TelemetryError> {
        let collector = Collector::new(options)?;
        Ok(Self { items, collector, resource, counts })
    }

    /// Runs until `stop` is cancelled or nobody sends any more, and then until what is in the queue is told, for at most
    /// 5 s.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut open = true;
        while open {
            let mut batch = Vec::with_capacity(BATCH);
            open = tokio::select! {
                biased;
                open = collect(&mut self.items, &mut batch) => open,
                () = stop.cancelled() => false,
            };
            if open {
                tokio::select! {
                    () = self.tell(&mut batch) => {}
                    () = stop.cancelled() => open = false,
                }
            }
            if !open {
                let rest = self.tell_rest(&mut batch);
                if tokio::time::timeout(LAST_PATIENCE, rest).await.is_err() {
                    while let Ok(item) = self.items.try_recv() {
                        batch.extend(spans(&item));
                    }
                    self.counts.dropped(batch.len() as u64);
                    tracing::warn!(spans = batch.len(), "spans are lost: the collector took too long");
                }
            }
        }
    }

    async fn tell_rest(&mut self, batch: &mut Vec<Span>) {
        self.items.close();
        loop {
            while batch.len() < BATCH
                && let Ok(item) = self.items.try_recv()
            {
                batch.extend(spans(&item));
            }
            if batch.is_empty() {
                return;
            }
            self.tell(batch).await;
        }
    }

    /// Hands the batch over or drops it; counted either way. Where it is cancelled, the batch stays.
    async fn tell(&self, batch: &mut Vec<Span>) {
        let count = batch.len() as u64;
        if count == 0 {
            return;
        }
        let body = Bytes::from(request(&self.resource, batch.clone()).encode_to_vec());
        let mut tries = 0;
        let refused = loop {
            tries += 1;
            match self.collector.post(body.clone()).await {
                Ok(refused) => break refused.min(count),
                Err(failure) => {
                    self.counts.export_failed();
                    if !failure.retryable || tries == TRIES {
                        tracing::warn!(reason = failure.reason, spans = count, "spans are dropped");
                        break count;
                    }
                    tracing::debug!(reason = failure.reason, "the collector is asked again");
                    let pause = failure.pause.unwrap_or(PAUSE * tries);
                    tokio::time::sleep(pause.min(LONGEST_PAUSE)).await;
                }
            }
        };
        batch.clear();
        self.counts.dropped(refused);
        self.counts.exported(count - refused);
    }
}

/// Fills a batch: until it is full, or it has waited long enough. False: nobody sends any more.
async fn collect(items: &mut mpsc::Receiver<Item>, batch: &mut Vec<Span>) -> bool {
    let Some(first) = items.recv().await else { return false };
    let due = Instant::now() + DELAY;
    batch.extend(spans(&first));
    while batch.len() < BATCH {
        match tokio::time::timeout_at(due, items.recv()).await {
            Ok(Some(item)) => batch.extend(spans(&item)),
            Ok(None) => return false,
            Err(_) => break,
        }
    }
    true
}

struct Collector {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    options: TracesOptions,
}

struct PostFailure {
    reason: String,
    retryable: bool,
    pause: Option<Duration>,
}

impl Collector {
    fn new(options: &TracesOptions) -> Result<Self, TelemetryError> {
        let wrong = |message: String| TelemetryError::Option { field: "otlp_endpoint", message };
        let is_https = options.uri.scheme_str() == Some("https");
        let connector = https_connector::connector(is_https).map_err(|error| {
            wrong(match error {
                NoTls::Roots(error) => {
                    format!("https needs the system's root certificates (package ca-certificates): {error}")
                }
                NoTls::Setup(error) => format!("TLS cannot be set up: {error}"),
            })
        })?;
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
        Ok(Self { client, options: options.clone() })
    }

    /// How many spans the collector refused.
    async fn post(&self, body: Bytes) -> Result<u64, PostFailure> {
        match tokio::time::timeout(PATIENCE, self.answered(body)).await {
            Ok(answered) => answered,
            Err(_) => Err(PostFailure {
                reason: format!("no answer within {} s", PATIENCE.as_secs()),
                retryable: true,
                pause: None,
            }),
        }
    }

    async fn answered(&self, body: Bytes) -> Result<u64, PostFailure> {
        let unreachable = |reason: String| PostFailure { reason, retryable: true, pause: None };
        let mut post = Request::new(Full::new(body));
        *post.method_mut() = Method::POST;
        *post.uri_mut() = self.options.uri.clone();
        let headers = post.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("uat/", env!("CARGO_PKG_VERSION"))));
        headers.extend(self.options.headers.iter().cloned());
        let response = self.client.request(post).await.map_err(|error| unreachable(error.to_string()))?;
        let (status, pause) = (response.status(), asked_pause(response.headers()));
        let body = Limited::new(response.into_body(), LONGEST_ANSWER).collect().await;
        if status.is_success() {
            // What is no answer of a collector refuses nothing.
            let answer = body.ok().and_then(|body| ExportTraceServiceResponse::decode(body.to_bytes()).ok());
            let refused =
                answer.and_then(|answer| answer.partial_success).map_or(0, |some| some.rejected_spans);
            return Ok(u64::try_from(refused).unwrap_or(0));
        }
        // The statuses that the protocol says to repeat: <https://opentelemetry.io/docs/specs/otlp/#failures-1>.
        let retryable = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        );
        Err(PostFailure { reason: format!("the collector answered {status}"), retryable, pause })
    }
}

fn asked_pause(headers: &http::HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
