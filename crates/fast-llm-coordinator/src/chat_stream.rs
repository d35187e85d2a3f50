use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_core::Stream;
use llm_wire::Spoken;
use llm_wire::openai::Usage;
use tokio::time::Sleep;

use crate::cache::{Followed, Replay};
use crate::error::{CoordinatorError, Failure};
use crate::report::{Outcome, RoutingReport};
use crate::stats::RequestGuard;
use crate::upstream::{Upstream, UpstreamChunk};

/// A streamed answer that has begun: chunk documents in OpenAI's shape, without framing and without `[DONE]`.
///
/// `None` comes only after a finished answer; one that was cut ends with an error. Dropping the stream closes the
/// connection to the endpoint, which stops generating.
pub struct ChatStream(Source);

/// Where its chunks come from. Boxed, so that an answer that is a stream is no larger than one that is whole.
enum Source {
    Endpoint(Box<Running>),
    /// The response cache.
    Kept(Box<Replay>),
    /// An execution that several requests may share.
    Followed(Box<Followed>),
}

struct Running {
    /// Chunks that came up to and with the first content.
    preamble: VecDeque<Bytes>,
    upstream: Option<Upstream>,
    guard: RequestGuard,
    report: RoutingReport,
    limits: StreamLimits,
    last_chunk: Instant,
    /// Checks for a stall; armed once and moved only when it fires, because moving a timer at each chunk costs more
    /// than the chunk.
    watchdog: Pin<Box<Sleep>>,
    usage: Option<Usage>,
    spoken: Option<Spoken>,
}

/// When a stream is given up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamLimits {
    /// Between two pieces.
    pub(crate) idle: Duration,
    /// The end of the attempt.
    pub(crate) attempt_ends: Instant,
    /// The end of the request, and the time that the caller allowed for it.
    pub(crate) request_ends: Option<(Instant, Duration)>,
}

enum Expired {
    Idle,
    Attempt,
    Request(Duration),
}

impl StreamLimits {
    /// The next moment at which one of the limits may be reached.
    fn next_check(&self, last_chunk: Instant) -> Instant {
        let end = self.request_ends.map_or(self.attempt_ends, |(at, _)| at.min(self.attempt_ends));
        end.min(last_chunk + self.idle)
    }

    fn expired(&self, last_chunk: Instant, now: Instant) -> Option<Expired> {
        match self.request_ends {
            Some((at, allowed)) if now >= at => Some(Expired::Request(allowed)),
            _ if now >= self.attempt_ends => Some(Expired::Attempt),
            _ if now >= last_chunk + self.idle => Some(Expired::Idle),
            _ => None,
        }
    }
}

impl ChatStream {
    pub(crate) fn new(
        preamble: Vec<Bytes>,
        upstream: Upstream,
        spoken: Option<Spoken>,
        guard: RequestGuard,
        report: RoutingReport,
        limits: StreamLimits,
    ) -> Self {
        let last_chunk = Instant::now();
        let watchdog = Box::pin(tokio::time::sleep_until(limits.next_check(last_chunk).into()));
        let usage = upstream.usage;
        let (preamble, upstream) = (preamble.into(), Some(upstream));
        Self(Source::Endpoint(Box::new(Running {
            preamble,
            upstream,
            guard,
            report,
            limits,
            last_chunk,
            watchdog,
            usage,
            spoken,
        })))
    }

    pub(crate) fn replayed(replay: Replay) -> Self {
        Self(Source::Kept(Box::new(replay)))
    }

    pub(crate) fn followed(followed: Followed) -> Self {
        Self(Source::Followed(Box::new(followed)))
    }

    /// What happened so far; final once the stream has ended.
    pub fn report(&self) -> RoutingReport {
        match &self.0 {
            Source::Endpoint(running) => running.report(),
            Source::Kept(replay) => replay.report(),
            Source::Followed(followed) => followed.report(),
        }
    }

    /// The dialect of the documents; `None`: OpenAI's chunks without framing. Another one only where the client asked in
    /// it and the endpoint speaks it too: its events then come with their framing, as the endpoint wrote them.
    pub fn spoken(&self) -> Option<Spoken> {
        match &self.0 {
            Source::Endpoint(running) => running.spoken,
            Source::Kept(_) => None,
            Source::Followed(followed) => followed.spoken(),
        }
    }

