//! A stream that is one request's view of an execution that others may share.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use llm_wire::Spoken;
use llm_wire::openai::Usage;
use tokio::time::Sleep;

use super::flight::Waiter;
use crate::error::CoordinatorError;
use crate::report::RoutingReport;
use crate::stats::RequestGuard;

pub(crate) struct Followed {
    /// `None` once the stream has ended.
    waiter: Option<Waiter>,
    /// Whether it is this request that the execution began for, so that the attempts are its own.
    began: bool,
    spoken: Option<Spoken>,
    /// When this request ends, and the time that its caller allowed.
    deadline: Option<(Pin<Box<Sleep>>, Duration)>,
    report: RoutingReport,
    usage: Option<Usage>,
    guard: RequestGuard,
}

impl Followed {
    pub(super) fn new(
        waiter: Waiter,
        began: bool,
        spoken: Option<Spoken>,
        deadline: Option<(Instant, Duration)>,
        report: RoutingReport,
        guard: RequestGuard,
    ) -> Self {
        let deadline = deadline.map(|(at, after)| (Box::pin(tokio::time::sleep_until(at.into())), after));
        Self { waiter: Some(waiter), began, spoken, deadline, report, usage: None, guard }
    }

    pub(crate) fn report(&self) -> RoutingReport {
        self.report.clone()
    }

    pub(crate) fn spoken(&self) -> Option<Spoken> {
        self.spoken
    }

    pub(crate) fn usage(&self) -> Option<&Usage> {
        self.usage.as_ref()
    }

    pub(crate) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, CoordinatorError>>> {
        let Some(waiter) = &self.waiter else { return Poll::Ready(None) };
        let ended = match waiter.poll_chunk(cx) {
            Poll::Ready(Some(Ok(chunk))) => return Poll::Ready(Some(Ok(chunk))),
            Poll::Ready(Some(Err(error))) => Some(error),
            Poll::Ready(None) => None,
            Poll::Pending => {
                let Some((sleep, after)) = &mut self.deadline else { return Poll::Pending };
                ready!(sleep.as_mut().poll(cx));
                let (after, attempts) = (*after, self.report.attempts.clone());
                Some(CoordinatorError::DeadlineExceeded { after, attempts })
            }
        };
        let (report, usage) = waiter.outcome();
        if let Some(RoutingReport { endpoint, attempts, dropped, .. }) = report {
            // Another one, where the answer was continued elsewhere.
            self.report.endpoint = endpoint;
            if self.began {
                self.report.attempts = attempts;
                self.report.dropped = dropped;
            }
        }
        (self.usage, self.report.usage) = (usage, usage);
        self.waiter = None;
        Poll::Ready(ended.map(|error| {
            self.guard.error();
            Err(error)
        }))
    }
}
