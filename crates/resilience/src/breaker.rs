use std::time::{Duration, Instant};

use crate::Backoff;

/// When a [`Breaker`] opens and for how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BreakerPolicy {
    /// Opens after this many failures without a success in between.
    pub consecutive_failures: u32,
    /// Opens when at least this share of the recent calls failed, once `minimum_calls` are known.
    pub failure_rate: f64,
    /// In calls of full weight; below this the rate says nothing.
    pub minimum_calls: f64,
    /// The time constant with which old calls are forgotten.
    pub window: Duration,
    /// How long it stays open, longer after each probe that failed.
    pub open_for: Backoff,
}

impl Default for BreakerPolicy {
    /// Five failures in a row or half of at least twenty recent calls; one to thirty seconds of pause.
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            failure_rate: 0.5,
            minimum_calls: 20.0,
            window: Duration::from_secs(10),
            open_for: Backoff { base: Duration::from_secs(1), max: Duration::from_secs(30) },
        }
    }
}

/// Where a [`Breaker`] stands at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls go through.
    Closed,
    /// No calls until the given moment.
    Open {
        /// When a probe is due.
        until: Instant,
    },
    /// The pause is over: one call at a time goes through as a probe.
    HalfOpen {
        /// Whether that one call is under way.
        probing: bool,
    },
}

/// A circuit breaker over passive observations (Nygard, "Release It!", chapter "Stability Patterns").
#[derive(Debug, Clone)]
pub struct Breaker {
    policy: BreakerPolicy,
    consecutive: u32,
    /// Decayed counts, so that a window needs no ring of buckets.
    calls: f64,
    failures: f64,
    updated: Instant,
    open_until: Option<Instant>,
    probing: bool,
    openings: u32,
}

impl Breaker {
    /// A closed breaker.
    pub fn new(policy: BreakerPolicy, now: Instant) -> Self {
        Self {
            policy,
            consecutive: 0,
            calls: 0.0,
            failures: 0.0,
            updated: now,
            open_until: None,
            probing: false,
            openings: 0,
        }
    }

    /// The state at `now`.
    pub fn state(&self, now: Instant) -> BreakerState {
        match self.open_until {
            None => BreakerState::Closed,
            Some(until) if now < until => BreakerState::Open { until },
            Some(_) => BreakerState::HalfOpen { probing: self.probing },
        }
    }

    /// A call begins. In the half-open state it becomes the probe.
    pub fn on_start(&mut self, now: Instant) {
        if matches!(self.state(now), BreakerState::HalfOpen { .. }) {
            self.probing = true;
        }
    }

    /// A call succeeded: whatever the state was, the endpoint answers.
    pub fn on_success(&mut self, now: Instant) {
        self.record(0.0, now);
        self.consecutive = 0;
        if self.open_until.take().is_some() {
            // What was seen before the pause says nothing about the endpoint that came back.
            (self.calls, self.failures) = (0.0, 0.0);
        }
        self.probing = false;
        self.openings = 0;
    }

    /// A call failed for a reason of the endpoint's.
    pub fn on_failure(&mut self, now: Instant, rng: &mut fastrand::Rng) {
        self.record(1.0, now);
        self.consecutive = self.consecutive.saturating_add(1);
        let failed_probe = matches!(self.state(now), BreakerState::HalfOpen { .. });
        let too_many = self.consecutive >= self.policy.consecutive_failures
            || (self.calls >= self.policy.minimum_calls && self.failure_rate() >= self.policy.failure_rate);
        self.probing = false;
        if failed_probe || (self.open_until.is_none() && too_many) {
            self.open_until = Some(now + self.policy.open_for.delay(self.openings, rng));
            self.openings = self.openings.saturating_add(1);
        }
    }

    /// A call ended without saying anything about the endpoint (the client went away, say).
    pub fn on_abandoned(&mut self) {
        self.probing = false;
    }

