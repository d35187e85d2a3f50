//! One try at one endpoint: from sending the request to the first content, or to a [`Failure`] that is understood.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use llm_wire::Spoken;
use llm_wire::openai::{self, UpstreamError, Usage};
use tokio_util::task::TaskTracker;

use crate::classify::{
    FailedAttempt, Verdict, broken, classify, error_inside, failure, garbage, neutral, not_sent, unhealthy,
};
use crate::dialect::{AnswerNames, Decoder, Piece, Written};
use crate::endpoint::{Endpoint, InFlight};
use crate::error::Failure;
use crate::pause::asked_pause;
use crate::question::{Asked, WholeAnswer};
use crate::upstream::Upstream;

/// The longest whole answer, in bytes. Longer ones are an endpoint gone wrong, not an answer.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// How much of an error's body is read.
const MAX_ERROR_BYTES: usize = 64 << 10;
/// How much may come before the first content: role chunks and the like, not a flood of them.
const MAX_PREAMBLE_BYTES: usize = 1 << 20;

/// An answer that is whole, or whose first content is there.
pub(crate) enum Got {
    Complete { body: Bytes, usage: Option<Usage>, in_flight: InFlight },
    Streaming { preamble: Vec<Bytes>, upstream: Upstream },
}

/// What an attempt got, and how.
pub(crate) struct Established {
    pub(crate) answer: Got,
    /// The dialect of the answer's documents; `None`: OpenAI's.
    pub(crate) spoken: Option<Spoken>,
    /// Fields of the question that the endpoint was not told.
    pub(crate) dropped: Vec<String>,
}

/// Asks the endpoint and waits, at most for the patience there is, until the answer is whole or its first content there.
pub(crate) async fn attempt(
    in_flight: InFlight,
    asked: Asked<'_>,
    drains: &TaskTracker,
) -> Result<Established, FailedAttempt> {
    let endpoint = Arc::clone(in_flight.endpoint());
    let mut in_flight = in_flight;
    let answered = tokio::time::timeout(asked.patience, ask(&endpoint, asked)).await;
    let Asked { bill, question, .. } = asked;
    let failed = match answered {
        Ok(Ok(Answered { answer, spoken, dropped })) => {
            let now = Instant::now();
            in_flight.first_content(now);
            let answer = match answer {
                Answer::Complete(WholeAnswer { body, usage, .. }) => {
                    if let Some(counted) = usage.map(|usage| usage.completion_tokens).filter(|n| *n > 0) {
                        in_flight.wrote(Some(counted));
                    }
                    in_flight.success(now);
                    bill.whole(usage, body.len());
                    Got::Complete { body, usage, in_flight }
                }
                Answer::Streaming { preamble, usage, body, decoder, finished, done, ended } => {
                    in_flight.streams(now);
                    let (body, drains) = (Some(body), drains.clone());
                    let (bill, hides_usage) = (bill.clone(), question.hides_usage());
                    let upstream = Upstream {
                        body,
                        drains,
                        decoder,
                        in_flight,
                        finished,
                        done,
                        ended,
                        usage,
                        bill,
                        hides_usage,
                    };
                    Got::Streaming { preamble, upstream }
                }
            };
            return Ok(Established { answer, spoken, dropped });
        }
        Ok(Err(failed)) => failed,
        Err(_) => FailedAttempt {
            failure: failure(
                endpoint.name(),
                "UAT_TIMEOUT",
                format!(
                    "no content within {} ms; first_token_timeout_ms and total_timeout_ms allow more",
                    asked.patience.as_millis()
                ),
            ),
            verdict: Verdict::Unhealthy,
            timed_out: true,
            is_ours: false,
            took_nothing: false,
        },
    };
    in_flight.failure(failed.verdict, &failed.failure, Instant::now());
    Err(failed)
}

struct Answered {
    answer: Answer,
    spoken: Option<Spoken>,
    dropped: Vec<String>,
}

enum Answer {
    Complete(WholeAnswer),
    Streaming {
        preamble: Vec<Bytes>,
        usage: Option<Usage>,
        body: Incoming,
        decoder: Box<dyn Decoder>,
        finished: bool,
        done: bool,
        ended: bool,
    },
}

