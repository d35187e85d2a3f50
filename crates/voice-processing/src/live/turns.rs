//! When somebody speaks, and which stretch of it is written down at once. Pure: samples heard so far are the only clock.
//!
//! A turn is what somebody says until a silence that is long enough. A long turn is written down in several stretches: what is
//! said early does not wait for the end, and no text that is still open takes longer than a moment to be written anew.

use silero_vad::{Detector, Event, Segment, Settings, VadError, WINDOW};

use super::samples;
use crate::likelihood::Likelihood;

/// Silence after which a stretch that is long enough ends, in ms: between sentences, seldom within them.
const BREATH: u64 = samples(250);
/// How long is long enough: what follows is understood without what came before.
const LONG: u64 = samples(8_000);
/// No stretch is longer. Where nobody breathes it ends where speech is least likely.
const LONGEST: u64 = samples(15_000);

/// What a window came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// Somebody begins or ends a turn.
    pub(super) event: Option<Event>,
    /// A stretch that has ended.
    pub(super) stretch: Option<Segment>,
}

/// A signal's turns.
#[derive(Debug)]
pub(super) struct Turns {
    detector: Detector,
    threshold: f32,
    /// Samples heard.
    at: u64,
    /// Where the stretch under way began.
    since: Option<u64>,
    /// Where the last window that was certainly speech ended.
    loud: u64,
    likelihood: Likelihood,
}

impl Turns {
    pub(super) fn new(settings: Settings) -> Result<Self, VadError> {
        let detector = Detector::new(settings)?;
        let threshold = settings.threshold;
        Ok(Self { detector, threshold, at: 0, since: None, loud: 0, likelihood: Likelihood::default() })
    }

    pub(super) fn push(&mut self, probability: f32) -> Heard {
        let event = self.detector.push(probability);
        self.likelihood.push(probability);
        self.at += WINDOW as u64;
        if probability >= self.threshold {
            self.loud = self.at;
        }
        let stretch = match event {
            Some(Event::SpeechStarted { at_sample }) => {
                self.since = Some(at_sample);
                None
            }
            Some(Event::SpeechStopped { at_sample }) => self.stop(at_sample),
            None => self.split(),
        };
        self.likelihood.forget(self.since.unwrap_or(self.at));
        Heard { event, stretch }
    }

    /// The signal has ended after `length` samples.
    pub(super) fn finish(&mut self, length: u64) -> Heard {
        let event = self.detector.finish(length);
        let stretch = match event {
            Some(Event::SpeechStopped { at_sample }) => self.stop(at_sample.min(length)),
            _ => None,
        };
        Heard { event, stretch }
    }

    /// Where the stretch under way began.
    pub(super) fn since(&self) -> Option<u64> {
        self.since
    }

    /// What is written down if nobody says any more, once it has been silent for `silence` samples.
    pub(super) fn likely(&self, silence: u64) -> Option<Segment> {
        let start = self.since.filter(|start| self.loud > *start)?;
        let end = self.detector.likely_end()?;
        (self.silent_for() >= silence && end > start).then_some(Segment { start, end })
    }

    /// For how long nobody certainly speaks.
    fn silent_for(&self) -> u64 {
        self.detector.quiet_since().map_or(0, |since| self.at - since)
    }

    fn stop(&mut self, end: u64) -> Option<Segment> {
        // After a split there may have been silence alone.
        let start = self.since.take().filter(|start| self.loud > *start && end > *start)?;
        Some(Segment { start, end })
    }

    fn split(&mut self) -> Option<Segment> {
        let start = self.since?;
        let length = self.at - start;
        let end = match self.likely(BREATH) {
            Some(likely) if length >= LONG => likely.end,
            // In the latter half, so that what is left is not long either.
            _ if length >= LONGEST => {
                self.likelihood.least_likely_since(start + LONGEST / 2).unwrap_or(self.at)
            }
            _ => return None,
        };
        self.since = Some(end);
        (self.loud > start).then_some(Segment { start, end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::LIVE;

    /// The stretches of a signal in which somebody speaks in these seconds, in tenths of a second, and its turns.
    fn of(seconds: f64, speech: &[(f64, f64)]) -> (Vec<(u64, u64)>, usize) {
        let mut turns = Turns::new(LIVE).unwrap();
        let length = (seconds * 16_000.0) as u64;
        let mut heard: Vec<Heard> = (0..length / WINDOW as u64)
            .map(|window| {
                let at = (window * WINDOW as u64) as f64 / 16_000.0;
                turns.push(if speech.iter().any(|(from, to)| (*from..*to).contains(&at)) {
                    0.9
                } else {
                    0.05
                })
            })
            .collect();
        heard.push(turns.finish(length));
        let ended =
            heard.iter().filter(|heard| matches!(heard.event, Some(Event::SpeechStopped { .. }))).count();
        let stretches = heard.iter().filter_map(|heard| heard.stretch);
        (stretches.map(|stretch| (stretch.start / 1_600, stretch.end / 1_600)).collect(), ended)
    }

    #[test]
    fn a_turn_is_a_stretch_and_ends_after_a_silence() {
        assert_eq!(of(6.0, &[(1.0, 2.0), (4.0, 5.0)]), (vec![(7, 21), (37, 51)], 2));
        assert_eq!(of(6.0, &[(1.0, 2.0), (2.3, 3.0)]), (vec![(7, 31)], 1));
        assert_eq!(of(6.0, &[]), (vec![], 0));
    }

    #[test]
    fn a_long_turn_is_written_down_in_stretches_that_end_where_somebody_breathes() {
        assert_eq!(of(15.0, &[(0.0, 9.0), (9.4, 12.0)]), (vec![(0, 91), (91, 121)], 1));
    }

    #[test]
    fn who_never_breathes_is_cut() {
        let (stretches, turns) = of(40.0, &[(0.0, 40.0)]);
        assert!(stretches.len() >= 3 && turns == 1, "{stretches:?}");
        assert!(stretches.iter().all(|(from, to)| to - from <= 151), "{stretches:?}");
    }

    #[test]
    fn stretches_neither_overlap_nor_leave_speech_out() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..50 {
            let mut at = 0.0;
            let speech: Vec<(f64, f64)> = (0..20)
                .map(|_| {
                    let from = at + 0.1 + random.f64() * 2.0;
                    at = from + 0.3 + random.f64() * 20.0;
                    (from, at)
                })
                .collect();
            let (found, _) = of(at + 1.0, &speech);
            assert!(found.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{found:?}");
            for (from, to) in &speech {
                let middle = ((from + to) * 5.0) as u64;
                assert!(
                    found.iter().any(|(start, end)| (*start..=*end).contains(&middle)),
                    "{middle} in {found:?}"
                );
            }
        }
    }
}
