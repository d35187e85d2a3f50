//! Magnitudes of the window's spectrum: the network's first layer.

use std::f64::consts::TAU;
use std::sync::Arc;

use realfft::num_complex::Complex32;
use realfft::{RealFftPlanner, RealToComplex};

use crate::VadError;
use crate::{CONTEXT, WINDOW};

/// Samples of a frame.
pub(crate) const FRAME: usize = 256;
/// Samples from one frame to the next.
const HOP: usize = 128;
/// Frames of a window.
pub(crate) const FRAMES: usize = 4;
/// Frequencies of a frame.
pub(crate) const BINS: usize = FRAME / 2 + 1;

/// What the network reads for one window: the end of the one before, and the window.
pub(crate) const SEEN: usize = CONTEXT + WINDOW;
/// Samples mirrored at the end, so that the last frame is whole.
const MIRRORED: usize = (FRAMES - 1) * HOP + FRAME - SEEN;

/// The network says its Fourier transform as a convolution with 258 kernels of 256 numbers. An FFT gives the same in a fiftieth of
/// the multiplications, provided that the kernels are those of a transform, which is checked.
pub(crate) struct Spectrum {
    fft: Arc<dyn RealToComplex<f32>>,
    window: [f32; FRAME],
}

/// What the transform writes into, kept from window to window.
pub(crate) struct Scratch {
    frame: Vec<f32>,
    bins: Vec<Complex32>,
    fft: Vec<Complex32>,
}

impl Spectrum {
    /// Of the network's kernels: `BINS` rows of cosines, then as many of sines, each times the window.
    pub(crate) fn new(kernels: &[f32]) -> Result<Self, VadError> {
        // Rounding of f32 in numbers up to 1; another transform, or another scaling, differs by far more.
        const CLOSE: f64 = 2e-6;
        let other = |row: usize| VadError::OtherModel {
            tensor: "model.stft.forward_basis_buffer",
            reason: format!("row {row} is not that of a windowed Fourier transform"),
        };
        let mut window = [0.0; FRAME];
        // The lowest frequency's cosine is 1 everywhere.
        window.copy_from_slice(kernels.get(..FRAME).ok_or_else(|| other(0))?);
        for (row, kernel) in kernels.chunks_exact(FRAME).enumerate() {
            let bin = row % BINS;
            for (at, (&found, &factor)) in kernel.iter().zip(&window).enumerate() {
                // The product is reduced first: large angles lose digits.
                let angle = TAU * ((bin * at) % FRAME) as f64 / FRAME as f64;
                let wave = if row < BINS { angle.cos() } else { -angle.sin() };
                let difference = (wave * f64::from(factor) - f64::from(found)).abs();
                if difference > CLOSE {
                    return Err(other(row));
                }
            }
        }
        Ok(Self { fft: RealFftPlanner::new().plan_fft_forward(FRAME), window })
    }

    pub(crate) fn scratch(&self) -> Scratch {
        Scratch {
            frame: self.fft.make_input_vec(),
            bins: self.fft.make_output_vec(),
            fft: self.fft.make_scratch_vec(),
        }
    }

    /// The magnitudes of each frequency in the window's frames.
    pub(crate) fn magnitudes(
        &self,
        seen: &[f32; SEEN],
        scratch: &mut Scratch,
        out: &mut [[f32; FRAMES]; BINS],
    ) {
        let mut samples = [0.0; SEEN + MIRRORED];
        samples[..SEEN].copy_from_slice(seen);
        for (at, sample) in samples[SEEN..].iter_mut().enumerate() {
            *sample = seen[SEEN - 2 - at];
        }
        for frame in 0..FRAMES {
            let part = &samples[frame * HOP..][..FRAME];
            for ((to, sample), factor) in scratch.frame.iter_mut().zip(part).zip(&self.window) {
                *to = sample * factor;
            }
            // It fails only where buffers are of another length than the plan's, and it made these.
            let done = self.fft.process_with_scratch(&mut scratch.frame, &mut scratch.bins, &mut scratch.fft);
            debug_assert!(done.is_ok());
            for (to, bin) in out.iter_mut().zip(&scratch.bins) {
                to[frame] = (bin.re * bin.re + bin.im * bin.im).sqrt();
            }
        }
    }
}
