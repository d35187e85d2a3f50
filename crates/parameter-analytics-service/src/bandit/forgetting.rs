//! How much rewards of some age count.
//!
//! Ages are told apart by slots, sixteen to a window and eight to a half-life, so that what is known stays a few exact sums.

use super::options::{Clock, Forget};

/// Half-lives after which nothing is left to count: 1/256.
const HALF_LIVES: u64 = 8;

impl Forget {
    /// In which slot a reward is counted.
    pub(super) fn slot(self, now_ms: u64, rewards: u64) -> u64 {
        match self {
            Self::Never => 0,
            Self::Window { clock, .. } | Self::HalfLife { clock, .. } => match clock {
                Clock::Milliseconds => now_ms / self.width(),
                Clock::Rewards => rewards / self.width(),
            },
        }
    }

    /// What a reward of a slot counts, seen from a later one. Slots ahead, of a clock that goes faster, count as the present one.
    pub(super) fn weight(self, slot: u64, now: u64) -> f64 {
        let age = now.saturating_sub(slot).saturating_mul(self.width());
        match self {
            Self::Never => 1.0,
            _ if slot < self.first(now) => 0.0,
            Self::Window { .. } => 1.0,
            Self::HalfLife { length, .. } => libm::exp(-std::f64::consts::LN_2 * age as f64 / length as f64),
        }
    }

    /// The first slot that counts.
    pub(super) fn first(self, now: u64) -> u64 {
        let kept = match self {
            Self::Never => return 0,
            Self::Window { length, .. } => length.div_ceil(self.width()),
            Self::HalfLife { length, .. } => length.saturating_mul(HALF_LIVES).div_ceil(self.width()),
        };
        now.saturating_add(1).saturating_sub(kept)
    }

    /// Of a slot, in units of the clock.
    fn width(self) -> u64 {
        match self {
            Self::Never => 1,
            Self::Window { length, .. } => length.div_ceil(16).max(1),
            Self::HalfLife { length, .. } => length.div_ceil(8).max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Forget = Forget::Window { length: 1_600, clock: Clock::Rewards };
    const HALF_LIFE: Forget = Forget::HalfLife { length: 800, clock: Clock::Milliseconds };

    #[test]
    fn a_window_counts_what_lies_within_it() {
        let now = WINDOW.slot(0, 5_000);
        assert_eq!(now, 50);
        assert_eq!([50, 35, 34].map(|slot| WINDOW.weight(slot, now)), [1.0, 1.0, 0.0]);
        assert_eq!((WINDOW.first(now), WINDOW.first(3)), (35, 0));
    }

    #[test]
    fn a_half_life_halves() {
        let now = HALF_LIFE.slot(80_000, 3);
        let weights = [now + 5, now, now - 8, now - 16, now - 64].map(|slot| HALF_LIFE.weight(slot, now));
        let expected = [1.0, 1.0, 0.5, 0.25, 0.0];
        assert!(weights.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{weights:?}");
    }

    #[test]
    fn who_never_forgets_has_one_slot() {
        assert_eq!(
            (Forget::Never.slot(7, 7), Forget::Never.first(0), Forget::Never.weight(0, 0)),
            (0, 0, 1.0)
        );
    }
}
