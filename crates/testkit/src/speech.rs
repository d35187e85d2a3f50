//! A spoken sentence, and what a test says that cannot hear it.

use std::fmt::Display;
use std::io::{self, Write as _};

/// "He was not an ill disposed young man", from LibriVox's recording of Sense and Sensibility (public domain): 3 s at 8 kHz in unsigned 8-bit
/// samples, as a WAV file.
pub const SENTENCE: &[u8] = include_bytes!("../../../examples/speech.wav");

/// The same as 16-bit little-endian samples in no container.
pub fn pcm() -> Vec<u8> {
    SENTENCE[44..].iter().flat_map(|sample| ((i16::from(*sample) - 128) * 256).to_le_bytes()).collect()
}

/// What was opened; else whoever reads the tests' output learns that it was not, whatever the harness captures.
pub fn or_skipped<T, E: Display>(opened: Result<T, E>) -> Option<T> {
    match opened {
        Ok(opened) => Some(opened),
        Err(error) => {
            // Without a standard error there is nobody to tell.
            let _ = writeln!(io::stderr(), "SKIPPED, NOT PASSED: {error}");
            None
        }
    }
}
