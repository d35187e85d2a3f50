//! A streamed answer that has begun, chunk by chunk.

use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use llm_wire::openai::Usage;
use tokio_util::task::TaskTracker;

use crate::classify::{FailedAttempt, broken, error_inside, failure, garbage, unhealthy};
use crate::dialect::{Decoder, Piece};
use crate::endpoint::InFlight;
use crate::error::Failure;
use crate::meter::{Bill, Ending};

/// How long the end of a finished stream is waited for before its connection is closed rather than used again.
const DRAIN_FOR: Duration = Duration::from_millis(500);

/// One piece of a streamed answer.
pub(crate) struct UpstreamChunk {
    /// The chunk document in OpenAI's shape; empty where the client does not get it.
    pub(crate) data: Bytes,
    /// What the endpoint counted, if it says so here.
    pub(crate) usage: Option<Usage>,
    /// Where its text lies, if that is known and all that it says.
    pub(crate) text: Option<Range<usize>>,
}

/// A streamed answer that has begun.
pub(crate) struct Upstream {
    /// `None` once its end was seen or left to `drains`.
    pub(crate) body: Option<Incoming>,
    pub(crate) drains: TaskTracker,
    pub(crate) decoder: Box<dyn Decoder>,
    pub(crate) in_flight: InFlight,
    pub(crate) finished: bool,
    pub(crate) done: bool,
    /// The end of the body was seen, and what it made of the decoder's last pieces is still to be read.
    pub(crate) ended: bool,
    /// What the endpoint counted up to the first content.
    pub(crate) usage: Option<Usage>,
    /// What the execution takes.
    pub(crate) bill: Bill,
    /// The client did not ask for the usage, which is there all the same.
    pub(crate) hides_usage: bool,
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
                self.bill.end(Ending::Finished);
                self.hand_back_connection(cx);
                return Poll::Ready(None);
            }
            match self.decoder.next_piece() {
                Some(Ok(Piece::Done)) if self.finished => {
                    self.done = true;
                    continue;
                }
                // Whoever writes `[DONE]` after an answer says why it ended; without that it was cut.
                Some(Ok(Piece::Done)) => {
                    let message = "the stream ended without a finish reason".to_owned();
                    return Poll::Ready(Some(Err(self.wrong(message))));
                }
                Some(Ok(Piece::Chunk { data, facts })) => {
                    return Poll::Ready(Some(match facts.error {
                        None => {
                            self.finished |= facts.finished;
                            self.bill.chunk(&facts);
                            if facts.has_content || facts.usage.is_some() {
                                self.in_flight.wrote(facts.usage.map(|usage| usage.completion_tokens));
                            }
                            let hidden = self.hides_usage && facts.only_usage;
                            let text = facts.text.filter(|_| !hidden);
                            let data = if hidden { Bytes::new() } else { data };
                            Ok(UpstreamChunk { data, usage: facts.usage, text })
                        }
                        Some(error) => {
                            let failed = error_inside(self.in_flight.endpoint().name(), error);
                            Err(self.fail(failed))
                        }
                    }));
                }
                Some(Err(e)) => {
                    let failed = garbage(self.in_flight.endpoint().name(), &e);
                    return Poll::Ready(Some(Err(self.fail(failed))));
                }
                None => {}
            }
            if self.ended {
                // A finish reason is as good as `[DONE]`, which not every server sends.
                if self.finished {
                    self.done = true;
                    continue;
                }
                let failed = unhealthy(failure(
                    self.in_flight.endpoint().name(),
                    "UAT_UPSTREAM",
                    "the connection was closed in the middle of the answer".to_owned(),
                ));
                return Poll::Ready(Some(Err(self.fail(failed))));
            }
            let Some(body) = self.body.as_mut() else { return Poll::Ready(None) };
            match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.decoder.push(data);
                    }
                }
                Some(Err(e)) => {
                    let failed = broken(self.in_flight.endpoint().name(), &e, "in the middle of the answer");
                    return Poll::Ready(Some(Err(self.fail(failed))));
                }
                None => {
                    self.ended = true;
                    self.decoder.end();
                }
            }
        }
    }

    /// Nothing came for too long.
    pub(crate) fn stalled(&mut self, message: String) -> Failure {
        let failed = unhealthy(failure(self.in_flight.endpoint().name(), "UAT_TIMEOUT", message));
        self.fail(failed)
    }

    /// It says what it should not.
    pub(crate) fn wrong(&mut self, message: String) -> Failure {
        let failed = unhealthy(failure(self.in_flight.endpoint().name(), "UAT_UPSTREAM", message));
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
        self.bill.end(Ending::Broken);
        failed.failure
    }
}