    /// What the endpoint counted, once it said so.
    pub fn usage(&self) -> Option<&Usage> {
        match &self.0 {
            Source::Endpoint(running) => running.usage.as_ref(),
            Source::Kept(replay) => replay.usage(),
            Source::Followed(followed) => followed.usage(),
        }
    }
}

impl Running {
    fn report(&self) -> RoutingReport {
        let mut report = self.report.clone();
        if let (Some(upstream), Some(attempt)) = (&self.upstream, report.attempts.last_mut()) {
            attempt.total_ms = upstream.in_flight().started().elapsed().as_secs_f64() * 1e3;
        }
        report
    }

    fn poll_upstream(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, CoordinatorError>>> {
        let Some(upstream) = self.upstream.as_mut() else { return Poll::Ready(None) };
        match upstream.poll_chunk(cx) {
            Poll::Ready(Some(Ok(UpstreamChunk { data, usage }))) => {
                self.last_chunk = Instant::now();
                self.usage = usage.or(self.usage.take());
                return Poll::Ready(Some(Ok(data)));
            }
            Poll::Ready(Some(Err(failure))) => {
                return Poll::Ready(Some(Err(self.fail(failure, Outcome::Error))));
            }
            Poll::Ready(None) => {
                self.end(Outcome::Ok, None);
                if let Some(usage) = &self.usage {
                    self.guard.counters().usage(usage);
                }
                return Poll::Ready(None);
            }
            Poll::Pending => {}
        }
        while self.watchdog.as_mut().poll(cx).is_ready() {
            match self.limits.expired(self.last_chunk, Instant::now()) {
                Some(expired) => return Poll::Ready(Some(Err(self.give_up(&expired)))),
                None => self.watchdog.as_mut().reset(self.limits.next_check(self.last_chunk).into()),
            }
        }
        Poll::Pending
    }

    fn give_up(&mut self, expired: &Expired) -> CoordinatorError {
        let message = match expired {
            Expired::Request(after) => {
                self.end(Outcome::Timeout, Some(format!("the caller's {} ms passed", after.as_millis())));
                self.guard.error();
                return CoordinatorError::DeadlineExceeded {
                    after: *after,
                    attempts: self.report.attempts.clone(),
                };
            }
            Expired::Idle => {
                format!(
                    "nothing came for {} ms in the middle of the answer (idle_timeout_ms)",
                    self.limits.idle.as_millis()
                )
            }
            Expired::Attempt => "the answer took longer than total_timeout_ms".to_owned(),
        };
        match self.upstream.as_mut().map(|upstream| upstream.stalled(message)) {
            Some(failure) => self.fail(failure, Outcome::Timeout),
            None => CoordinatorError::DeadlineExceeded {
                after: Duration::ZERO,
                attempts: self.report.attempts.clone(),
            },
        }
    }

    fn fail(&mut self, failure: Failure, outcome: Outcome) -> CoordinatorError {
        self.end(outcome, Some(failure.message.clone()));
        self.guard.error();
        CoordinatorError::Failed { failure: Box::new(failure), attempts: self.report.attempts.clone() }
    }

    /// Lets the connection go and completes the report.
    fn end(&mut self, outcome: Outcome, error: Option<String>) {
        self.report = self.report();
        if let Some(attempt) = self.report.attempts.last_mut() {
            attempt.outcome = outcome;
            attempt.error = error;
        }
        self.upstream = None;
    }
}

impl Stream for ChatStream {
    type Item = Result<Bytes, CoordinatorError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut self.0 {
            Source::Endpoint(running) => match running.preamble.pop_front() {
                Some(data) => Poll::Ready(Some(Ok(data))),
                None => running.poll_upstream(cx),
            },
            Source::Kept(replay) => Poll::Ready(replay.next_chunk().map(Ok)),
            Source::Followed(followed) => followed.poll_chunk(cx),
        }
    }
}

impl std::fmt::Debug for ChatStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChatStream").field("report", &self.report()).finish_non_exhaustive()
    }
}
