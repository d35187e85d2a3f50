//! One try at one endpoint: from sending the request to the first content, or to a [`Failure`] that is understood.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use llm_wire::WireError;
use llm_wire::openai::{self, ChatRequest, UpstreamError, Usage};
use tokio_util::task::TaskTracker;

use crate::dialect::{AnswerNames, Piece, StreamDecoder};
use crate::endpoint::{DEFAULT_COOLDOWN, Endpoint, InFlight, Verdict};
use crate::error::Failure;
use crate::transport::ConnectError;

/// The longest whole answer, in bytes. Longer ones are an endpoint gone wrong, not an answer.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// How much of an error's body is read.
const MAX_ERROR_BYTES: usize = 64 << 10;
/// How much may come before the first content: role chunks and the like, not a flood of them.
const MAX_PREAMBLE_BYTES: usize = 1 << 20;

/// How long the end of a finished stream is waited for before its connection is closed rather than used again.
const DRAIN_FOR: Duration = Duration::from_millis(500);

/// What an attempt got.
pub(crate) enum Established {
    Complete { body: Bytes, usage: Option<Usage>, in_flight: InFlight },
    Streaming { preamble: Vec<Bytes>, upstream: Upstream },
}

/// How an attempt failed: the failure for the caller, what it says of the endpoint, and whether to try there again.
pub(crate) struct FailedAttempt {
    pub(crate) failure: Failure,
    pub(crate) verdict: Verdict,
    pub(crate) timed_out: bool,
}

impl FailedAttempt {
    /// Whether the same endpoint may do better in a moment.
    pub(crate) fn is_brief(&self) -> bool {
        self.verdict == Verdict::Unhealthy && self.failure.retryable && !self.timed_out
    }
}

/// Asks `endpoint` and waits, at most for `patience`, until the answer is whole or its first content is there.
pub(crate) async fn attempt(
    in_flight: InFlight,
    request: &ChatRequest,
    model: &str,
    request_id: &str,
    patience: Duration,
    drains: &TaskTracker,
) -> Result<Established, FailedAttempt> {
    let endpoint = Arc::clone(in_flight.endpoint());
    let mut in_flight = in_flight;
    let asked = tokio::time::timeout(patience, ask(&endpoint, request, model, request_id)).await;
    let failed = match asked {
        Ok(Ok(Answer::Complete { body, usage })) => {
            let now = Instant::now();
            in_flight.first_content(now);
            in_flight.success(now);
            return Ok(Established::Complete { body, usage, in_flight });
        }
        Ok(Ok(Answer::Streaming { preamble, body, decoder, finished, done })) => {
            in_flight.first_content(Instant::now());
            let (body, drains) = (Some(body), drains.clone());
            let upstream = Upstream { body, drains, decoder, in_flight, finished, done };
            return Ok(Established::Streaming { preamble, upstream });
        }
        Ok(Err(failed)) => failed,
        Err(_) => FailedAttempt {
            failure: failure(
                &endpoint,
                "UAT_TIMEOUT",
                format!("no content within {} ms (first_token_timeout_ms)", patience.as_millis()),
            ),
            verdict: Verdict::Unhealthy,
            timed_out: true,
        },
    };
    in_flight.failure(failed.verdict, &failed.failure, Instant::now());
    Err(failed)
}

enum Answer {
    Complete { body: Bytes, usage: Option<Usage> },
    Streaming { preamble: Vec<Bytes>, body: Incoming, decoder: StreamDecoder, finished: bool, done: bool },
}

async fn ask(
    endpoint: &Endpoint,
    request: &ChatRequest,
    model: &str,
    request_id: &str,
) -> Result<Answer, FailedAttempt> {
    let http_request = endpoint.dialect.request(request, model, request_id).map_err(|e| {
        neutral(Failure {
            is_final: false,
            retryable: false,
            ..failure(endpoint, "UAT_INVALID_INPUT", e.to_string())
        })
    })?;
    let response = endpoint.client.request(http_request).await.map_err(|e| not_sent(endpoint, &e))?;
    if response.status() != StatusCode::OK {
        return Err(refused(endpoint, response).await);
    }
    let names = AnswerNames { request_id, model: request.model(), created: unix_seconds() };
    if request.stream() {
        let decoder = endpoint.dialect.stream_decoder(request.include_usage(), names);
        first_content(endpoint, response, decoder).await
    } else {
        let body = read(endpoint, response.into_body(), MAX_ANSWER_BYTES).await?;
        let body = endpoint.dialect.completion(body, names).map_err(|e| garbage(endpoint, &e))?;
        let facts = openai::response_facts(&body).map_err(|e| garbage(endpoint, &e))?;
        match facts.error {
            Some(error) => Err(error_inside(endpoint, error)),
            None => Ok(Answer::Complete { body, usage: facts.usage }),
        }
    }
}

