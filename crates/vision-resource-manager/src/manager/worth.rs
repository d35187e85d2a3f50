//! What an idle model is worth keeping, and how often models are asked for.
//!
//! GreedyDual-Size (Cao and Irani, USENIX Symposium on Internet Technologies and Systems 1997) keeps what costs most to
//! load again for its size, and ages what is not used by inflating the others. We keep its cost for the size, but take the
//! chance of a next use from counts that fade: on the traces of `uat gpu simulate` that is better than the inflation by a
//! twentieth of the mean wait. Only additions, multiplications and divisions occur, so that every implementation of
//! IEEE 754 decides alike.

/// Half-life of the count that tells bursts, in ms: a quarter of an hour to an hour make no difference on the traces.
const SHORT_MS: f64 = 20.0 * 60_000.0;
/// Half-life of the count that tells habits, in ms: the day.
const LONG_MS: f64 = 15.0 * 3_600_000.0;
/// The long count is of so many more hours that it would not be heard beside the short one otherwise.
const LONG_WEIGHT: f64 = 3.0;
/// 1 / ln 2: the mean life that belongs to a half-life of 1.
const MEAN_LIFE: f64 = std::f64::consts::LOG2_E;
/// For how long an eviction is regretted, in ms: after that something else would have taken the place.
const REGRET_MS: f64 = 300_000.0;

/// How often something is asked for, as two counts that fade.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Demand {
    short: f64,
    long: f64,
    at: u64,
}

impl Demand {
    /// It is asked for now.
    pub(super) fn asked(&mut self, now: u64) {
        let past = now.saturating_sub(self.at) as f64;
        self.short = self.short * fade(past / SHORT_MS) + 1.0;
        self.long = self.long * fade(past / LONG_MS) + 1.0;
        self.at = now;
    }

    /// Askings per ms to be expected.
    pub(super) fn rate(&self, now: u64) -> f64 {
        let past = now.saturating_sub(self.at) as f64;
        let short = self.short * fade(past / SHORT_MS) / (SHORT_MS * MEAN_LIFE);
        short + LONG_WEIGHT * self.long * fade(past / LONG_MS) / (LONG_MS * MEAN_LIFE)
    }
}

/// 2 to the power of `-halves`, drawn straight between whole numbers.
fn fade(halves: f64) -> f64 {
    let whole = halves.floor();
    if whole >= 60.0 {
        return 0.0;
    }
    (1.0 - (halves - whole) / 2.0) / (1_u64 << whole as u32) as f64
}

/// The waiting, in ms, that an eviction of one of `instances` costs others, where `rate` askings per ms are expected and
/// a load takes `load_ms`.
pub(super) fn regret(rate: f64, instances: usize, load_ms: f64) -> f64 {
    let expected = rate / instances.max(1) as f64 * REGRET_MS;
    load_ms * expected / (1.0 + expected)
}
