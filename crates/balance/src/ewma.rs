use std::time::{Duration, Instant};

/// An exponentially weighted moving average of latencies that jumps to a peak at once and forgets it slowly.
///
/// A plain average needs several slow answers before it believes them; by then they have all been sent there. The
/// estimate decays toward zero while nothing is observed, so that an endpoint which was slow once is tried again.
/// After Finagle's `PeakEwma`
/// (<https://github.com/twitter/finagle/blob/develop/finagle-core/src/main/scala/com/twitter/finagle/loadbalancer/PeakEwma.scala>).
#[derive(Debug, Clone)]
pub struct PeakEwma {
    /// In seconds.
    estimate: f64,
    updated: Instant,
    /// In seconds; the time after which an old value counts 1/e.
    decay: f64,
}

impl PeakEwma {
    /// `initial` stands in until the first observation, `decay` is the time constant of forgetting.
    pub fn new(initial: Duration, decay: Duration, now: Instant) -> Self {
        Self {
            estimate: initial.as_secs_f64(),
            updated: now,
            decay: decay.as_secs_f64().max(f64::MIN_POSITIVE),
        }
    }

    /// Takes in one latency that became known at `now`.
    pub fn observe(&mut self, latency: Duration, now: Instant) {
        let latency = latency.as_secs_f64();
        let current = self.get_at(now).as_secs_f64();
        self.estimate = if latency > current {
            latency
        } else {
            let keep = self.weight_of_the_past(now);
            self.estimate * keep + latency * (1.0 - keep)
        };
        self.updated = self.updated.max(now);
    }

    /// The estimate at `now`. Time that runs backwards counts as no time.
    pub fn get_at(&self, now: Instant) -> Duration {
        Duration::from_secs_f64(self.estimate * self.weight_of_the_past(now))
    }

    fn weight_of_the_past(&self, now: Instant) -> f64 {
        (-now.saturating_duration_since(self.updated).as_secs_f64() / self.decay).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn a_peak_is_believed_at_once() {
        let t0 = Instant::now();
        let mut ewma = PeakEwma::new(MS(30), MS(10_000), t0);
        ewma.observe(MS(20), t0 + MS(10));
        ewma.observe(MS(400), t0 + MS(20));
        assert_eq!(ewma.get_at(t0 + MS(20)), MS(400));
    }

    #[test]
    fn a_peak_is_forgotten_within_a_few_time_constants() {
        let t0 = Instant::now();
        let mut ewma = PeakEwma::new(MS(30), MS(1_000), t0);
        ewma.observe(MS(400), t0);
        assert!(ewma.get_at(t0 + MS(5_000)) < MS(3));
    }

    #[test]
    fn time_that_runs_backwards_changes_nothing() {
        let t0 = Instant::now();
        let mut ewma = PeakEwma::new(MS(30), MS(1_000), t0 + MS(500));
        ewma.observe(MS(40), t0);
        assert_eq!(ewma.get_at(t0), MS(40));
    }

    proptest! {
        #[test]
        fn the_estimate_stays_between_zero_and_the_largest_observation(
            steps in proptest::collection::vec((0_u64..10_000, 0_u64..60_000), 1..100)
        ) {
            let mut now = Instant::now();
            let mut ewma = PeakEwma::new(MS(30), MS(1_000), now);
            let largest = steps.iter().map(|s| s.1).max().unwrap_or(0).max(30);
            for (wait, latency) in steps {
                now += MS(wait);
                ewma.observe(MS(latency), now);
                prop_assert!(ewma.get_at(now) <= MS(largest) + Duration::from_micros(1));
            }
        }
    }
}
