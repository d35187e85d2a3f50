use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_core::Stream;
use llm_wire::Spoken;
use llm_wire::openai::{self, Usage};
use tokio::time::Sleep;

use crate::cache::{Followed, Replay};
use crate::config::EndpointConfig;
use crate::error::{CoordinatorError, Failure};
use crate::heard::{Heard, Listener};
use crate::report::{Attempt, Outcome, RoutingReport};
use crate::resume::{Continued, Continuing, Next, Resumption};
use crate::stats::RequestGuard;
use crate::upstream::{Upstream, UpstreamChunk};

/// A streamed answer that has begun: chunk documents in OpenAI's shape, without framing and without `[DONE]`.
///
/// `None` comes only after a finished answer; one that was cut and that nobody could continue ends with an error.
/// Dropping the stream closes the connection to the endpoint, which stops generating.
pub struct ChatStream(Origin);

/// Who gives the answer. Boxed, so that an answer that is a stream is no larger than one that is whole.
enum Origin {
    Endpoint(Box<Running>),
    /// The response cache, or an answer that was looked at as a whole before it was given.
    Kept(Box<Replay>),
    /// An execution that several requests may share.
    Followed(Box<Followed>),
    /// One of these, with somebody who hears it too.
    Heard(Box<Heard>),
    /// One of these, after what was tried for the same request before.
    After(Box<ChatStream>, Vec<Attempt>),
}

struct Running {
    /// Chunks that came together with the first content and are still to be given.
    ready: VecDeque<Bytes>,
    source: Source,
    guard: RequestGuard,
    report: RoutingReport,
    limits: StreamLimits,
    last_chunk: Instant,
    /// Checks for a stall; armed once and moved only when it fires, because moving a timer at each chunk costs more
    /// than the chunk.
    watchdog: Pin<Box<Sleep>>,
    usage: Option<Usage>,
    spoken: Option<Spoken>,
    resumption: Option<Box<Resumption>>,
}

/// Where chunks come from.
enum Source {
    Upstream(Box<Upstream>),
    /// The rest of a broken answer is being asked for, for want of which it ends with this.
    Broken(Box<Failure>, Continuing),
    /// This is the last chunk, given in place of an endpoint.
    Last(Bytes),
    Over,
}

/// When a stream is given up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamLimits {
    /// Between two pieces.
    idle: Duration,
    /// The end of the attempt.
    attempt_ends: Instant,
    /// The end of the request, and the time that the caller allowed for it.
    request_ends: Option<(Instant, Duration)>,
}

enum Expired {
    Idle,
    Attempt,
    Request(Duration),
}

impl StreamLimits {
    pub(crate) fn new(
        config: &EndpointConfig,
        started: Instant,
        request_ends: Option<(Instant, Duration)>,
    ) -> Self {
        Self {
            idle: Duration::from_millis(config.idle_timeout_ms),
            attempt_ends: started + Duration::from_millis(config.total_timeout_ms),
            request_ends,
        }
    }

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

/// The beginning of a stream.
pub(crate) struct Beginning {
    pub(crate) preamble: Vec<Bytes>,
    pub(crate) upstream: Upstream,
    pub(crate) spoken: Option<Spoken>,
    pub(crate) limits: StreamLimits,
    /// `None`: an answer that breaks off is not continued.
    pub(crate) resumption: Option<Resumption>,
}

impl ChatStream {
    pub(crate) fn new(beginning: Beginning, guard: RequestGuard, report: RoutingReport) -> Self {
        let Beginning { preamble, upstream, spoken, limits, mut resumption } = beginning;
        let last_chunk = Instant::now();
        let watchdog = Box::pin(tokio::time::sleep_until(limits.next_check(last_chunk).into()));
        if let Some(resumption) = &mut resumption {
            for chunk in &preamble {
                // Nothing was cut yet, so that every chunk passes as it is.
                let _passed = resumption.chunk(chunk.clone(), None);
            }
        }
        Self(Origin::Endpoint(Box::new(Running {
            ready: preamble.into(),
            usage: upstream.usage,
            source: Source::Upstream(Box::new(upstream)),
            guard,
            report,
            limits,
            last_chunk,
            watchdog,
            spoken,
            resumption: resumption.map(Box::new),
        })))
    }

