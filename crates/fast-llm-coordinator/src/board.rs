//! The health of one endpoint: may it be asked, how much, and how did it come to that. Plain state; the clock is passed in.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use balance::SlowStart;
use resilience::{Breaker, BreakerPolicy, BreakerState};
use route_plan::{EndpointState, StateChange};

use crate::classify::Verdict;

/// The longest pause that is believed: a `Retry-After` of a day would take the endpoint out until a restart.
const MAX_COOLDOWN: Duration = Duration::from_secs(300);
/// How long a refused key is left alone; a file that holds the key may be replaced meanwhile.
const QUARANTINE: Duration = Duration::from_secs(60);
/// A pause of this length lets caches go cold, and says that the endpoint was near its limit: it starts slowly after it.
const LONG_PAUSE: Duration = Duration::from_secs(10);
/// Half a minute from a tenth: Envoy's example of a window, and its default floor.
const RAMP: SlowStart = SlowStart { window: Duration::from_secs(30), floor: 0.1 };
/// A tenth of the recent requests: what one flaky request in twenty does not reach.
const DEGRADED_ERROR_RATE: f64 = 0.1;
/// So many changes are remembered: the story of one outage, not of a week.
const HISTORY: usize = 16;

/// Whether an endpoint may be asked at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Availability {
    Ready,
    /// Its breaker is open: asked only when nobody else can be.
    Suspect,
    /// Asked for a pause.
    CoolingDown {
        until: Instant,
    },
    /// Refused our key.
    Quarantined,
    /// At its `max_in_flight`.
    Full,
}

pub(crate) struct Board {
    breaker: Breaker,
    pause_until: Option<Instant>,
    quarantine_until: Option<Instant>,
    /// Whether the key has not been used since it was refused.
    key_is_stale: bool,
    /// Since when its weight grows.
    back_since: Option<Instant>,
    last_error: Option<String>,
    state: EndpointState,
    /// Up to when the passing of time is taken into account in `state`.
    settled: Instant,
    history: VecDeque<Change>,
}

struct Change {
    at: Instant,
    from: EndpointState,
    to: EndpointState,
    reason: Cow<'static, str>,
}