async fn first_content(
    endpoint: &Endpoint,
    response: Response<Incoming>,
    mut decoder: StreamDecoder,
) -> Result<Answer, FailedAttempt> {
    if is_plain_json(&response) {
        // Some servers answer a streamed request with an error object and status 200.
        let body = read(endpoint, response.into_body(), MAX_ERROR_BYTES).await?;
        let error = openai::parse_error(&body);
        return Err(error_inside(endpoint, error));
    }
    let mut body = response.into_body();
    let (mut preamble, mut bytes) = (Vec::new(), 0);
    let (mut has_content, mut finished, mut done) = (false, false, false);
    loop {
        // Everything that came with the first content goes out with it.
        while let Some(piece) = decoder.next_piece() {
            match piece.map_err(|e| garbage(endpoint, &e))? {
                Piece::Done => {
                    done = true;
                    break;
                }
                Piece::Chunk(data) => {
                    let facts = openai::chunk_facts(&data).map_err(|e| garbage(endpoint, &e))?;
                    if let Some(error) = facts.error {
                        // Even after content: none of it went out yet, so another endpoint can still answer.
                        return Err(error_inside(endpoint, error));
                    }
                    has_content |= facts.has_content;
                    finished |= facts.finished;
                    bytes += data.len();
                    preamble.push(data);
                }
            }
        }
        if has_content {
            return Ok(Answer::Streaming { preamble, body, decoder, finished, done });
        }
        if done {
            return Err(unhealthy(failure(
                endpoint,
                "UAT_UPSTREAM",
                "the stream ended without any content".to_owned(),
            )));
        }
        if bytes > MAX_PREAMBLE_BYTES {
            return Err(unhealthy(failure(
                endpoint,
                "UAT_UPSTREAM",
                format!("over {MAX_PREAMBLE_BYTES} bytes came without any content"),
            )));
        }
        match body.frame().await {
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    decoder.push(data);
                }
            }
            Some(Err(e)) => return Err(broken(endpoint, &e, "before any content")),
            None => {
                return Err(unhealthy(failure(
                    endpoint,
                    "UAT_UPSTREAM",
                    "the connection was closed before any content".to_owned(),
                )));
            }
        }
    }
}

/// One piece of a streamed answer.
pub(crate) struct UpstreamChunk {
    /// The chunk document in OpenAI's shape.
    pub(crate) data: Bytes,
    /// What the endpoint counted, if it says so here.
    pub(crate) usage: Option<Usage>,
}

/// A streamed answer that has begun.
pub(crate) struct Upstream {
    /// `None` once its end was seen or left to `drains`.
    body: Option<Incoming>,
    drains: TaskTracker,
    decoder: StreamDecoder,
    in_flight: InFlight,
    finished: bool,
    done: bool,
}

impl Upstream {
    pub(crate) fn in_flight(&self) -> &InFlight {
        &self.in_flight
    }

