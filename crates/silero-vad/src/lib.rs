//! Says how likely it is that each 32 ms of audio hold speech.
//!
//! The network is Silero VAD 6 (<https://github.com/snakers4/silero-vad>, MIT) for 16 kHz, the catalogue's `silero-vad-6`. Its
//! weights are read out of the ONNX file, and the forward pass is this crate's own: ONNX Runtime is a library of 46 MB that
//! spends most of its time for so small a network on running its graph. The kernels are chosen for the processor when they run
//! (AVX2 with FMA, NEON, else what the target's baseline has).
//!
//! [`SileroVad`] holds the weights, [`SpeechStream`] is what the network remembers of one signal, and [`Detector`] makes
//! segments of probabilities. This crate knows nothing of where models lie, of containers and sample rates other than
//! 16 kHz, nor of what speech is looked for.
//!
//! ```no_run
//! use silero_vad::{Detector, Settings, SileroVad, WINDOW};
//!
//! let vad = SileroVad::load("silero_vad_16k_op15.onnx".as_ref())?;
//! let (mut stream, mut detector) = (vad.stream(), Detector::new(Settings::FILES)?);
//! # let samples = [0.0_f32; 16_000];
//! for window in samples.as_chunks::<WINDOW>().0 {
//!     if let Some(event) = detector.push(stream.probability(window)?) {
//!         println!("{event:?}");
//!     }
//! }
//! # Ok::<(), silero_vad::VadError>(())
//! ```

mod detector;
mod error;
mod kernels;
mod model;
mod onnx;
mod spectrum;
mod weights;

pub use detector::{Detector, Event, Segment, Settings, segments};
pub use error::VadError;
pub use model::{SileroVad, SpeechStream};

/// Samples per second that the network was trained for.
pub const SAMPLE_RATE: u32 = 16_000;

/// Samples for each probability: 32 ms.
pub const WINDOW: usize = 512;

/// Samples of the window before that the network sees again: 4 ms.
const CONTEXT: usize = 64;
