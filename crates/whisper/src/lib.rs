//! Turns 16 kHz speech into words with times, by an int8 forward pass of Whisper (Radford and others, arXiv 2212.04356).
//!
//! A folder holds what CTranslate2 converts a model to: `model.bin`, whose half-precision weights become 8-bit numbers when they are
//! read, and `tokenizer.json`. Matrices are multiplied as 8-bit integers, activations with a scale for each row, by instructions
//! that are chosen when the program runs. The encoder hears an utterance and some silence, 10 s at least, rather than 30 s: that is why
//! short utterances are fast here; both are options, because too little silence changes words. Decoding follows OpenAI's
//! `transcribe`. This crate knows nothing of files of audio, of voice activity, nor of who asks; calls block.
//!
//! ```no_run
//! use std::sync::atomic::AtomicBool;
//! use whisper::{Options, Whisper};
//!
//! let whisper = Whisper::load("whisper-tiny.en".as_ref(), 2)?;
//! let samples = vec![0.0; 16_000];
//! let options = Options { words: true, ..Options::default() };
//! let transcript = whisper.transcribe(&samples, &options, &AtomicBool::new(false))?;
//! for segment in transcript.segments {
//!     println!("{} to {} ms: {}", segment.start_ms, segment.end_ms, segment.text);
//! }
//! # Ok::<(), whisper::WhisperError>(())
//! ```

mod decode;
mod decoder;
mod encoder;
mod error;
mod features;
pub mod kernels;
pub mod model;
mod tokenizer;
mod transcript;
mod whisper;

pub use decode::{Options, Word};
pub use error::WhisperError;
pub use features::{Features, SAMPLE_RATE};
pub use transcript::{Segment, Spent, Transcript};
pub use whisper::Whisper;
