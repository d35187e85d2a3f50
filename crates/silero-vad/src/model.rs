//! The network, and what it remembers of one signal.

use std::path::Path;
use std::sync::Arc;

use pulp::{Arch, Simd, WithSimd};

use crate::kernels::{lstm_step, product, sigmoid};
use crate::spectrum::{BINS, FRAMES, SEEN, Scratch};
use crate::weights::{HIDDEN, Weights};
use crate::{CONTEXT, VadError, WINDOW};

/// Silero VAD 6 for 16 kHz. Cloning it shares the weights (1.3 MB).
#[derive(Clone)]
pub struct SileroVad {
    weights: Arc<Weights>,
}

/// What the network remembers of one signal: feed it the signal's windows in order.
pub struct SpeechStream {
    weights: Arc<Weights>,
    arch: Arch,
    memory: Memory,
    scratch: Scratch,
}

/// From window to window.
struct Memory {
    context: [f32; CONTEXT],
    cell: [f32; HIDDEN],
    hidden: [f32; HIDDEN],
}

const FORGOTTEN: Memory = Memory { context: [0.0; CONTEXT], cell: [0.0; HIDDEN], hidden: [0.0; HIDDEN] };

impl SileroVad {
    /// Reads the weights out of the ONNX file (a few milliseconds).
    ///
    /// # Errors
    /// [`VadError::Io`] where the file cannot be read, and those of [`Self::from_bytes`].
    pub fn load(path: &Path) -> Result<Self, VadError> {
        Self::from_bytes(&std::fs::read(path)?)
    }

    /// Reads the weights out of an ONNX file's content.
    ///
    /// # Errors
    /// [`VadError::Corrupt`] for what is not ONNX, [`VadError::OtherModel`] for another network.
    pub fn from_bytes(file: &[u8]) -> Result<Self, VadError> {
        Ok(Self { weights: Arc::new(Weights::read(file)?) })
    }

    /// A new signal, of which nothing has been heard.
    pub fn stream(&self) -> SpeechStream {
        SpeechStream {
            weights: Arc::clone(&self.weights),
            arch: Arch::new(),
            memory: FORGOTTEN,
            scratch: self.weights.spectrum.scratch(),
        }
    }

    /// The probabilities (0 to 1) of a whole signal at 16 kHz, one for each window; the last one is filled up with silence.
    ///
    /// # Errors
    /// [`VadError::Sample`] with the sample's place in `samples`.
    pub fn probabilities(&self, samples: &[f32]) -> Result<Vec<f32>, VadError> {
        let mut stream = self.stream();
        let windows = samples.chunks(WINDOW).enumerate();
        windows
            .map(|(number, part)| {
                let mut window = [0.0; WINDOW];
                window[..part.len()].copy_from_slice(part);
                stream.probability(&window).map_err(|error| match error {
                    VadError::Sample { index, value } => {
                        VadError::Sample { index: number * WINDOW + index, value }
                    }
                    other => other,
                })
            })
            .collect()
    }
}

impl SpeechStream {
    /// How likely it is (0 to 1) that the next 32 ms of the signal hold speech. Samples have the full scale -1 to 1.
    ///
    /// # Errors
    /// [`VadError::Sample`] for what is not finite, or so loud that it was not scaled; the window then counts as not given.
    pub fn probability(&mut self, window: &[f32; WINDOW]) -> Result<f32, VadError> {
        // 40 dB above full scale: filters overshoot by some dB, 16-bit integers that were not scaled by 90.
        const LOUDEST: f32 = 100.0;
        // A NaN lies in no range.
        let in_range = |sample: &f32| (-LOUDEST..=LOUDEST).contains(sample);
        if let Some(index) = window.iter().position(|sample| !in_range(sample)) {
            return Err(VadError::Sample { index, value: window[index] });
        }
        let Self { weights, arch, memory, scratch } = self;
        Ok(arch.dispatch(Forward { weights, memory, scratch, window }))
    }

    /// Forgets what was heard: the next window begins another signal.
    pub fn reset(&mut self) {
        self.memory = FORGOTTEN;
    }
}

impl std::fmt::Debug for SileroVad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SileroVad").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for SpeechStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SpeechStream").field("arch", &self.arch).finish_non_exhaustive()
    }
}

struct Forward<'a> {
    weights: &'a Weights,
    memory: &'a mut Memory,
    scratch: &'a mut Scratch,
    window: &'a [f32; WINDOW],
}

impl WithSimd for Forward<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f32 {
        // Every kind of processor that pulp tells apart has fused multiplication, but for the baseline, whose vectors are of
        // one number.
        if const { size_of::<S::f32s>() > size_of::<f32>() } {
            self.run::<true>()
        } else {
            self.run::<false>()
        }
    }
}

impl Forward<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) -> f32 {
        let Self { weights, memory, scratch, window } = self;
        let mut seen = [0.0; SEEN];
        seen[..CONTEXT].copy_from_slice(&memory.context);
        seen[CONTEXT..].copy_from_slice(window);
        memory.context.copy_from_slice(&window[WINDOW - CONTEXT..]);

        let mut magnitudes = [[0.0; FRAMES]; BINS];
        weights.spectrum.magnitudes(&seen, scratch, &mut magnitudes);

        // Columns are what a convolution's kernel sees at each of its places, with zeros beyond the ends.
        let mut columns = [[0.0; 4]; 3 * BINS];
        for (rows, &[a, b, c, d]) in columns.as_chunks_mut::<3>().0.iter_mut().zip(&magnitudes) {
            *rows = [[0.0, a, b, c], [a, b, c, d], [b, c, d, 0.0]];
        }
        let mut first = [[0.0; 4]; 128];
        product::<FMA, true, 4, 16>(&weights.conv0, &columns, &mut first);

        // Every second place.
        let mut columns = [[0.0; 2]; 3 * 128];
        for (rows, &[a, b, c, d]) in columns.as_chunks_mut::<3>().0.iter_mut().zip(&first) {
            *rows = [[0.0, b], [a, c], [b, d]];
        }
        let mut second = [[0.0; 2]; 64];
        product::<FMA, true, 2, 32>(&weights.conv1, &columns, &mut second);

        let mut third = [[0.0]; 64];
        product::<FMA, true, 1, 64>(&weights.conv2, second.as_flattened().as_chunks().0, &mut third);

        let mut inputs = [[0.0]; 2 * HIDDEN];
        let (below, own) = inputs.split_at_mut(HIDDEN);
        product::<FMA, true, 1, 64>(&weights.conv3, &third, below);
        own.as_flattened_mut().copy_from_slice(&memory.hidden);

        let mut gates = [[0.0; HIDDEN]; 4];
        let sums = gates.as_flattened_mut().as_chunks_mut().0;
        product::<FMA, false, 1, 64>(&weights.lstm, &inputs, sums);
        lstm_step::<FMA, HIDDEN>(&gates, &mut memory.cell, &mut memory.hidden);

        let heard = memory.hidden.iter().zip(&weights.out).map(|(hidden, weight)| hidden.max(0.0) * weight);
        sigmoid::<FMA>(heard.sum::<f32>() + weights.out_bias)
    }
}
