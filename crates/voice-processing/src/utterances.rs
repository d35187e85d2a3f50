//! Speech becomes utterances: what a transcriber hears at once. Pure: samples heard so far are the only clock.
//!
//! An utterance is as long as it can be, because a sentence is understood by those around it, and at most as long as Whisper
//! hears. It ends at a pause that is long enough; where it would become too long, at its longest silence; and where somebody
//! speaks without one, where speech was least likely.

use silero_vad::{Event, Segment, WINDOW};

use crate::SAMPLE_RATE;
use crate::likelihood::Likelihood;

/// Whisper hears 30 s; the rest is room for what is found out late.
const LONGEST: u64 = 28 * SAMPLE_RATE;
/// Silence that ends an utterance: sentences stand closer together, and a transcriber would wait for nothing longer.
const PAUSE: u64 = 2 * SAMPLE_RATE;

/// Gathers speech.
#[derive(Debug, Default)]
pub(crate) struct Utterances {
    /// Speech that has ended and belongs to the next utterance.
    ended: Vec<Segment>,
    /// Since when somebody speaks.
    speaking: Option<u64>,
    likelihood: Likelihood,
    /// Samples heard.
    at: u64,
}

impl Utterances {
    /// Everything from the signal's beginning is taken for speech.
    pub(crate) fn of_everything() -> Self {
        Self { speaking: Some(0), ..Self::default() }
    }

    /// Hears a window, and what the detector told of it. Gives the utterance that has ended, if one has.
    pub(crate) fn push(&mut self, probability: f32, event: Option<Event>) -> Option<Segment> {
        self.at += WINDOW as u64;
        self.likelihood.push(probability);
        match event {
            Some(Event::SpeechStarted { at_sample }) => self.speaking = Some(at_sample),
            Some(Event::SpeechStopped { at_sample }) => self.stop(at_sample),
            None => {}
        }
        let whole = self.cut();
        self.likelihood.forget(self.needed());
        whole
    }

    /// The signal has ended after `length` samples, which the detector said of. What is left is the last utterance.
    pub(crate) fn finish(mut self, length: u64, event: Option<Event>) -> Option<Segment> {
        match event {
            Some(Event::SpeechStopped { at_sample }) => self.stop(at_sample.min(length)),
            _ if self.speaking.is_some() => self.stop(length),
            _ => {}
        }
        self.take(self.ended.len()).map(|all| Segment { end: all.end.min(length), ..all })
    }

    /// The first sample that may still belong to an utterance, as far as is known here.
    pub(crate) fn needed(&self) -> u64 {
        let first = self.ended.first().map(|segment| segment.start);
        first.or(self.speaking).unwrap_or(self.at)
    }

    fn stop(&mut self, end: u64) {
        if let Some(start) = self.speaking.take().filter(|start| *start < end) {
            self.ended.push(Segment { start, end });
        }
    }

    fn cut(&mut self) -> Option<Segment> {
        let silent_since = self.ended.last().map(|segment| segment.end);
        // Who speaks by now may have begun before that was known.
        let silence = silent_since.map(|end| self.speaking.unwrap_or(self.at).saturating_sub(end));
        if silence.is_some_and(|silence| silence >= PAUSE) {
            return self.take(self.ended.len());
        }
        if self.at.saturating_sub(self.needed()) <= LONGEST {
            return None;
        }
        if !self.ended.is_empty() {
            return self.take(self.before_longest_silence());
        }
        let start = self.speaking?;
        // In the latter half, so that what is left is not long either.
        let end = self.likelihood.least_likely_since(start + LONGEST / 2).unwrap_or(self.at);
        self.speaking = Some(end);
        Some(Segment { start, end })
    }

    /// How many of the segments that have ended stand before the longest silence.
    fn before_longest_silence(&self) -> usize {
        let starts = self.ended.iter().skip(1).map(|segment| segment.start);
        let next = starts.chain([self.speaking.unwrap_or(self.at)]);
        let silences = self.ended.iter().zip(next).map(|(segment, next)| next.saturating_sub(segment.end));
        silences.enumerate().max_by_key(|(_, silence)| *silence).map_or(1, |(index, _)| index + 1)
    }

    /// The first `count` segments as one utterance.
    fn take(&mut self, count: usize) -> Option<Segment> {
        let taken: Vec<Segment> = self.ended.drain(..count.min(self.ended.len())).collect();
        Some(Segment { start: taken.first()?.start, end: taken.last()?.end })
    }
}

#[cfg(test)]
mod tests {
    use silero_vad::{Detector, Settings};

    use super::*;

    /// The utterances of a signal in which somebody speaks in these seconds, as seconds.
    fn of(seconds: f64, speech: &[(f64, f64)], unlikely: Option<f64>) -> Vec<(f64, f64)> {
        let mut detector = Detector::new(Settings::FILES).unwrap();
        let mut utterances = Utterances::default();
        let length = (seconds * SAMPLE_RATE as f64) as u64;
        let mut found = Vec::new();
        for window in 0..length.div_ceil(WINDOW as u64) {
            let at = (window * WINDOW as u64) as f64 / SAMPLE_RATE as f64;
            let speaks = speech.iter().any(|(from, to)| (*from..*to).contains(&at));
            let hesitates = unlikely.is_some_and(|time| (time - at).abs() < 0.02);
            let probability = if hesitates { 0.4 } else { 0.05 + 0.9 * f32::from(u8::from(speaks)) };
            found.extend(utterances.push(probability, detector.push(probability)));
        }
        found.extend(utterances.finish(length, detector.finish(length)));
        let seconds = |samples: u64| (samples as f64 / SAMPLE_RATE as f64 * 10.0).round() / 10.0;
        found.iter().map(|found| (seconds(found.start), seconds(found.end))).collect()
    }

    #[test]
    fn sentences_with_short_pauses_are_one_utterance() {
        assert_eq!(of(10.0, &[(1.0, 3.0), (4.0, 6.0)], None), [(0.7, 6.1)]);
    }

    #[test]
    fn a_long_pause_ends_an_utterance() {
        assert_eq!(of(12.0, &[(1.0, 3.0), (6.0, 8.0)], None), [(0.7, 3.1), (5.7, 8.1)]);
    }

    #[test]
    fn silence_has_none() {
        assert_eq!(of(100.0, &[], None), []);
        assert_eq!(of(0.0, &[], None), []);
    }

    #[test]
    fn one_that_becomes_too_long_ends_at_its_longest_silence() {
        let speech = [(1.0, 10.0), (11.0, 19.0), (20.5, 40.0)];
        assert_eq!(of(41.0, &speech, None), [(0.7, 19.1), (20.2, 40.1)]);
    }

    #[test]
    fn who_never_pauses_is_cut_where_speech_is_least_likely() {
        assert_eq!(of(50.0, &[(0.0, 50.0)], Some(20.0)), [(0.0, 20.0), (20.0, 50.0 - 16.0), (34.0, 50.0)]);
    }

    #[test]
    fn none_is_longer_than_whisper_hears_and_none_overlaps_another() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..50 {
            let mut at = 0.0;
            let speech: Vec<(f64, f64)> = (0..40)
                .map(|_| {
                    let from = at + random.f64() * 3.0;
                    at = from + random.f64() * 12.0;
                    (from, at)
                })
                .collect();
            let found = of(at, &speech, None);
            assert!(found.iter().all(|(from, to)| to > from && to - from <= 28.1), "{found:?}");
            assert!(found.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{found:?}");
        }
    }
}
