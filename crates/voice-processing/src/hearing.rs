//! A signal as it is heard: decoded block by block, and how likely each window is speech.

use std::io::{Read, Seek};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use audio_input::{Decoder, PcmFormat};
use silero_vad::{SileroVad, SpeechStream, VadError, WINDOW};

use crate::VoiceError;

/// Progress is told when it has grown by this much: enough for a bar as wide as a terminal.
const STEP: f64 = 0.002;

/// Who gets the samples of a window and how likely it is speech.
type HeardBy<'a> = dyn FnMut(&[f32], f32) -> Result<(), VoiceError> + 'a;

/// A signal that is heard.
pub(crate) struct Hearing {
    decoder: Decoder,
    stream: SpeechStream,
    /// Windows that were heard.
    windows: usize,
    pub(crate) decode: Duration,
    pub(crate) vad: Duration,
}

impl Hearing {
    pub(crate) fn begin(
        source: impl Read + Seek + Send + Sync + 'static,
        pcm: Option<PcmFormat>,
        vad: &SileroVad,
    ) -> Result<Self, VoiceError> {
        let began = Instant::now();
        let decoder = Decoder::open(source, pcm)?;
        Ok(Self { decoder, stream: vad.stream(), windows: 0, decode: began.elapsed(), vad: Duration::ZERO })
    }

    /// Gives every window and its probability to `heard`, in order; the last window is the shorter one, if one is.
    pub(crate) fn each_window(
        &mut self,
        progress: &mut dyn FnMut(f64),
        cancel: &AtomicBool,
        heard: &mut HeardBy<'_>,
    ) -> Result<(), VoiceError> {
        let (mut block, mut told) = (Vec::new(), 0.0);
        loop {
            if cancel.load(Ordering::Relaxed) {
                return Err(VoiceError::Cancelled);
            }
            let began = Instant::now();
            let more = self.decoder.next_block(&mut block)?;
            self.decode += began.elapsed();
            let (windows, rest) = block.as_chunks::<WINDOW>();
            for window in windows {
                let probability = self.probability(window)?;
                heard(window, probability)?;
            }
            if !more {
                let mut window = [0.0; WINDOW];
                window[..rest.len()].copy_from_slice(rest);
                if !rest.is_empty() {
                    let probability = self.probability(&window)?;
                    heard(&window[..rest.len()], probability)?;
                }
                break;
            }
            let heard_of = block.len() - rest.len();
            block.drain(..heard_of);
            let done = self.decoder.progress();
            if done - told >= STEP && done < 1.0 {
                told = done;
                progress(done);
            }
        }
        Ok(())
    }

    /// How many samples there are in all, once all are heard.
    pub(crate) fn length(&self) -> u64 {
        self.decoder.samples()
    }

    pub(crate) fn truncated(&self) -> bool {
        self.decoder.truncated()
    }

    pub(crate) fn damaged_packets(&self) -> u64 {
        self.decoder.damaged_packets()
    }

    fn probability(&mut self, window: &[f32; WINDOW]) -> Result<f32, VoiceError> {
        let began = Instant::now();
        let probability = self.stream.probability(window).map_err(|error| match error {
            VadError::Sample { index, value } => {
                VadError::Sample { index: self.windows * WINDOW + index, value }
            }
            other => other,
        })?;
        self.windows += 1;
        self.vad += began.elapsed();
        Ok(probability)
    }
}
