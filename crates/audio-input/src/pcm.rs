//! Uncompressed samples: mixed to one channel, and resampled.

use crate::AudioError;
use crate::codec::MOST_CHANNELS;
use crate::resample::Resampler;

/// How uncompressed samples lie: channels interleaved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PcmFormat {
    /// Samples per second of each channel, 4,000 to 384,000.
    pub sample_rate: u32,
    /// How many channels there are, 1 to 32.
    pub channels: u16,
}

/// Takes live PCM in pieces of any length.
pub struct PcmIn {
    channels: usize,
    resampler: Resampler,
    /// A frame whose last channels have not come yet.
    partial: Vec<f32>,
    mono: Vec<f32>,
    /// Whole frames taken.
    frames: u64,
}

impl PcmIn {
    /// A signal that has not begun.
    ///
    /// # Errors
    /// [`AudioError::Field`] for a rate or a number of channels that no audio has.
    pub fn new(format: PcmFormat) -> Result<Self, AudioError> {
        let PcmFormat { sample_rate, channels } = format;
        if !(1..=MOST_CHANNELS).contains(&usize::from(channels)) {
            return Err(AudioError::Field {
                field: "channels",
                expected: "1 to 32",
                found: channels.to_string(),
            });
        }
        Ok(Self {
            channels: usize::from(channels),
            resampler: Resampler::new(sample_rate)?,
            partial: Vec::new(),
            mono: Vec::new(),
            frames: 0,
        })
    }

    /// Appends to `out` what becomes of 16-bit samples; the last few milliseconds come with the next call.
    pub fn push_i16(&mut self, samples: &[i16], out: &mut Vec<f32>) {
        // Full scale is 32768, as everywhere.
        const SCALE: f32 = 1.0 / 32_768.0;
        self.take(samples.iter().map(|&sample| f32::from(sample) * SCALE));
        self.resample(out);
    }

    /// Appends to `out` what becomes of samples of full scale -1 to 1; the last few milliseconds come with the next call.
    ///
    /// # Errors
    /// [`AudioError::Sample`] for one that is not finite; then none of `samples` counts as given.
    pub fn push_f32(&mut self, samples: &[f32], out: &mut Vec<f32>) -> Result<(), AudioError> {
        if let Some(at) = samples.iter().position(|sample| !sample.is_finite()) {
            let place = at + self.partial.len();
            let index = self.frames + (place / self.channels) as u64;
            return Err(AudioError::Sample { index, channel: place % self.channels, value: samples[at] });
        }
        self.take(samples.iter().copied());
        self.resample(out);
        Ok(())
    }

    /// Appends to `out` what is left of the signal. What is pushed afterwards begins another one.
    pub fn flush(&mut self, out: &mut Vec<f32>) {
        self.resampler.flush(out);
        self.partial.clear();
        self.frames = 0;
    }

    /// Mixes whole frames into `mono`: the mean, which never clips.
    fn take(&mut self, samples: impl Iterator<Item = f32>) {
        self.mono.clear();
        if self.channels == 1 {
            self.mono.extend(samples);
        } else {
            for sample in samples {
                self.partial.push(sample);
                if self.partial.len() == self.channels {
                    self.mono.push(self.partial.iter().sum::<f32>() / self.channels as f32);
                    self.partial.clear();
                }
            }
        }
        self.frames += self.mono.len() as u64;
    }

    fn resample(&mut self, out: &mut Vec<f32>) {
        self.resampler.push(&self.mono, out);
    }
}

impl std::fmt::Debug for PcmIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PcmIn")
            .field("channels", &self.channels)
            .field("frames", &self.frames)
            .finish_non_exhaustive()
    }
}
