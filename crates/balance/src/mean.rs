use std::time::Duration;

/// A new value counts an eighth, as in TCP's estimate of the round trip (RFC 6298): about the last ten matter.
const NEW: f64 = 1.0 / 8.0;

/// The mean of recent durations, each newer one counting more than the one before. Unlike [`PeakEwma`](crate::PeakEwma)
/// it does not fall while nothing is observed, and does not jump to a peak.
#[derive(Debug, Clone, Copy, Default)]
pub struct RecentMean {
    seconds: Option<f64>,
}

impl RecentMean {
    /// Takes in one duration.
    pub fn observe(&mut self, duration: Duration) {
        let new = duration.as_secs_f64();
        self.seconds = Some(self.seconds.map_or(new, |old| old + (new - old) * NEW));
    }

    /// The mean; `None` before the first duration.
    pub fn get(&self) -> Option<Duration> {
        self.seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn the_first_duration_is_the_mean_and_later_ones_move_it_by_an_eighth() {
        let mut mean = RecentMean::default();
        assert_eq!(mean.get(), None);
        mean.observe(MS(800));
        assert_eq!(mean.get(), Some(MS(800)));
        mean.observe(MS(1600));
        assert_eq!(mean.get(), Some(MS(900)));
    }

    proptest! {
        #[test]
        fn it_stays_among_what_was_observed(durations in proptest::collection::vec(0_u64..100_000, 1..50)) {
            let mut mean = RecentMean::default();
            durations.iter().for_each(|&ms| mean.observe(MS(ms)));
            let (mean, slack) = (mean.get().unwrap(), Duration::from_micros(1));
            prop_assert!(mean + slack >= MS(*durations.iter().min().unwrap()));
            prop_assert!(mean <= MS(*durations.iter().max().unwrap()) + slack);
        }
    }
}
