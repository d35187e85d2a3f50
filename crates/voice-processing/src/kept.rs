//! Samples of a signal that may still be needed. Pure.

use silero_vad::{Segment as Stretch, Settings, WINDOW};

use crate::SAMPLE_RATE;

/// The latest samples of a signal at 16 kHz. Places are samples from the signal's beginning.
#[derive(Debug)]
pub(crate) struct Kept {
    samples: Vec<f32>,
    /// The place of the first.
    base: u64,
    /// What is kept while nobody seems to speak.
    late: u64,
}

impl Kept {
    /// Of a signal that has not begun. Beginnings are told as late as a detector with these settings does.
    pub(crate) fn new(settings: Settings) -> Self {
        let Settings { pre_roll_ms, min_speech_ms, min_silence_ms, .. } = settings;
        let ms = [pre_roll_ms, min_speech_ms, min_silence_ms].map(u64::from).iter().sum::<u64>();
        Self { samples: Vec::new(), base: 0, late: ms * SAMPLE_RATE / 1000 + 2 * WINDOW as u64 }
    }

    /// Where the signal goes on.
    pub(crate) fn tail(&mut self) -> &mut Vec<f32> {
        &mut self.samples
    }

    /// The first place of which there is a sample.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// The place after the last.
    pub(crate) fn end(&self) -> u64 {
        self.base + self.samples.len() as u64
    }

    /// What is there of a stretch.
    pub(crate) fn of(&self, stretch: Stretch) -> &[f32] {
        let (from, to) = (self.index(stretch.start), self.index(stretch.end));
        &self.samples[from..to.max(from)]
    }

    /// What is there from a place on.
    pub(crate) fn since(&self, place: u64) -> &[f32] {
        &self.samples[self.index(place)..]
    }

    /// Lets go of what lies before `needed` and cannot be the beginning of anything either; a second at a time, because it moves all
    /// other samples.
    pub(crate) fn forget(&mut self, needed: u64) {
        let passed = needed.min(self.end().saturating_sub(self.late)).saturating_sub(self.base);
        if passed > SAMPLE_RATE {
            self.samples.drain(..passed as usize);
            self.base += passed;
        }
    }

    fn index(&self, place: u64) -> usize {
        usize::try_from(place.saturating_sub(self.base)).unwrap_or(usize::MAX).min(self.samples.len())
    }
}