    pub(crate) fn replayed(replay: Replay) -> Self {
        Self(Origin::Kept(Box::new(replay)))
    }

    pub(crate) fn followed(followed: Followed) -> Self {
        Self(Origin::Followed(Box::new(followed)))
    }

    /// The same stream with somebody who hears it beside whoever reads it.
    #[must_use]
    pub fn heard_by(self, listener: Box<dyn Listener>) -> Self {
        Self(Origin::Heard(Box::new(Heard::new(self, listener))))
    }

    /// The stream of an answer that is whole already, in these chunks.
    pub fn of_whole(chunks: Vec<Bytes>, report: RoutingReport) -> Self {
        Self(Origin::Kept(Box::new(Replay::of_counted(chunks, report))))
    }

    /// The same stream, which was begun after these attempts at the same request: reports and errors tell them first.
    #[must_use]
    pub fn after(self, attempts: Vec<Attempt>) -> Self {
        Self(Origin::After(Box::new(self), attempts))
    }

    /// What happened so far; final once the stream has ended.
    pub fn report(&self) -> RoutingReport {
        match &self.0 {
            Origin::Endpoint(running) => running.report(),
            Origin::Kept(replay) => replay.report(),
            Origin::Followed(followed) => followed.report(),
            Origin::Heard(heard) => heard.stream.report(),
            Origin::After(stream, attempts) => stream.report().after(attempts),
        }
    }

    /// The dialect of the documents; `None`: OpenAI's chunks without framing. Another one only where the client asked in
    /// it and the endpoint speaks it too: its events then come with their framing, as the endpoint wrote them.
    pub fn spoken(&self) -> Option<Spoken> {
        match &self.0 {
            Origin::Endpoint(running) => running.spoken,
            Origin::Kept(_) => None,
            Origin::Followed(followed) => followed.spoken(),
            Origin::Heard(heard) => heard.stream.spoken(),
            Origin::After(stream, _) => stream.spoken(),
        }
    }

