//! What was said, when, by a recorded signal.
//!
//! [`Voice`] hears a file once, from beginning to end: `audio-input` decodes it block by block, `silero-vad` finds where somebody
//! speaks, what was spoken is gathered into utterances of at most 28 s that begin and end in silence, and a [`Transcriber`] writes
//! each of them down. All times are those of one clock, which counts samples from the signal's beginning. Where nobody speaks
//! the transcriber is not asked, because Whisper makes words up of noise. What is held of a signal is an utterance, whatever its length.
//!
//! Calls block, and end early where their `cancel` is set. This crate knows nothing of where models lie, of HTTP, nor of who asks.
//!
//! ```no_run
//! use std::sync::Arc;
//! use std::sync::atomic::AtomicBool;
//! use voice_processing::{Parts, ProcessOptions, Voice};
//!
//! let voice = Voice::new(Parts {
//!     vad: silero_vad::SileroVad::load("silero_vad_16k_op15.onnx".as_ref())?,
//!     words: Some(Arc::new(whisper::Whisper::load("whisper-tiny.en".as_ref(), 2)?)),
//! });
//! let file = std::fs::File::open("talk.m4a")?;
//! let said = voice.process(file, &ProcessOptions::default(), &mut |_| (), &AtomicBool::new(false))?;
//! for segment in said.segments {
//!     println!("{} to {} ms: {}", segment.start_ms, segment.end_ms, segment.text);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod hearing;
mod kept;
mod likelihood;
pub mod live;
mod options;
mod placed;
mod process;
mod said;
mod subtitles;
mod transcriber;
mod utterances;

use std::sync::Arc;

/// The decoder of audio: its errors, and how raw samples lie.
pub use audio_input;
pub use audio_input::PcmFormat;
/// Voice activity: the network and its errors.
pub use silero_vad;
/// The transcriber of this machine.
pub use whisper;

pub use error::VoiceError;
pub use options::{DetectOptions, ProcessOptions};
pub use said::{Segment, Speech, SpeechSegment, Timings, VoiceResult, Word};
pub use subtitles::{srt, vtt};
pub use transcriber::{Ask, Said, Transcriber};

use silero_vad::SileroVad;

/// Samples per second of all that is heard here.
const SAMPLE_RATE: u64 = audio_input::SAMPLE_RATE as u64;

/// What a [`Voice`] is made of.
pub struct Parts {
    /// Says where somebody speaks.
    pub vad: SileroVad,
    /// Writes down what; without one only speech can be detected.
    pub words: Option<Arc<dyn Transcriber>>,
}

/// Hears recordings; live signals are [`live::LiveVoice`]'s. Several threads may ask it at once.
pub struct Voice {
    parts: Parts,
}

impl Voice {
    /// With models that are loaded.
    pub fn new(parts: Parts) -> Self {
        Self { parts }
    }

    /// The same models for live signals, on a thread of its own.
    ///
    /// # Errors
    /// `UAT_MODEL_NOT_FOUND` where there is no transcriber; [`VoiceError::Thread`].
    pub fn live(&self) -> Result<live::LiveVoice, VoiceError> {
        let words = self.parts.words.clone().ok_or(VoiceError::NoTranscriber)?;
        live::LiveVoice::new(self.parts.vad.clone(), words, 1)
    }
}

impl std::fmt::Debug for Voice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Voice").field("words", &self.parts.words.is_some()).finish_non_exhaustive()
    }
}

/// Samples as ms, rounded down.
fn ms(samples: u64) -> u64 {
    samples * 1000 / SAMPLE_RATE
}
