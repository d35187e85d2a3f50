//! What is known of a request, from its arrival until its answer has been handed over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use runtime::telemetry::{Begun, Fate};
use runtime::{Attempt, DecisionSlot, Routed, RoutingReport, Trace, TraceContext, Tuned, TuningSlot};

/// Shared by whoever answers the request and whoever reports it.
pub(crate) struct Trail {
    pub(crate) received: Instant,
    pub(crate) request_id: Arc<str>,
    /// The request's span, if its trace is kept here.
    pub(crate) begun: Option<Begun>,
    /// The trace as the caller named it, where it is not kept here.
    pub(crate) passed: Option<TraceContext>,
    known: Mutex<Known>,
    /// What it counts among the recent ones, in bytes; 0: it is not there. Written under their lock.
    pub(crate) weight: AtomicUsize,
    /// Somebody has said how good the answer is.
    is_judged: AtomicBool,
}

/// What has been found out so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// The name of the caller's key.
    pub(crate) key: Option<Arc<str>>,
    /// The public name that was asked for, whether or not it exists.
    pub(crate) model: Option<Arc<str>>,
    /// The router's decision, where it was left to it.
    pub(crate) decision: Option<DecisionSlot>,
    /// With which parameters it is asked, where they are ours to choose.
    pub(crate) tuning: Option<TuningSlot>,
    pub(crate) report: Option<RoutingReport>,
    /// What was tried where nobody answered.
    pub(crate) failed_attempts: Vec<Attempt>,
    /// The stable code of the error.
    pub(crate) code: Option<&'static str>,
    /// The HTTP status, once there is one.
    pub(crate) status: Option<u16>,
    pub(crate) first_content: Option<Duration>,
    /// An answer of several pieces has begun, and not ended.
    pub(crate) is_streaming: bool,
    /// Set once, when it is over.
    pub(crate) fate: Option<Fate>,
}

impl Known {
    /// What the router decided, if it did.
    pub(crate) fn routed(&self) -> Option<&Arc<Routed>> {
        self.decision.as_ref()?.get()
    }

    /// With which parameters it was asked, if the model that was given them answered, or nobody did.
    pub(crate) fn tuned(&self) -> Option<&Tuned> {
        let answered = self.report.as_ref().map(|report| &report.model);
        self.tuning.as_ref()?.get().filter(|tuned| answered.is_none_or(|model| *model == tuned.model))
    }

    /// Every try, in order.
    pub(crate) fn attempts(&self) -> &[Attempt] {
        match &self.report {
            Some(report) => &report.attempts,
            None => &self.failed_attempts,
        }
    }
}

impl Trail {
    pub(crate) fn new(
        received: Instant,
        request_id: Arc<str>,
        begun: Option<Begun>,
        passed: Option<TraceContext>,
    ) -> Self {
        Self {
            received,
            request_id,
            begun,
            passed,
            known: Mutex::default(),
            weight: AtomicUsize::new(0),
            is_judged: AtomicBool::new(false),
        }
    }

    /// What endpoints are told.
    pub(crate) fn trace(&self) -> Option<Trace> {
        match (&self.begun, &self.passed) {
            (Some(begun), _) => Some(Trace::Reported(begun.context.clone())),
            (None, Some(passed)) => Some(Trace::Passed(passed.clone())),
            (None, None) => None,
        }
    }

    /// A look at what is known.
    pub(crate) fn known<T>(&self, look: impl FnOnce(&Known) -> T) -> T {
        look(&self.known.lock())
    }

    /// The caller's key has this name.
    pub(crate) fn is_of(&self, key: Arc<str>) {
        self.known.lock().key = Some(key);
    }

    /// This model is being asked for.
    pub(crate) fn asks(&self, model: &str) {
        self.known.lock().model = Some(model.into());
    }

    /// The router chooses; where its decision is to be put.
    pub(crate) fn routes(&self) -> DecisionSlot {
        Arc::clone(self.known.lock().decision.insert(DecisionSlot::default()))
    }

    /// Where it is to be put with which parameters the request is asked.
    pub(crate) fn tunes(&self) -> TuningSlot {
        Arc::clone(self.known.lock().tuning.get_or_insert_default())
    }

