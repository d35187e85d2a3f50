use std::time::Duration;

/// Exponential backoff with full jitter: the n-th wait is drawn between zero and `base * 2^n`, at most `max`.
///
/// Full jitter spreads clients that failed together better than a fixed share of it ("Exponential Backoff And
/// Jitter", <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>). Here the lower end is a
/// quarter of the step rather than zero, because a wait of zero is no wait for an endpoint that is restarting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The upper end of the first wait.
    pub base: Duration,
    /// No wait is longer.
    pub max: Duration,
}

impl Backoff {
    /// The wait before attempt `attempt` (0 is the first repetition).
    pub fn delay(&self, attempt: u32, rng: &mut fastrand::Rng) -> Duration {
        let step = self.base.saturating_mul(1_u32.checked_shl(attempt).unwrap_or(u32::MAX)).min(self.max);
        step.mul_f64(0.25 + 0.75 * rng.f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_wait_lies_between_a_quarter_of_its_step_and_the_step(attempt in 0_u32..200, seed: u64) {
            let backoff = Backoff { base: Duration::from_millis(50), max: Duration::from_secs(30) };
            let step = Duration::from_millis(50).saturating_mul(1 << attempt.min(20)).min(Duration::from_secs(30));
            let wait = backoff.delay(attempt, &mut fastrand::Rng::with_seed(seed));
            prop_assert!(wait <= step && wait >= step.mul_f64(0.249));
        }
    }
}