    /// What the endpoint counted, once it said so.
    pub fn usage(&self) -> Option<&Usage> {
        match &self.0 {
            Origin::Endpoint(running) => running.usage.as_ref(),
            Origin::Kept(replay) => replay.usage(),
            Origin::Followed(followed) => followed.usage(),
            Origin::Heard(heard) => heard.stream.usage(),
            Origin::After(stream, _) => stream.usage(),
        }
    }
}

impl Running {
    fn report(&self) -> RoutingReport {
        let mut report = RoutingReport { usage: self.usage, ..self.report.clone() };
        if let (Source::Upstream(upstream), Some(attempt)) = (&self.source, report.attempts.last_mut()) {
            attempt.total_ms = upstream.in_flight().started().elapsed().as_secs_f64() * 1e3;
        }
        report
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, CoordinatorError>>> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(chunk)));
            }
            let broken = match &mut self.source {
                Source::Over => return Poll::Ready(None),
                Source::Last(chunk) => {
                    let chunk = std::mem::take(chunk);
                    self.source = Source::Over;
                    return Poll::Ready(Some(Ok(chunk)));
                }
                Source::Broken(_, continuing) => match continuing.as_mut().poll(cx) {
                    Poll::Ready((continued, attempts)) => {
                        self.report.attempts = attempts;
                        self.continued(continued)
                    }
                    Poll::Pending => match self.poll_limits(cx) {
                        Poll::Ready(Expired::Request(allowed)) => {
                            return Poll::Ready(Some(Err(self.too_late(allowed))));
                        }
                        // The other limits are the next attempt's own.
                        Poll::Ready(Expired::Idle | Expired::Attempt) | Poll::Pending => {
                            return Poll::Pending;
                        }
                    },
                },
                Source::Upstream(upstream) => match upstream.poll_chunk(cx) {
                    Poll::Ready(Some(Ok(chunk))) => match self.given(chunk) {
                        Ok(Some(data)) => return Poll::Ready(Some(Ok(data))),
                        Ok(None) => Ok(()),
                        Err(error) => Err(error),
                    },
                    Poll::Ready(Some(Err(failure))) => self.broken(failure, Outcome::Error),
                    Poll::Ready(None) => {
                        self.end(None);
                        if let Some(usage) = &self.usage {
                            self.guard.counters().usage(usage);
                        }
                        Ok(())
                    }
                    Poll::Pending => match self.poll_limits(cx) {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(Expired::Request(allowed)) => Err(self.too_late(allowed)),
                        Poll::Ready(expired) => self.stalled(&expired),
                    },
                },
            };
            if let Err(error) = broken {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }

    /// Ready when a limit is reached.
    fn poll_limits(&mut self, cx: &mut Context<'_>) -> Poll<Expired> {
        while self.watchdog.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            match self.limits.expired(self.last_chunk, now) {
                Some(Expired::Idle | Expired::Attempt) if matches!(self.source, Source::Broken(..)) => {
                    // Only the request's own end counts while the rest is being asked for.
                    let Some((at, _)) = self.limits.request_ends else { return Poll::Pending };
                    self.watchdog.as_mut().reset(at.into());
                }
                Some(expired) => return Poll::Ready(expired),
                None => self.watchdog.as_mut().reset(self.limits.next_check(self.last_chunk).into()),
            }
        }
        Poll::Pending
    }

    /// What a chunk of the endpoint's is to the client.
    fn given(&mut self, chunk: UpstreamChunk) -> Result<Option<Bytes>, CoordinatorError> {
        self.last_chunk = Instant::now();
        let UpstreamChunk { data, usage, text } = chunk;
        let Some(resumption) = &mut self.resumption else {
            self.usage = usage.or(self.usage.take());
            return Ok((!data.is_empty()).then_some(data));
        };
        self.usage = usage.map(|usage| resumption.usage(usage)).or(self.usage.take());
        if data.is_empty() {
            return Ok(None);
        }
        match resumption.chunk(data, text.as_ref()) {
            Ok(openai::Heard::New(data)) => Ok(Some(data)),
            Ok(openai::Heard::Nothing) => Ok(None),
            Ok(openai::Heard::Another { anew }) => {
                if let Source::Upstream(upstream) = &self.source {
                    resumption.is_another(anew, upstream.in_flight().endpoint());
                }
                let message = "went on with other words than the answer had begun with".to_owned();
                let failure = self.failure(message);
                self.broken(failure, Outcome::Error).map(|()| None)
            }
            Err(error) => {
                let failure = self.failure(format!("the answer is not what its protocol says: {error}"));
                self.broken(failure, Outcome::Error).map(|()| None)
            }
        }
    }

    /// The stream broke off: goes on with it elsewhere, or ends it with an error.
    fn broken(&mut self, failure: Failure, outcome: Outcome) -> Result<(), CoordinatorError> {
        let endpoint = match &self.source {
            Source::Upstream(upstream) => Arc::clone(upstream.in_flight().endpoint()),
            _ => return Err(self.fail(failure)),
        };
        self.report = self.report();
        if let Some(attempt) = self.report.attempts.last_mut() {
            attempt.outcome = outcome;
            attempt.error = Some(failure.message.clone());
            attempt.code = Some(failure.code);
        }
        let next = match (&mut self.resumption, failure.is_final) {
            (Some(resumption), false) => resumption.next(&endpoint, &self.report.attempts),
            _ => None,
        };
        match next {
            None => return Err(self.fail(failure)),
            Some(Next::Ended(chunk)) => self.source = Source::Last(chunk),
            Some(Next::Asking(continuing)) => {
                tracing::debug!(endpoint = %endpoint.name(), "a stream broke off and is continued");
                self.source = Source::Broken(Box::new(failure), continuing);
            }
        }
        Ok(())
    }

    /// The rest was asked for.
    fn continued(&mut self, continued: Result<Continued, Failure>) -> Result<(), CoordinatorError> {
        let Continued { endpoint, preamble, upstream, dropped } = match continued {
            Ok(continued) => continued,
            Err(_) => {
                // What broke the answer is the news; why nobody went on with it stands in the attempts.
                return match std::mem::replace(&mut self.source, Source::Over) {
                    Source::Broken(failure, _) => Err(self.fail(*failure)),
                    _ => Ok(()),
                };
            }
        };
        self.limits =
            StreamLimits::new(&endpoint.config, upstream.in_flight().started(), self.limits.request_ends);
        self.report.endpoint = Arc::clone(endpoint.name());
        self.report.dropped.extend(dropped);
        self.last_chunk = Instant::now();
        self.watchdog.as_mut().reset(self.limits.next_check(self.last_chunk).into());
        let counted = upstream.usage;
        self.source = Source::Upstream(Box::new(upstream));
        for (index, data) in preamble.into_iter().enumerate() {
            let usage = if index == 0 { counted } else { None };
            if let Some(data) = self.given(UpstreamChunk { data, usage, text: None })? {
                self.ready.push_back(data);
            }
            if !matches!(self.source, Source::Upstream(_)) {
                break;
            }
        }
        Ok(())
    }

    fn stalled(&mut self, expired: &Expired) -> Result<(), CoordinatorError> {
        let message = match expired {
            Expired::Idle => format!(
                "nothing came for {} ms in the middle of the answer (idle_timeout_ms)",
                self.limits.idle.as_millis()
            ),
            Expired::Attempt | Expired::Request(_) => {
                "the answer took longer than total_timeout_ms".to_owned()
            }
        };
        let Source::Upstream(upstream) = &mut self.source else { return Ok(()) };
        let failure = upstream.stalled(message);
        match expired {
            Expired::Idle => self.broken(failure, Outcome::Timeout),
            Expired::Attempt | Expired::Request(_) => {
                self.end(Some((Outcome::Timeout, failure.message.clone())));
                Err(self.fail(failure))
            }
        }
    }

    fn too_late(&mut self, allowed: Duration) -> CoordinatorError {
        let message = format!("the caller's {} ms passed", allowed.as_millis());
        self.end(Some((Outcome::Timeout, message)));
        self.guard.error();
        CoordinatorError::DeadlineExceeded { after: allowed, attempts: self.report.attempts.clone() }
    }

    /// A failure of the endpoint that is answering, which is told of it.
    fn failure(&mut self, message: String) -> Failure {
        match &mut self.source {
            Source::Upstream(upstream) => upstream.wrong(message),
            _ => crate::classify::failure(&self.report.endpoint, "UAT_UPSTREAM", message),
        }
    }

    fn fail(&mut self, failure: Failure) -> CoordinatorError {
        self.over();
        self.guard.error();
        CoordinatorError::Failed { failure: Box::new(failure), attempts: self.report.attempts.clone() }
    }

    /// Lets the connection go and completes the report.
    fn end(&mut self, failed: Option<(Outcome, String)>) {
        self.report = self.report();
        if let (Some((outcome, error)), Some(attempt)) = (failed, self.report.attempts.last_mut()) {
            attempt.outcome = outcome;
            attempt.error = Some(error);
            attempt.code = Some("UAT_TIMEOUT");
        }
        self.over();
    }

    /// Nobody is asked any more, so that what it took is known.
    fn over(&mut self) {
        self.source = Source::Over;
        self.resumption = None;
    }
}

impl Stream for ChatStream {
    type Item = Result<Bytes, CoordinatorError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut self.0 {
            Origin::Endpoint(running) => running.poll_chunk(cx),
            Origin::Kept(replay) => Poll::Ready(replay.next_chunk().map(Ok)),
            Origin::Followed(followed) => followed.poll_chunk(cx),
            Origin::Heard(heard) => heard.poll_chunk(cx),
            Origin::After(stream, attempts) => {
                let next = ready!(Pin::new(&mut **stream).poll_next(cx));
                Poll::Ready(next.map(|chunk| chunk.map_err(|error| error.after(attempts))))
            }
        }
    }
}

impl std::fmt::Debug for ChatStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChatStream").field("report", &self.report()).finish_non_exhaustive()
    }
}