    /// Somebody says how good the answer is; whether it is the first time.
    pub(crate) fn is_judged_first(&self) -> bool {
        !self.is_judged.swap(true, Ordering::Relaxed)
    }

    /// What was said of the answer could not be kept: it may be said again.
    pub(crate) fn is_not_judged(&self) {
        self.is_judged.store(false, Ordering::Relaxed);
    }

    /// A whole answer is there.
    pub(crate) fn answered(&self, report: RoutingReport) {
        let mut known = self.known.lock();
        known.first_content = Some(self.received.elapsed());
        known.report = Some(report);
    }

    /// A stream has its first content.
    pub(crate) fn streams(&self, report: RoutingReport) {
        let mut known = self.known.lock();
        known.first_content = Some(self.received.elapsed());
        known.report = Some(report);
        known.is_streaming = true;
    }

    /// The head of a stream goes out without any content.
    pub(crate) fn is_held(&self) {
        self.known.lock().is_streaming = true;
    }

    /// A stream is over: ended, or given up by its client where it had not.
    pub(crate) fn stream_over(&self, report: RoutingReport, has_ended: bool) {
        let mut known = self.known.lock();
        known.report = Some(report);
        known.is_streaming = !has_ended;
    }

    /// It failed, whether or not an answer had begun.
    pub(crate) fn failed(&self, code: &'static str, attempts: Vec<Attempt>) {
        let mut known = self.known.lock();
        known.code = Some(code);
        known.is_streaming = false;
        if known.report.is_none() {
            known.failed_attempts = attempts;
        }
    }

    /// The head of the answer is there; whether more of it follows.
    pub(crate) fn status(&self, status: u16) -> bool {
        let mut known = self.known.lock();
        known.status = Some(status);
        known.is_streaming
    }

    /// It is over.
    pub(crate) fn over(&self) -> Fate {
        /// nginx's number for a client that went away before there was an answer.
        const CLIENT_CLOSED_REQUEST: u16 = 499;
        let mut known = self.known.lock();
        let fate = match (known.status, known.code) {
            (None, _) => Fate::Cancelled,
            (Some(_), Some(_)) | (Some(400..), None) => Fate::Failed,
            (Some(_), None) if known.is_streaming => Fate::Cancelled,
            (Some(_), None) => Fate::Answered,
        };
        known.status.get_or_insert(CLIENT_CLOSED_REQUEST);
        known.fate = Some(fate);
        fate
    }
}

#[cfg(test)]
mod tests {
    use runtime::CacheOutcome;

    use super::*;

    fn trail() -> Trail {
        Trail::new(Instant::now(), "r".into(), None, None)
    }

    fn report() -> RoutingReport {
        RoutingReport {
            request_id: "r".into(),
            model: "m".into(),
            endpoint: "e".into(),
            cache: CacheOutcome::Bypass,
            attempts: Vec::new(),
            overhead_us: 1,
            dropped: Vec::new(),
            usage: None,
        }
    }

    #[test]
    fn a_client_that_leaves_before_the_answer_has_cancelled() {
        let trail = trail();
        assert_eq!((trail.over(), trail.known(|known| known.status)), (Fate::Cancelled, Some(499)));
    }

    #[test]
    fn a_stream_is_answered_only_if_it_ended() {
        for (has_ended, fate) in [(true, Fate::Answered), (false, Fate::Cancelled)] {
            let trail = trail();
            trail.streams(report());
            trail.status(200);
            trail.stream_over(report(), has_ended);
            assert_eq!(trail.over(), fate);
        }
    }

    #[test]
    fn a_stream_that_breaks_has_failed_although_its_status_was_200() {
        let trail = trail();
        trail.streams(report());
        trail.status(200);
        trail.failed("UAT_UPSTREAM", Vec::new());
        trail.stream_over(report(), true);
        assert_eq!(trail.over(), Fate::Failed);
    }

    #[test]
    fn a_client_that_leaves_while_it_is_held_has_cancelled() {
        let trail = trail();
        trail.is_held();
        trail.status(200);
        assert_eq!(trail.over(), Fate::Cancelled);
    }
}