    /// The next chunk; `None` after a finished answer.
    pub(crate) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<UpstreamChunk, Failure>>> {
        loop {
            if self.done {
                self.in_flight.success(Instant::now());
                self.hand_back_connection(cx);
                return Poll::Ready(None);
            }
            match self.decoder.next_piece() {
                Some(Ok(Piece::Done)) => {
                    self.done = true;
                    continue;
                }
                Some(Ok(Piece::Chunk(data))) => {
                    return Poll::Ready(Some(match openai::chunk_facts(&data) {
                        Ok(facts) => match facts.error {
                            None => {
                                self.finished |= facts.finished;
                                Ok(UpstreamChunk { data, usage: facts.usage })
                            }
                            Some(error) => {
                                let failed = error_inside(self.in_flight.endpoint(), error);
                                Err(self.fail(failed))
                            }
                        },
                        Err(e) => {
                            let failed = garbage(self.in_flight.endpoint(), &e);
                            Err(self.fail(failed))
                        }
                    }));
                }
                Some(Err(e)) => {
                    let failed = garbage(self.in_flight.endpoint(), &e);
                    return Poll::Ready(Some(Err(self.fail(failed))));
                }
                None => {}
            }
            let Some(body) = self.body.as_mut() else { return Poll::Ready(None) };
            match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.decoder.push(data);
                    }
                }
                Some(Err(e)) => {
                    let failed = broken(self.in_flight.endpoint(), &e, "in the middle of the answer");
                    return Poll::Ready(Some(Err(self.fail(failed))));
                }
                // A finish reason is as good as `[DONE]`, which not every server sends.
                None if self.finished => self.done = true,
                None => {
                    let failed = unhealthy(failure(
                        self.in_flight.endpoint(),
                        "UAT_UPSTREAM",
                        "the connection was closed in the middle of the answer".to_owned(),
                    ));
                    return Poll::Ready(Some(Err(self.fail(failed))));
                }
            }
        }
    }

    /// Nothing came for too long.
    pub(crate) fn stalled(&mut self, message: String) -> Failure {
        let failed = unhealthy(failure(self.in_flight.endpoint(), "UAT_TIMEOUT", message));
        self.fail(failed)
    }

    /// The connection can be used again once the end of its body was read. Many servers write that end apart from
    /// `[DONE]`; the client does not wait for it.
    fn hand_back_connection(&mut self, cx: &mut Context<'_>) {
        if let Some(mut body) = self.body.take()
            && Pin::new(&mut body).poll_frame(cx).is_pending()
        {
            self.drains.spawn(async move {
                // Whichever comes first: after the timeout the connection is closed instead.
                let _ended_or_late = tokio::time::timeout(DRAIN_FOR, body.collect()).await;
            });
        }
    }

    fn fail(&mut self, failed: FailedAttempt) -> Failure {
        self.in_flight.failure(failed.verdict, &failed.failure, Instant::now());
        failed.failure
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn is_plain_json<B>(response: &Response<B>) -> bool {
    response
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.split(';').next().is_some_and(|kind| kind.trim() == "application/json"))
}

async fn read(endpoint: &Endpoint, body: Incoming, limit: usize) -> Result<Bytes, FailedAttempt> {
    match Limited::new(body, limit).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(e) if e.is::<LengthLimitError>() => Err(unhealthy(failure(
            endpoint,
            "UAT_UPSTREAM",
            format!("the answer is longer than {limit} bytes"),
        ))),
        Err(e) => Err(broken(endpoint, &*e, "in the middle of the answer")),
    }
}

fn failure(endpoint: &Endpoint, code: &'static str, message: String) -> Failure {
    Failure {
        code,
        endpoint: Arc::clone(&endpoint.config.name),
        status: None,
        message: format!("endpoint `{}`: {message}", endpoint.config.name),
        retryable: true,
        is_final: false,
        retry_after: None,
        upstream: None,
    }
}

fn unhealthy(failure: Failure) -> FailedAttempt {
    FailedAttempt { timed_out: failure.code == "UAT_TIMEOUT", failure, verdict: Verdict::Unhealthy }
}

fn neutral(failure: Failure) -> FailedAttempt {
    FailedAttempt { failure, verdict: Verdict::Neutral, timed_out: false }
}

fn not_sent(endpoint: &Endpoint, error: &hyper_util::client::legacy::Error) -> FailedAttempt {
    match ConnectError::find(error) {
        Some(ConnectError::Engine(dial)) => unhealthy(Failure {
            retryable: dial.retryable,
            ..failure(endpoint, dial.code, dial.message.clone())
        }),
        Some(timeout @ ConnectError::TimedOut(_)) => {
            unhealthy(failure(endpoint, "UAT_TIMEOUT", timeout.to_string()))
        }
        Some(other) => unhealthy(failure(endpoint, "UAT_UPSTREAM", other.to_string())),
        None => broken(endpoint, error, "before an answer"),
    }
}

