use std::time::Duration;

/// Lets the weight of a candidate that came back grow to its full size, so that a process with cold caches, or one that
/// fell under the load before, does not get its whole share at once.
///
/// Envoy's slow start with an aggression of 1, a straight line with a floor
/// (<https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/slow_start>).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlowStart {
    /// How long the weight grows.
    pub window: Duration,
    /// The share of its weight that a candidate has at least, 0 to 1.
    pub floor: f64,
}

impl SlowStart {
    /// What the weight is multiplied by, `since` the candidate came back.
    pub fn factor(&self, since: Duration) -> f64 {
        if since >= self.window {
            return 1.0;
        }
        (since.as_secs_f64() / self.window.as_secs_f64()).max(self.floor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RAMP: SlowStart = SlowStart { window: Duration::from_secs(30), floor: 0.1 };

    #[test]
    fn the_weight_grows_in_a_line_from_its_floor() {
        for (seconds, factor) in [(0, 0.1), (3, 0.1), (6, 0.2), (15, 0.5), (30, 1.0), (3600, 1.0)] {
            assert!((RAMP.factor(Duration::from_secs(seconds)) - factor).abs() < 1e-9, "{seconds} s");
        }
    }

    #[test]
    fn without_a_window_the_weight_is_whole_at_once() {
        let ramp = SlowStart { window: Duration::ZERO, ..RAMP };
        assert!((ramp.factor(Duration::ZERO) - 1.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn it_never_shrinks_and_stays_between_the_floor_and_the_whole(a in 0_u64..60_000, b in 0_u64..60_000) {
            let at = |ms| RAMP.factor(Duration::from_millis(ms));
            prop_assert!(at(a.min(b)) <= at(a.max(b)));
            prop_assert!((0.1..=1.0).contains(&at(a)));
        }
    }
}