impl Board {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            breaker: Breaker::new(BreakerPolicy::default(), now),
            pause_until: None,
            quarantine_until: None,
            key_is_stale: false,
            back_since: None,
            last_error: None,
            state: EndpointState::Healthy,
            settled: now,
            history: VecDeque::new(),
        }
    }

    /// Whether it may be asked, room or not.
    pub(crate) fn availability(&self, now: Instant) -> Availability {
        if let Some(until) = self.pause_until.filter(|until| now < *until) {
            Availability::CoolingDown { until }
        } else if self.is_quarantined(now) {
            Availability::Quarantined
        } else {
            match self.breaker.state(now) {
                BreakerState::Closed | BreakerState::HalfOpen { probing: false } => Availability::Ready,
                BreakerState::Open { .. } | BreakerState::HalfOpen { probing: true } => Availability::Suspect,
            }
        }
    }

    /// The share of its weight that it bears: less than 1 for a while after it came back.
    pub(crate) fn warmth(&self, now: Instant) -> f64 {
        self.back_since.map_or(1.0, |since| RAMP.factor(now.saturating_duration_since(since)))
    }

    /// A request begins. Whether the key is to be read again before: it was refused when it was used last.
    pub(crate) fn started(&mut self, now: Instant) -> bool {
        self.settle(now);
        self.breaker.on_start(now);
        !self.is_quarantined(now) && std::mem::take(&mut self.key_is_stale)
    }

    /// An answer is whole.
    pub(crate) fn succeeded(&mut self, now: Instant) {
        self.settle(now);
        if self.breaker.state(now) != BreakerState::Closed {
            self.starts_slowly_at(now);
        }
        self.breaker.on_success(now);
        self.record(now, || Cow::Borrowed("it answers"));
    }

    /// A request failed. Whether the endpoint was taken out by that.
    pub(crate) fn failed(
        &mut self,
        verdict: Verdict,
        error: impl Fn() -> String,
        now: Instant,
        rng: &mut fastrand::Rng,
    ) -> bool {
        self.settle(now);
        let before = self.breaker.state(now);
        match verdict {
            Verdict::Neutral => {
                self.succeeded(now);
                return false;
            }
            Verdict::CoolDown(pause) => {
                let until = now + pause.min(MAX_COOLDOWN);
                self.pause_until = Some(until);
                self.breaker.on_abandoned();
                if pause >= LONG_PAUSE {
                    self.starts_slowly_at(until);
                }
            }
            Verdict::Quarantine => {
                let until = now + QUARANTINE;
                self.quarantine_until = Some(until);
                self.key_is_stale = true;
                self.breaker.on_abandoned();
                self.starts_slowly_at(until);
            }
            Verdict::Unhealthy => self.breaker.on_failure(now, rng),
        }
        self.last_error = Some(error());
        self.record(now, || Cow::Owned(error()));
        before == BreakerState::Closed && self.breaker.state(now) != BreakerState::Closed
    }

    /// A request ended without saying anything.
    pub(crate) fn abandoned(&mut self) {
        self.breaker.on_abandoned();
    }

    pub(crate) fn state(&mut self, now: Instant) -> EndpointState {
        self.settle(now);
        self.state
    }

    pub(crate) fn error_rate(&self) -> f64 {
        self.breaker.failure_rate()
    }

    pub(crate) fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// The last changes, newest last. `wall` is the time of day at `now`.
    pub(crate) fn history(&mut self, now: Instant, wall: SystemTime) -> Vec<StateChange> {
        self.settle(now);
        let at_ms = |at: Instant| {
            let then = wall.checked_sub(now.saturating_duration_since(at)).unwrap_or(SystemTime::UNIX_EPOCH);
            let since = then.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        };
        self.history
            .iter()
            .map(|change| StateChange {
                at_ms: at_ms(change.at),
                from: change.from,
                to: change.to,
                reason: change.reason.clone().into_owned(),
            })
            .collect()
    }

    fn is_quarantined(&self, at: Instant) -> bool {
        self.quarantine_until.is_some_and(|until| at < until)
    }

    fn starts_slowly_at(&mut self, at: Instant) {
        self.back_since = Some(self.back_since.map_or(at, |since| since.max(at)));
    }

    /// Records what has changed by the passing of time alone, at the moments at which it did.
    fn settle(&mut self, now: Instant) {
        if self.state != EndpointState::Healthy {
            let retry = match self.breaker.state(self.settled) {
                BreakerState::Open { until } => Some(until),
                _ => None,
            };
            let mut ends = [
                (retry, "the next request is a probe"),
                (self.pause_until, "the pause is over"),
                (self.quarantine_until, "the key is tried again"),
            ];
            ends.sort_by_key(|(end, _)| *end);
            for (end, reason) in ends {
                if let Some(end) = end.filter(|end| self.settled < *end && *end <= now) {
                    self.record(end, || Cow::Borrowed(reason));
                }
            }
        }
        self.settled = self.settled.max(now);
    }

    fn state_at(&self, at: Instant) -> EndpointState {
        let paused = self.pause_until.is_some_and(|until| at < until);
        match self.breaker.state(at) {
            _ if self.is_quarantined(at) => EndpointState::Quarantined,
            BreakerState::Open { .. } => EndpointState::Open,
            BreakerState::HalfOpen { .. } => EndpointState::HalfOpen,
            BreakerState::Closed if paused || self.error_rate() >= DEGRADED_ERROR_RATE => {
                EndpointState::Degraded
            }
            BreakerState::Closed => EndpointState::Healthy,
        }
    }

    fn record(&mut self, at: Instant, reason: impl FnOnce() -> Cow<'static, str>) {
        let to = self.state_at(at);
        let from = std::mem::replace(&mut self.state, to);
        if from != to {
            if self.history.len() == HISTORY {
                self.history.pop_front();
            }
            self.history.push_back(Change { at, from, to, reason: reason() });
        }
    }
}

#[cfg(test)]
mod tests {
    use EndpointState::{Degraded, HalfOpen, Healthy, Open, Quarantined};
    use proptest::prelude::*;

    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    struct Played {
        board: Board,
        start: Instant,
        rng: fastrand::Rng,
    }

    fn board() -> Played {
        let start = Instant::now();
        Played { board: Board::new(start), start, rng: fastrand::Rng::with_seed(1) }
    }

    impl Played {
        fn fails(&mut self, after: Duration, verdict: Verdict, error: &str) {
            self.board.failed(verdict, || error.to_owned(), self.start + after, &mut self.rng);
        }

        fn answers(&mut self, after: Duration) {
            self.board.started(self.start + after);
            self.board.succeeded(self.start + after);
        }

        fn goes_down(&mut self, after: Duration) {
            (0..5).for_each(|_| self.fails(after, Verdict::Unhealthy, "status 503"));
        }

        /// Seconds after the start, the new state and the reason of each change.
        fn story(&mut self, after: Duration) -> Vec<(f64, EndpointState, String)> {
            let now = self.start + after;
            let wall = SystemTime::UNIX_EPOCH + S(1000) + after;
            let changes = self.board.history(now, wall);
            for pair in changes.windows(2) {
                assert!(pair[0].to == pair[1].from && pair[0].at_ms <= pair[1].at_ms, "{changes:?}");
            }
            let told = |c: StateChange| (c.at_ms as f64 / 1e3 - 1000.0, c.to, c.reason);
            changes.into_iter().map(told).collect()
        }
    }