fn broken(endpoint: &Endpoint, error: &(dyn std::error::Error + 'static), when: &str) -> FailedAttempt {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    unhealthy(failure(endpoint, "UAT_UPSTREAM", format!("the connection broke {when} ({innermost})")))
}

fn garbage(endpoint: &Endpoint, error: &WireError) -> FailedAttempt {
    unhealthy(failure(endpoint, "UAT_UPSTREAM", format!("the answer is not what its protocol says: {error}")))
}

fn error_inside(endpoint: &Endpoint, error: UpstreamError) -> FailedAttempt {
    let status = error.uat_code.as_deref().and_then(status_of_own_code).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut failed = classify(endpoint, status, error, None);
    failed.failure.status = Some(StatusCode::OK.as_u16());
    failed
}

async fn refused(endpoint: &Endpoint, response: Response<Incoming>) -> FailedAttempt {
    let status = response.status();
    let retry_after = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse::<f64>().ok())
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    match read(endpoint, response.into_body(), MAX_ERROR_BYTES).await {
        Ok(body) => classify(endpoint, status, openai::parse_error(&body), retry_after),
        Err(_) => classify(
            endpoint,
            status,
            UpstreamError { message: String::new(), code: None, kind: None, uat_code: None },
            retry_after,
        ),
    }
}

/// What a status and the error object with it mean: the code, whether another endpoint may answer, what it says of
/// this one.
fn classify(
    endpoint: &Endpoint,
    status: StatusCode,
    error: UpstreamError,
    retry_after: Option<Duration>,
) -> FailedAttempt {
    let says = if error.message.is_empty() { String::new() } else { format!(": {}", error.message) };
    let base = Failure {
        status: Some(status.as_u16()),
        retry_after,
        ..failure(endpoint, "UAT_UPSTREAM", format!("status {}{says}", status.as_u16()))
    };
    let own = error.uat_code.as_deref().and_then(own_code);
    let too_long = own == Some("UAT_CONTEXT_LENGTH_EXCEEDED")
        || error.code.as_deref() == Some("context_length_exceeded");
    // An error that is the request's own is passed on in the endpoint's own words.
    let own_words = |code, is_final| Failure {
        code,
        retryable: false,
        is_final,
        message: if error.message.is_empty() { base.message.clone() } else { error.message.clone() },
        ..base.clone()
    };
    let (failure, verdict) = match status.as_u16() {
        _ if too_long => (own_words("UAT_CONTEXT_LENGTH_EXCEEDED", true), Verdict::Neutral),
        _ if own == Some("UAT_OVERLOADED") => (
            Failure { code: "UAT_OVERLOADED", ..base },
            Verdict::CoolDown(retry_after.unwrap_or(DEFAULT_COOLDOWN)),
        ),
        _ if own == Some("UAT_CORRUPT_VALUE") => (own_words("UAT_CORRUPT_VALUE", false), Verdict::Neutral),
        401 | 403 => (Failure { code: "UAT_UNAUTHORIZED", retryable: false, ..base }, Verdict::Quarantine),
        404 => (own_words("UAT_MODEL_NOT_FOUND", false), Verdict::Neutral),
        429 => (
            Failure { code: "UAT_RATE_LIMITED", ..base },
            Verdict::CoolDown(retry_after.unwrap_or(DEFAULT_COOLDOWN)),
        ),
        408 => (Failure { code: "UAT_TIMEOUT", ..base }, Verdict::Unhealthy),
        400..=499 => (own_words(own.unwrap_or("UAT_INVALID_INPUT"), true), Verdict::Neutral),
        _ => (base, Verdict::Unhealthy),
    };
    FailedAttempt { failure: Failure { upstream: Some(error), ..failure }, verdict, timed_out: false }
}

/// The codes that our own engine sends, as constants.
fn own_code(code: &str) -> Option<&'static str> {
    [
        "UAT_INVALID_INPUT",
        "UAT_MODEL_NOT_FOUND",
        "UAT_CONTEXT_LENGTH_EXCEEDED",
        "UAT_OVERLOADED",
        "UAT_CORRUPT_VALUE",
        "UAT_UNSUPPORTED",
    ]
    .into_iter()
    .find(|known| *known == code)
}

/// The status that would have come with a code that arrives inside a stream.
fn status_of_own_code(code: &str) -> Option<StatusCode> {
    match code {
        "UAT_INVALID_INPUT" | "UAT_CONTEXT_LENGTH_EXCEEDED" | "UAT_UNSUPPORTED" => {
            Some(StatusCode::BAD_REQUEST)
        }
        "UAT_MODEL_NOT_FOUND" => Some(StatusCode::NOT_FOUND),
        "UAT_OVERLOADED" => Some(StatusCode::SERVICE_UNAVAILABLE),
        _ => None,
    }
}
