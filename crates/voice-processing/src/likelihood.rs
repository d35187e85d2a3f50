//! How likely each window of a signal is speech. Pure.

use silero_vad::WINDOW;

use crate::SAMPLE_RATE;

/// The latest windows of a signal. Places are samples from the signal's beginning.
#[derive(Debug, Default)]
pub(crate) struct Likelihood {
    windows: Vec<f32>,
    /// The place of the first.
    first: u64,
}

impl Likelihood {
    pub(crate) fn push(&mut self, probability: f32) {
        self.windows.push(probability);
    }

    /// The middle of the window, of those from `place` on, in which speech was least likely.
    pub(crate) fn least_likely_since(&self, place: u64) -> Option<u64> {
        let from = place.saturating_sub(self.first) as usize / WINDOW;
        let since = self.windows.iter().enumerate().skip(from);
        let (index, _) = since.min_by(|(_, a), (_, b)| a.total_cmp(b))?;
        Some(self.first + (index * WINDOW + WINDOW / 2) as u64)
    }

    /// Lets go of windows before `needed`; a second at a time, because it moves all others.
    pub(crate) fn forget(&mut self, needed: u64) {
        let passed = needed.saturating_sub(self.first) as usize / WINDOW;
        if passed as u64 * WINDOW as u64 > SAMPLE_RATE {
            let passed = passed.min(self.windows.len());
            self.windows.drain(..passed);
            self.first += (passed * WINDOW) as u64;
        }
    }
}
