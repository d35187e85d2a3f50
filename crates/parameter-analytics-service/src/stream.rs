//! Random numbers that can be found again: a stream for each trial of a study.

use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;

/// The random numbers of one trial. The same seed and trial give the same bits on every platform and in every version, and the same normal numbers in the same build: PCG
/// XSL RR 128/64 (O'Neill 2014), whose state is made from both by SplitMix64 (Steele, Lea and Flood 2014), since neighbouring streams of
/// PCG resemble each other.
#[derive(Debug, Clone)]
pub struct Stream(Pcg64);

/// Steps of Weyl's sequence.
pub(crate) const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// SplitMix64's output for a state, the next of which is a [`STEP`] further: neighbouring numbers give unrelated ones.
pub(crate) fn mixed(state: u64) -> u64 {
    let mut z = state.wrapping_add(STEP);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Stream {
    /// The stream of a trial.
    pub fn new(seed: u64, trial: u64) -> Self {
        let mut state = mixed(seed) ^ trial.wrapping_mul(0xd6e8_feb8_6659_fd93);
        let mut next = || {
            let bits = mixed(state);
            state = state.wrapping_add(STEP);
            u128::from(bits)
        };
        let mut wide = || next() << 64 | next();
        Self(Pcg64::new(wide(), wide()))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// At least 0, below 1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (0.5f64).powi(53)
    }

    /// Below `count`, or 0 where that is 0. Its bias is `count / 2^64`.
    pub fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.bits()) * count as u128) >> 64) as usize
    }

    /// Of the standard normal distribution (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// So many of [`Self::unit`].
    pub fn cube(&mut self, dimensions: usize) -> Vec<f64> {
        (0..dimensions).map(|_| self.unit()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_has_its_own_numbers_and_always_the_same() {
        let first = |seed, trial| Stream::new(seed, trial).bits();
        assert_eq!([first(1, 0), first(1, 1), first(2, 0)], PINNED);
        let mut stream = Stream::new(7, 7);
        let mean: f64 = (0..10_000).map(|_| stream.unit()).sum::<f64>() / 1e4;
        let variance: f64 = (0..10_000).map(|_| stream.normal().powi(2)).sum::<f64>() / 1e4;
        assert!((mean - 0.5).abs() < 0.02 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
        assert!((0..1_000).all(|_| stream.below(3) < 3) && stream.below(0) == 0);
    }

    /// A change of these would continue a study that was written before differently.
    const PINNED: [u64; 3] =
        [14_601_441_739_308_872_479, 1_957_097_210_162_225_709, 18_122_870_239_209_157_859];
}
