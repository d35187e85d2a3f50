//! From 48 kHz to 16 kHz: a low-pass filter of which every third output is computed.
//!
//! The filter is a sinc under a Kaiser window (Kaiser and Schafer, 1980) of odd length, so that its latency is a whole number of
//! samples. Input is kept as three rows, of every third sample each; so an output's products lie at the same distance in each row, and
//! 64 outputs are computed side by side in vector registers.

use std::f64::consts::PI;

/// Taps of the filter: with them the transition from 7,000 Hz (the passband's end) to 8,000 Hz has the attenuation below.
const TAPS: usize = 255;
/// Outputs computed at once: eight registers of AVX2. They are 4 ms.
const BLOCK: usize = 64;
const ROW_TAPS: usize = TAPS / 3;

pub(crate) struct Third {
    /// For each row its taps.
    filter: [[f32; ROW_TAPS]; 3],
    arch: pulp::Arch,
    /// Every third sample each, beginning with those that the next output needs.
    rows: [Vec<f32>; 3],
    /// In which row the next sample belongs.
    next_row: usize,
    taken: u64,
    given: u64,
}

/// The modified Bessel function of order 0, by its series.
fn bessel(x: f64) -> f64 {
    let mut term = 1.0;
    (1..50).fold(1.0, |sum, n| {
        term *= (x / 2.0 / f64::from(n)).powi(2);
        sum + term
    })
}

fn filter() -> [[f32; ROW_TAPS]; 3] {
    // Kaiser's formula for 84 dB: 80 are wanted, and rounding to f32 takes some.
    const BETA: f64 = 0.1102 * (84.0 - 8.7);
    // The middle of the transition, in cycles per sample: half of it below 8 kHz.
    const CUTOFF: f64 = 7_500.0 / 48_000.0;
    let middle = (TAPS / 2) as f64;
    let taps: [f64; TAPS] = std::array::from_fn(|at| {
        let x = at as f64 - middle;
        let sinc = if x == 0.0 { 2.0 * CUTOFF } else { (2.0 * PI * CUTOFF * x).sin() / (PI * x) };
        sinc * bessel(BETA * (1.0 - (x / middle).powi(2)).max(0.0).sqrt()) / bessel(BETA)
    });
    let sum: f64 = taps.iter().sum();
    std::array::from_fn(|row| std::array::from_fn(|at| (taps[3 * at + row] / sum) as f32))
}

impl Default for Third {
    fn default() -> Self {
        let mut third = Self {
            filter: filter(),
            arch: pulp::Arch::new(),
            rows: [const { Vec::new() }; 3],
            next_row: 0,
            taken: 0,
            given: 0,
        };
        third.begin();
        third
    }
}

impl Third {
    /// Puts half a filter of silence in front, so that the first output lies at the first sample.
    fn begin(&mut self) {
        for row in &mut self.rows {
            row.clear();
        }
        (self.next_row, self.taken, self.given) = (0, 0, 0);
        self.append(&[0.0; TAPS / 2]);
    }

    fn append(&mut self, samples: &[f32]) {
        // Up to the first row one by one, then by threes.
        let single = (3 - self.next_row) % 3;
        let (first, rest) = samples.split_at(single.min(samples.len()));
        let (threes, last) = rest.as_chunks::<3>();
        for &sample in first {
            self.rows[self.next_row].push(sample);
            self.next_row = (self.next_row + 1) % 3;
        }
        let [a, b, c] = &mut self.rows;
        a.extend(threes.iter().map(|three| three[0]));
        b.extend(threes.iter().map(|three| three[1]));
        c.extend(threes.iter().map(|three| three[2]));
        for &sample in last {
            self.rows[self.next_row].push(sample);
            self.next_row = (self.next_row + 1) % 3;
        }
    }