    #[test]
    fn an_outage_is_told_from_its_first_failure_to_its_end() {
        let mut played = board();
        played.answers(S(1));
        played.goes_down(S(2));
        let opened = played.start + S(2);
        let BreakerState::Open { until } = played.board.breaker.state(opened) else {
            panic!("expected open")
        };
        played.answers(S(60));
        let story = played.story(S(61));
        let states: Vec<EndpointState> = story.iter().map(|(_, to, _)| *to).collect();
        assert_eq!(states, [Degraded, Open, HalfOpen, Healthy]);
        assert_eq!(story[1], (2.0, Open, "status 503".to_owned()));
        let probe_due = (until - played.start).as_secs_f64();
        assert!((story[2].0 - probe_due).abs() < 0.002, "at the moment it was due, not when somebody looked");
        assert_eq!(story[3], (60.0, Healthy, "it answers".to_owned()));
    }

    #[test]
    fn what_time_alone_changes_is_seen_by_whoever_looks() {
        let mut played = board();
        played.fails(S(0), Verdict::Quarantine, "status 401");
        played.fails(S(1), Verdict::CoolDown(S(100)), "status 429");
        assert_eq!(played.board.state(played.start + S(59)), Quarantined);
        assert_eq!(played.board.state(played.start + S(60)), Degraded);
        assert_eq!(played.board.state(played.start + S(101)), Healthy);
        let reasons: Vec<(f64, String)> =
            played.story(S(500)).into_iter().map(|(at, _, why)| (at, why)).collect();
        let expected = [(0.0, "status 401"), (60.0, "the key is tried again"), (101.0, "the pause is over")];
        assert_eq!(reasons, expected.map(|(at, why)| (at, why.to_owned())));
    }

    #[test]
    fn only_the_last_changes_are_remembered() {
        let mut played = board();
        for i in 0..50 {
            played.fails(S(20 * i), Verdict::CoolDown(S(5)), "status 429");
        }
        let story = played.story(S(985));
        assert_eq!((story.len(), story[15].0), (HISTORY, 985.0));
    }

    #[test]
    fn one_that_came_back_bears_its_weight_by_and_by() {
        let check = |played: &Played, after: u64, expected: f64| {
            let warmth = played.board.warmth(played.start + S(after));
            assert!((warmth - expected).abs() < 1e-9, "{warmth} after {after} s");
        };
        let mut played = board();
        check(&played, 0, 1.0);
        played.goes_down(S(0));
        played.answers(S(40));
        for (after, warmth) in [(40, 0.1), (55, 0.5), (70, 1.0), (4000, 1.0)] {
            check(&played, after, warmth);
        }
        let mut played = board();
        played.fails(S(0), Verdict::Quarantine, "status 401");
        for (after, warmth) in [(60, 0.1), (75, 0.5), (90, 1.0)] {
            check(&played, after, warmth);
        }
        let mut played = board();
        played.fails(S(0), Verdict::CoolDown(S(1)), "status 429");
        check(&played, 1, 1.0);
        played.fails(S(2), Verdict::CoolDown(S(20)), "status 429");
        for (after, warmth) in [(22, 0.1), (37, 0.5)] {
            check(&played, after, warmth);
        }
    }

    #[test]
    fn a_refused_key_is_read_again_once_and_not_before_its_time() {
        let mut played = board();
        played.fails(S(0), Verdict::Quarantine, "status 401");
        let read_again = [59, 60, 61].map(|after| played.board.started(played.start + S(after)));
        assert_eq!(read_again, [false, true, false]);
    }

    proptest! {
        #[test]
        fn the_history_is_a_chain_that_ends_in_the_present(
            events in proptest::collection::vec((0_u64..90_000, 0_u8..6), 1..80)
        ) {
            let mut played = board();
            let mut at = Duration::ZERO;
            for (wait, event) in events {
                at += Duration::from_millis(wait);
                match event {
                    0 => played.answers(at),
                    1 => played.fails(at, Verdict::CoolDown(S(3)), "a"),
                    2 => played.fails(at, Verdict::Quarantine, "b"),
                    3 => played.fails(at, Verdict::Neutral, "c"),
                    _ => played.goes_down(at),
                }
                let now = played.start + at;
                prop_assert_eq!(played.board.state(now), played.board.state_at(now));
                let story = played.story(at);
                prop_assert!(story.len() <= HISTORY);
                prop_assert!(story.last().is_none_or(|(_, to, _)| *to == played.board.state_at(now)));
            }
        }
    }
}