async fn ask(endpoint: &Endpoint, asked: Asked<'_>) -> Result<Answered, FailedAttempt> {
    let question = asked.question;
    let (http_request, dropped) = endpoint.dialect.request(asked).map_err(|e| {
        let upstream = UpstreamError { param: e.param().map(str::to_owned), ..UpstreamError::default() };
        neutral(Failure {
            retryable: false,
            upstream: Some(upstream),
            ..failure(endpoint.name(), "UAT_INVALID_INPUT", e.to_string())
        })
    })?;
    let response = endpoint.client.request(http_request).await.map_err(|e| not_sent(endpoint.name(), &e))?;
    if response.status() != StatusCode::OK {
        return Err(refused(endpoint, response).await);
    }
    let names =
        AnswerNames { request_id: asked.request_id, model: question.model(), created: unix_seconds() };
    if question.stream() {
        let decoder = endpoint.dialect.decoder(question, names);
        let spoken = decoder.spoken();
        let answer = first_content(endpoint, response, decoder, asked).await?;
        Ok(Answered { answer, spoken, dropped })
    } else {
        let body = read(endpoint, response.into_body(), MAX_ANSWER_BYTES).await?;
        let Written { body, spoken, facts } =
            endpoint.dialect.whole_answer(question, body, names).map_err(|e| garbage(endpoint.name(), &e))?;
        let answer = match facts {
            Some(facts) => WholeAnswer { body, usage: facts.usage, error: facts.error },
            None => question.read(body).map_err(|e| garbage(endpoint.name(), &e))?,
        };
        match answer.error {
            Some(error) => Err(error_inside(endpoint.name(), error)),
            None => Ok(Answered { answer: Answer::Complete(answer), spoken, dropped }),
        }
    }
}

async fn first_content(
    endpoint: &Endpoint,
    response: Response<Incoming>,
    mut decoder: Box<dyn Decoder>,
    asked: Asked<'_>,
) -> Result<Answer, FailedAttempt> {
    if is_plain_json(&response) {
        // Some servers answer a streamed request with an error object and status 200.
        let body = read(endpoint, response.into_body(), MAX_ERROR_BYTES).await?;
        let error = openai::parse_error(&body);
        return Err(error_inside(endpoint.name(), error));
    }
    let mut body = response.into_body();
    let (mut preamble, mut usage, mut bytes) = (Vec::new(), None, 0);
    let (mut has_content, mut finished, mut done, mut ended) = (false, false, false, false);
    let hides_usage = asked.question.hides_usage();
    loop {
        // Everything that came with the first content goes out with it.
        while let Some(piece) = decoder.next_piece() {
            match piece.map_err(|e| garbage(endpoint.name(), &e))? {
                Piece::Done if has_content && !finished => {
                    return Err(unhealthy(failure(
                        endpoint.name(),
                        "UAT_UPSTREAM",
                        "the stream ended without a finish reason".to_owned(),
                    )));
                }
                Piece::Done => {
                    done = true;
                    break;
                }
                Piece::Chunk { data, facts } => {
                    if let Some(error) = facts.error {
                        // Even after content: none of it went out yet, so another endpoint can still answer.
                        return Err(error_inside(endpoint.name(), error));
                    }
                    asked.bill.chunk(&facts);
                    has_content |= facts.has_content;
                    finished |= facts.finished;
                    usage = facts.usage.or(usage);
                    if hides_usage && facts.only_usage {
                        continue;
                    }
                    bytes += data.len();
                    preamble.push(data);
                }
            }
        }
        if has_content {
            return Ok(Answer::Streaming { preamble, usage, body, decoder, finished, done, ended });
        }
        if done {
            return Err(unhealthy(failure(
                endpoint.name(),
                "UAT_UPSTREAM",
                "the stream ended without any content".to_owned(),
            )));
        }
        if bytes > MAX_PREAMBLE_BYTES {
            return Err(unhealthy(failure(
                endpoint.name(),
                "UAT_UPSTREAM",
                format!("over {MAX_PREAMBLE_BYTES} bytes came without any content"),
            )));
        }
        if ended {
            return Err(unhealthy(failure(
                endpoint.name(),
                "UAT_UPSTREAM",
                "the connection was closed before any content".to_owned(),
            )));
        }
        match body.frame().await {
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    decoder.push(data);
                }
            }
            Some(Err(e)) => return Err(broken(endpoint.name(), &e, "before any content")),
            None => {
                ended = true;
                decoder.end();
            }
        }
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
            endpoint.name(),
            "UAT_UPSTREAM",
            format!("the answer is longer than {limit} bytes"),
        ))),
        Err(e) => Err(broken(endpoint.name(), &*e, "in the middle of the answer")),
    }
}

async fn refused(endpoint: &Endpoint, response: Response<Incoming>) -> FailedAttempt {
    let status = response.status();
    let retry_after = asked_pause(response.headers(), SystemTime::now());
    match read(endpoint, response.into_body(), MAX_ERROR_BYTES).await {
        Ok(body) => {
            // Gemini says in the body what others say in a header.
            let retry_after = retry_after.or_else(|| endpoint.dialect.pause_asked_for(&body));
            classify(endpoint.name(), status, openai::parse_error(&body), retry_after)
        }
        Err(_) => classify(endpoint.name(), status, UpstreamError::default(), retry_after),
    }
}