    /// Share of the recent calls that failed, 0 to 1; 0 without calls.
    pub fn failure_rate(&self) -> f64 {
        // Both counts decay alike, so the ratio does not depend on the moment.
        if self.calls < f64::EPSILON { 0.0 } else { self.failures / self.calls }
    }

    fn record(&mut self, failure: f64, now: Instant) {
        let elapsed = now.saturating_duration_since(self.updated).as_secs_f64();
        let keep = (-elapsed / self.policy.window.as_secs_f64().max(f64::MIN_POSITIVE)).exp();
        self.calls = self.calls * keep + 1.0;
        self.failures = self.failures * keep + failure;
        self.updated = self.updated.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rng() -> fastrand::Rng {
        fastrand::Rng::with_seed(1)
    }

    fn after_failures(n: u32, t0: Instant) -> Breaker {
        let mut breaker = Breaker::new(BreakerPolicy::default(), t0);
        (0..n).for_each(|_| breaker.on_failure(t0, &mut rng()));
        breaker
    }

    #[test]
    fn four_failures_leave_it_closed_and_the_fifth_opens_it() {
        let t0 = Instant::now();
        assert_eq!(after_failures(4, t0).state(t0), BreakerState::Closed);
        assert!(matches!(after_failures(5, t0).state(t0), BreakerState::Open { .. }));
    }

    #[test]
    fn half_of_many_calls_failing_opens_it_without_a_row_of_failures() {
        let t0 = Instant::now();
        let mut breaker = Breaker::new(BreakerPolicy::default(), t0);
        for _ in 0..10 {
            breaker.on_success(t0);
            breaker.on_failure(t0, &mut rng());
        }
        assert!(matches!(breaker.state(t0), BreakerState::Open { .. }));
    }

    #[test]
    fn after_the_pause_a_successful_probe_closes_it() {
        let t0 = Instant::now();
        let mut breaker = after_failures(5, t0);
        let later = t0 + Duration::from_secs(2);
        assert_eq!(breaker.state(later), BreakerState::HalfOpen { probing: false });
        breaker.on_start(later);
        assert_eq!(breaker.state(later), BreakerState::HalfOpen { probing: true });
        breaker.on_success(later);
        assert_eq!(breaker.state(later), BreakerState::Closed);
    }

    #[test]
    fn a_failed_probe_opens_it_again_for_longer() {
        let t0 = Instant::now();
        let mut breaker = after_failures(5, t0);
        let mut lengths = Vec::new();
        let mut now = t0;
        for _ in 0..6 {
            let BreakerState::Open { until } = breaker.state(now) else { panic!("expected open") };
            lengths.push(until - now);
            now = until;
            breaker.on_start(now);
            breaker.on_failure(now, &mut rng());
        }
        assert!(lengths[5] > lengths[0] * 4, "{lengths:?}");
    }

    #[test]
    fn an_abandoned_probe_makes_room_for_the_next() {
        let t0 = Instant::now();
        let mut breaker = after_failures(5, t0);
        let later = t0 + Duration::from_secs(2);
        breaker.on_start(later);
        breaker.on_abandoned();
        assert_eq!(breaker.state(later), BreakerState::HalfOpen { probing: false });
    }

    proptest! {
        #[test]
        fn it_is_never_open_for_longer_than_the_policy_says(events in proptest::collection::vec((0_u64..5_000, any::<bool>()), 1..300)) {
            let mut now = Instant::now();
            let mut breaker = Breaker::new(BreakerPolicy::default(), now);
            let mut rng = rng();
            for (wait, ok) in events {
                now += Duration::from_millis(wait);
                breaker.on_start(now);
                if ok { breaker.on_success(now) } else { breaker.on_failure(now, &mut rng) }
                if let BreakerState::Open { until } = breaker.state(now) {
                    prop_assert!(until - now <= Duration::from_secs(30));
                }
                prop_assert!((0.0..=1.0).contains(&breaker.failure_rate()));
            }
        }
    }
}