    pub(crate) fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        self.taken += samples.len() as u64;
        self.append(samples);
        // The last row is never longer than the others.
        let ready = (self.rows[2].len() + 1).saturating_sub(ROW_TAPS) / BLOCK * BLOCK;
        let begin = out.len();
        out.resize(begin + ready, 0.0);
        let (filter, rows) = (&self.filter, &self.rows);
        let blocks = out[begin..].as_chunks_mut::<BLOCK>().0;
        self.arch.dispatch(Blocks { filter, rows, blocks });
        for row in &mut self.rows {
            row.drain(..ready);
        }
        self.given += ready as u64;
    }

    pub(crate) fn flush(&mut self, out: &mut Vec<f32>) {
        let whole = self.taken.div_ceil(3);
        while self.given < whole {
            self.push(&[0.0; 3 * BLOCK], out);
        }
        let beyond = usize::try_from(self.given - whole).unwrap_or(usize::MAX);
        out.truncate(out.len().saturating_sub(beyond));
        self.begin();
    }
}

struct Blocks<'a> {
    filter: &'a [[f32; ROW_TAPS]; 3],
    rows: &'a [Vec<f32>; 3],
    blocks: &'a mut [[f32; BLOCK]],
}

impl pulp::WithSimd for Blocks<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        // Every kind of processor that pulp tells apart has fused multiplication, but for the baseline, whose vectors are of
        // one number; there `mul_add` is a call.
        if const { size_of::<S::f32s>() > size_of::<f32>() } {
            self.run::<true>()
        } else {
            self.run::<false>()
        }
    }
}

impl Blocks<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        for (number, block) in self.blocks.iter_mut().enumerate() {
            let mut sums = [0.0_f32; BLOCK];
            for (taps, row) in self.filter.iter().zip(self.rows) {
                let row = &row[number * BLOCK..];
                for (tap, samples) in taps.iter().zip(row.array_windows::<BLOCK>()) {
                    for (sum, sample) in sums.iter_mut().zip(samples) {
                        *sum = if FMA { tap.mul_add(*sample, *sum) } else { tap * sample + *sum };
                    }
                }
            }
            *block = sums;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The level in dB of what becomes of a sine of full scale.
    fn level_db(hz: f64) -> f64 {
        let sine: Vec<f32> =
            (0..48_000).map(|at| (2.0 * PI * hz * f64::from(at) / 48_000.0).sin() as f32).collect();
        let mut out = Vec::new();
        let mut third = Third::default();
        third.push(&sine, &mut out);
        third.flush(&mut out);
        assert_eq!(out.len(), 16_000);
        // Without the ends, where it begins and stops.
        let steady = &out[200..15_800];
        let power = steady.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / steady.len() as f64;
        10.0 * (2.0 * power).log10()
    }

    #[test]
    fn what_would_alias_is_80_db_down() {
        for step in 0..160 {
            let hz = 8_003.0 + f64::from(step) * 99.7;
            let level = level_db(hz);
            assert!(level < -80.0, "{hz} Hz comes out at {level:.1} dB");
        }
    }

    #[test]
    fn speech_passes_unchanged() {
        for step in 0..69 {
            let hz = 100.0 + f64::from(step) * 101.0;
            let level = level_db(hz);
            assert!(level.abs() < 0.01, "{hz} Hz comes out at {level:.4} dB");
        }
    }

    #[test]
    fn pieces_do_not_matter() {
        let mut random = fastrand::Rng::with_seed(7);
        let samples: Vec<f32> = (0..10_000).map(|_| random.f32() - 0.5).collect();
        let (mut whole, mut pieces, mut third) = (Vec::new(), Vec::new(), Third::default());
        third.push(&samples, &mut whole);
        third.flush(&mut whole);
        let mut rest = &samples[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(random.usize(0..=rest.len().min(700)));
            third.push(piece, &mut pieces);
            rest = after;
        }
        third.flush(&mut pieces);
        assert_eq!(whole, pieces);
        assert_eq!(whole.len(), 10_000_usize.div_ceil(3));
    }
}
