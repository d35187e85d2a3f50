//! What the encoder hears: the logarithm of the power in bands of frequency, every 10 ms.
//!
//! As OpenAI's [`audio.py`](https://github.com/openai/whisper/blob/main/whisper/audio.py): windows of 25 ms, bands on the mel
//! scale of Slaney's Auditory Toolbox as librosa computes them, eight decades below the loudest.

use rayon::prelude::*;
use realfft::RealFftPlanner;

/// Samples a second.
pub const SAMPLE_RATE: usize = 16_000;
/// Samples from one column of features to the next: 10 ms.
pub(crate) const HOP: usize = 160;
/// Samples that a column is computed from: 25 ms.
const WINDOW: usize = 400;
const BINS: usize = WINDOW / 2 + 1;
/// Columns that a thread computes at a time.
const SHARE: usize = 250;

/// Columns of features, one for each 10 ms that began.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// Numbers in a column.
    pub mels: usize,
    /// Column after column.
    pub values: Vec<f32>,
    /// What a column of silence holds.
    pub silence: f32,
}

impl Features {
    /// Of 16 kHz mono. What lies beyond the end sounds as silence.
    pub fn of(samples: &[f32], mels: usize) -> Self {
        let filters = filters(mels);
        let window: Vec<f32> = (0..WINDOW)
            .map(|i| (0.5 - 0.5 * (std::f64::consts::TAU * i as f64 / WINDOW as f64).cos()) as f32)
            .collect();
        let columns = samples.len().div_ceil(HOP);
        let fft = RealFftPlanner::<f32>::new().plan_fft_forward(WINDOW);
        let mut values = vec![0.0_f32; columns * mels];
        values.par_chunks_mut(SHARE * mels).enumerate().for_each(|(share, values)| {
            let (mut input, mut spectrum) = (fft.make_input_vec(), fft.make_output_vec());
            let mut scratch = fft.make_scratch_vec();
            for (index, column) in values.chunks_exact_mut(mels).enumerate() {
                let start = ((share * SHARE + index) * HOP) as isize - (WINDOW / 2) as isize;
                for (offset, (value, factor)) in input.iter_mut().zip(&window).enumerate() {
                    *value = factor * reflected(samples, start + offset as isize);
                }
                // The lengths are the plan's own, so that this cannot fail.
                let _ = fft.process_with_scratch(&mut input, &mut spectrum, &mut scratch);
                let mut power = [0.0; BINS];
                for (power, value) in power.iter_mut().zip(&spectrum) {
                    *power = value.norm_sqr();
                }
                for (value, filter) in column.iter_mut().zip(&filters) {
                    let bins = &power[filter.first..filter.first + filter.weights.len()];
                    let sum: f32 =
                        bins.iter().zip(&filter.weights).map(|(power, weight)| power * weight).sum();
                    *value = sum.max(1e-10).log10();
                }
            }
        });
        let loudest = values.iter().copied().fold(-10.0, f32::max);
        let floor = loudest - 8.0;
        for value in &mut values {
            *value = (value.max(floor) + 4.0) / 4.0;
        }
        Self { mels, values, silence: (floor.max(-10.0) + 4.0) / 4.0 }
    }

    /// How many columns there are.
    pub fn columns(&self) -> usize {
        self.values.len() / self.mels
    }
}

/// The sample there; mirrored before the start, silent after the end.
fn reflected(samples: &[f32], index: isize) -> f32 {
    samples.get(index.unsigned_abs()).copied().unwrap_or(0.0)
}

/// A triangle over some bins.
struct Filter {
    first: usize,
    weights: Vec<f32>,
}

fn filters(mels: usize) -> Vec<Filter> {
    let top = mel_of(SAMPLE_RATE as f64 / 2.0);
    let edges: Vec<f64> = (0..mels + 2).map(|i| hertz_of(top * i as f64 / (mels + 1) as f64)).collect();
    edges
        .windows(3)
        .map(|edges| {
            let [low, middle, high] = [edges[0], edges[1], edges[2]];
            let weight = |bin: usize| {
                let hertz = (bin * SAMPLE_RATE) as f64 / WINDOW as f64;
                let slope = ((hertz - low) / (middle - low)).min((high - hertz) / (high - middle));
                // Slaney's normalisation: each triangle has the same area.
                slope.max(0.0) * 2.0 / (high - low)
            };
            let first = (0..BINS).find(|bin| weight(*bin) > 0.0).unwrap_or(0);
            let end = (first..BINS).rev().find(|bin| weight(*bin) > 0.0).map_or(first, |bin| bin + 1);
            Filter { first, weights: (first..end).map(|bin| weight(bin) as f32).collect() }
        })
        .collect()
}

/// Slaney's scale: even up to 1 kHz, then logarithmic with 27 steps for a factor of 6.4.
const HERTZ_A_MEL: f64 = 200.0 / 3.0;
const LOGARITHMIC_FROM: f64 = 1_000.0;
const STEPS: f64 = 27.0;
const FACTOR: f64 = 6.4;

fn mel_of(hertz: f64) -> f64 {
    if hertz < LOGARITHMIC_FROM {
        hertz / HERTZ_A_MEL
    } else {
        LOGARITHMIC_FROM / HERTZ_A_MEL + (hertz / LOGARITHMIC_FROM).ln() * STEPS / FACTOR.ln()
    }
}

fn hertz_of(mel: f64) -> f64 {
    let bend = LOGARITHMIC_FROM / HERTZ_A_MEL;
    if mel < bend { mel * HERTZ_A_MEL } else { LOGARITHMIC_FROM * ((mel - bend) * FACTOR.ln() / STEPS).exp() }
}
