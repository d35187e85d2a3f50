//! From any rate to 16 kHz, without moving anything in time.

mod third;

use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{Async, FixedAsync, Indexing, Resampler as _, SincInterpolationParameters, WindowFunction};

use crate::{AudioError, SAMPLE_RATE};
use third::Third;

/// From below telephony's 8 kHz to twice a studio's 96 kHz; beyond it is a header's lie.
const RATES: std::ops::RangeInclusive<u32> = 4_000..=384_000;

/// Turns mono samples of a rate into those of 16 kHz. Output `n` is what sounded at `n` / 16,000 s.
pub(crate) enum Resampler {
    Same,
    Third(Box<Third>),
    Other(Box<Other>),
}

/// Whether a signal can have this rate, in Hz.
pub(crate) fn check_rate(rate: u32) -> Result<(), AudioError> {
    if RATES.contains(&rate) {
        return Ok(());
    }
    let expected = "4000 to 384000 Hz";
    Err(AudioError::Field { field: "sample rate", expected, found: rate.to_string() })
}

impl Resampler {
    pub(crate) fn new(rate: u32) -> Result<Self, AudioError> {
        check_rate(rate)?;
        Ok(match rate {
            SAMPLE_RATE => Self::Same,
            48_000 => Self::Third(Box::default()),
            rate => Self::Other(Box::new(Other::new(rate)?)),
        })
    }

    /// Appends what can be told of `samples` to `out`; some of it comes with later calls.
    pub(crate) fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        match self {
            Self::Same => out.extend_from_slice(samples),
            Self::Third(third) => third.push(samples, out),
            Self::Other(other) => other.push(samples, out),
        }
    }

    /// Appends what is left, as if silence followed. What is pushed afterwards begins another signal.
    pub(crate) fn flush(&mut self, out: &mut Vec<f32>) {
        match self {
            Self::Same => {}
            Self::Third(third) => third.flush(out),
            Self::Other(other) => other.flush(out),
        }
    }
}

/// Any rate, by rubato's windowed sinc.
pub(crate) struct Other {
    rate: u32,
    resampler: Async<f32>,
    /// Samples that do not fill a chunk yet.
    waiting: Vec<f32>,
    chunk: Vec<f32>,
    /// Outputs that are latency, still to be left out.
    skip: usize,
    taken: u64,
    given: u64,
}

/// Samples that rubato takes at once: 10 to 20 ms of the usual rates, so that a live signal does not wait.
const CHUNK: usize = 480;

impl Other {
    fn new(rate: u32) -> Result<Self, AudioError> {
        // A sinc of so many input samples: at 44.1 kHz its transition is a few hundred Hz wide.
        const SINC: usize = 256;
        let ratio = f64::from(SAMPLE_RATE) / f64::from(rate);
        let parameters = SincInterpolationParameters::new(SINC, WindowFunction::BlackmanHarris2);
        let made = Async::new_sinc(ratio, 1.0, &parameters, CHUNK, 1, FixedAsync::Input);
        // It refuses ratios that are not positive, which `RATES` has none of.
        let resampler = made.map_err(|error| AudioError::Field {
            field: "sample rate",
            expected: "a rate that can be resampled",
            found: error.to_string(),
        })?;
        let chunk = vec![0.0; resampler.output_frames_max()];
        let skip = resampler.output_delay();
        Ok(Self { rate, resampler, waiting: Vec::new(), chunk, skip, taken: 0, given: 0 })
    }

    fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        self.taken += samples.len() as u64;
        self.waiting.extend_from_slice(samples);
        let mut used = 0;
        while self.waiting.len() - used >= CHUNK {
            self.chunk(used, out);
            used += CHUNK;
        }
        self.waiting.drain(..used);
    }

    /// Resamples the chunk of `waiting` at `at`.
    fn chunk(&mut self, at: usize, out: &mut Vec<f32>) {
        let frames = self.chunk.len();
        let from = SequentialSlice::new(&self.waiting[at..at + CHUNK], 1, CHUNK);
        let to = SequentialSlice::new_mut(&mut self.chunk, 1, frames);
        let (Ok(from), Ok(mut to)) = (from, to) else { return };
        // It fails only for buffers that are too short, and these have the lengths that it asked for.
        let done = self.resampler.process_into_buffer(&from, &mut to, None::<&Indexing>);
        debug_assert!(done.is_ok());
        let given = done.map_or(0, |(_, given)| given);
        let skipped = self.skip.min(given);
        self.skip -= skipped;
        self.given += (given - skipped) as u64;
        out.extend_from_slice(&self.chunk[skipped..given]);
    }

    fn flush(&mut self, out: &mut Vec<f32>) {
        let whole = (self.taken * u64::from(SAMPLE_RATE)).div_ceil(u64::from(self.rate));
        while self.given < whole {
            self.waiting.resize(CHUNK, 0.0);
            self.chunk(0, out);
            self.waiting.clear();
        }
        // What the last chunk gave beyond the signal's end.
        let beyond = usize::try_from(self.given - whole).unwrap_or(usize::MAX);
        out.truncate(out.len().saturating_sub(beyond));
        self.resampler.reset();
        self.skip = self.resampler.output_delay();
        self.waiting.clear();
        (self.taken, self.given) = (0, 0);
    }
}
