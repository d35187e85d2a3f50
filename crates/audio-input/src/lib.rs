//! Turns audio, of a file or of a stream, into 16 kHz mono samples.
//!
//! [`Decoder`] reads a file: a container is recognised by its bytes (WAV, FLAC, MP3, AAC, MP4, Ogg, WebM and Matroska), and
//! anything else is raw PCM if the caller says of what kind. [`PcmIn`] takes live PCM. Both mix channels to their mean
//! and resample, with one clock: sample `n` of what comes out is what sounded `n` / 16,000 s after the beginning. What encoders add
//! in front is cut off, and filters' latency is compensated.
//!
//! Containers and codecs are [symphonia](https://github.com/pdeljanov/Symphonia)'s, which is Rust alone; Opus is libopus, the
//! reference, which decodes to 16 kHz directly. From 48 kHz a filter of our own takes every third sample, because live
//! signals spend most of their time there; other rates are [rubato](https://github.com/HEnquist/rubato)'s.
//!
//! Memory is bounded whatever a file says: what is decoded is given out block by block. This crate knows nothing of paths, of
//! speech, nor of what the samples are for.
//!
//! ```no_run
//! let mut decoder = audio_input::Decoder::open(std::fs::File::open("talk.m4a")?, None)?;
//! let mut samples = Vec::new();
//! while decoder.next_block(&mut samples)? {
//!     println!("{:.0} %", decoder.progress() * 100.0);
//!     samples.clear(); // after they were used
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod codec;
mod container;
mod decoder;
mod edit_list;
mod error;
mod pcm;
mod resample;
mod source;
mod wav;

pub use container::Container;
pub use decoder::{Decoder, Info};
pub use error::AudioError;
pub use pcm::{PcmFormat, PcmIn};
pub use wav::{WavSample, wav_header};

/// Samples per second of what comes out.
pub const SAMPLE_RATE: u32 = 16_000;
