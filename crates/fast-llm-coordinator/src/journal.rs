//! What is written down while a request is executed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::attempt::Established;
use crate::classify::FailedAttempt;
use crate::error::{CoordinatorError, Failure};
use crate::meter::{Bill, Ending};
use crate::report::{Attempt, Outcome};

pub(crate) struct Journal {
    /// When the request arrived.
    received: Instant,
    pub(crate) attempts: Vec<Attempt>,
    /// What they took.
    pub(crate) bill: Bill,
    /// Spent waiting for endpoints, in their lines and between attempts, which is not overhead of ours.
    waited: Duration,
    /// Where others see the attempts that have ended.
    seen: Option<Arc<Mutex<Vec<Attempt>>>>,
}

impl Journal {
    pub(crate) fn new(received: Instant, bill: Bill) -> Self {
        Self { received, attempts: Vec::with_capacity(1), bill, waited: Duration::ZERO, seen: None }
    }

    /// One whose attempts others see in `seen`.
    pub(crate) fn watched(received: Instant, bill: Bill, seen: Arc<Mutex<Vec<Attempt>>>) -> Self {
        Self { seen: Some(seen), ..Self::new(received, bill) }
    }

    /// One that goes on after these attempts.
    pub(crate) fn continued(received: Instant, bill: Bill, attempts: Vec<Attempt>) -> Self {
        Self { attempts, ..Self::new(received, bill) }
    }

    /// So long the request stood in line, or paused before it was sent again.
    pub(crate) fn waited(&mut self, time: Duration) {
        self.waited += time;
    }

    pub(crate) fn note(
        &mut self,
        endpoint: &Arc<str>,
        model: &Arc<str>,
        begun: Instant,
        result: &Result<Established, FailedAttempt>,
    ) {
        let took = begun.elapsed();
        self.waited += took;
        let total_ms = took.as_secs_f64() * 1e3;
        let attempt = Attempt {
            endpoint: Arc::clone(endpoint),
            model: Arc::clone(model),
            outcome: Outcome::Ok,
            status: Some(200),
            error: None,
            code: None,
            started_ms: begun.saturating_duration_since(self.received).as_secs_f64() * 1e3,
            first_token_ms: Some(total_ms),
            total_ms,
        };
        let attempt = match result {
            Ok(_) => attempt,
            Err(failed) => {
                self.bill.end(match failed {
                    FailedAttempt { took_nothing: true, .. } => Ending::Refused,
                    FailedAttempt { timed_out: true, .. } => Ending::GivenUp,
                    _ => Ending::Broken,
                });
                Attempt {
                    outcome: if failed.timed_out { Outcome::Timeout } else { Outcome::Error },
                    status: failed.failure.status,
                    error: Some(failed.failure.message.clone()),
                    code: Some(failed.failure.code),
                    first_token_ms: None,
                    ..attempt
                }
            }
        };
        if let Some(seen) = &self.seen {
            seen.lock().push(attempt.clone());
        }
        self.attempts.push(attempt);
    }

    pub(crate) fn overhead(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.received).saturating_sub(self.waited)
    }

    pub(crate) fn failed(&self, failure: Failure) -> CoordinatorError {
        CoordinatorError::Failed { failure: Box::new(failure), attempts: self.attempts.clone() }
    }
}
