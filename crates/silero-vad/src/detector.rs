//! Segments of speech, out of the probabilities of windows. Pure: a window's number is the only clock.
//!
//! The rules are those of Silero's `get_speech_timestamps`: hysteresis, a shortest speech, a shortest silence. We depart from it
//! where a live signal has to be told the same as a file: nothing that is said of a segment depends on what comes
//! after its end, so the silence between two is not divided among them; the second's pre-roll takes what the first has left.

use crate::{SAMPLE_RATE, VadError, WINDOW};

/// When probabilities count as speech.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Speech begins at this probability (0 to 1). It ends 0.15 below, so that one value between does not break it in two.
    pub threshold: f32,
    /// Shorter speech is none, in ms: clicks and coughs. A live signal learns of a beginning this much later.
    pub min_speech_ms: u32,
    /// Shorter silence does not end speech, in ms. A live signal learns of an end this much later.
    pub min_silence_ms: u32,
    /// A segment begins this much before the first loud window, in ms, if the segment before has ended by then: the
    /// soft beginnings of words.
    pub pre_roll_ms: u32,
    /// A segment ends this much after the last loud window, in ms; at most `min_silence_ms`, so that no end lies in the future.
    pub tail_ms: u32,
}

impl Settings {
    /// For recordings. Threshold and durations are Silero's own but for the pre-roll, which suits a recogniser of words.
    pub const FILES: Self =
        Self { threshold: 0.5, min_speech_ms: 250, min_silence_ms: 100, pre_roll_ms: 300, tail_ms: 100 };

    fn check(&self) -> Result<(), VadError> {
        let wrong = |setting, expected, found: String| Err(VadError::Setting { setting, expected, found });
        // Written so that a NaN is refused too.
        if !(self.threshold > 0.0 && self.threshold <= 1.0) {
            return wrong("threshold", "a probability above 0, at most 1", self.threshold.to_string());
        }
        if self.tail_ms > self.min_silence_ms {
            let found = format!("{} with min_silence_ms {}", self.tail_ms, self.min_silence_ms);
            return wrong("tail_ms", "at most min_silence_ms", found);
        }
        Ok(())
    }
}

/// What a signal has come to. Places are samples at 16 kHz from the signal's beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Somebody speaks.
    SpeechStarted {
        /// Since when, pre-roll included: it lies before the window that told.
        at_sample: u64,
    },
    /// Nobody speaks any more.
    SpeechStopped {
        /// Since when, tail included.
        at_sample: u64,
    },
}

/// Speech from `start` to `end`, in samples at 16 kHz; `end` is the first that no longer belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Its first sample.
    pub start: u64,
    /// The first sample after it.
    pub end: u64,
}

/// Turns the probabilities of a signal's windows into events.
#[derive(Debug, Clone)]
pub struct Detector {
    threshold: f32,
    /// Below it speech ends.
    quiet: f32,
    min_speech: u64,
    min_silence: u64,
    pre_roll: u64,
    tail: u64,
    /// Where the next window begins.
    at: u64,
    /// Where the segment before ended.
    last_end: u64,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Silence,
    Speech {
        since: u64,
        /// Long enough, and said so.
        confirmed: bool,
        /// The first window of a silence that may end it.
        quiet_since: Option<u64>,
    },
}

fn samples(ms: u32) -> u64 {
    u64::from(ms) * u64::from(SAMPLE_RATE) / 1000
}

impl Detector {
    /// A signal that has not begun.
    ///
    /// # Errors
    /// [`VadError::Setting`] for settings that cannot hold.
    pub fn new(settings: Settings) -> Result<Self, VadError> {
        // Silero's: how far below the threshold speech ends, and the least there can be below.
        const HYSTERESIS: f32 = 0.15;
        const LEAST: f32 = 0.01;
        settings.check()?;
        Ok(Self {
            threshold: settings.threshold,
            quiet: (settings.threshold - HYSTERESIS).max(LEAST),
            min_speech: samples(settings.min_speech_ms),
            min_silence: samples(settings.min_silence_ms),
            pre_roll: samples(settings.pre_roll_ms),
            tail: samples(settings.tail_ms),
            at: 0,
            last_end: 0,
            state: State::Silence,
        })
    }

    /// What the next window's probability tells.
    pub fn push(&mut self, probability: f32) -> Option<Event> {
        let begins = self.at;
        self.at += WINDOW as u64;
        if let State::Silence = self.state {
            if probability < self.threshold {
                return None;
            }
            self.state = State::Speech { since: begins, confirmed: false, quiet_since: None };
        }
        let State::Speech { since, confirmed, quiet_since } = &mut self.state else { return None };
        if probability >= self.threshold {
            *quiet_since = None;
        } else if probability < self.quiet {
            let quiet_since = *quiet_since.get_or_insert(begins);
            if self.at - quiet_since >= self.min_silence {
                let stopped = confirmed.then_some(quiet_since);
                self.state = State::Silence;
                return stopped.map(|quiet_since| self.stop(quiet_since + self.tail));
            }
        }
        if *confirmed || quiet_since.is_some() || self.at - *since < self.min_speech {
            return None;
        }
        *confirmed = true;
        let at_sample = since.saturating_sub(self.pre_roll).max(self.last_end);
        Some(Event::SpeechStarted { at_sample })
    }

    /// What the signal's end tells, after `length` samples in all; the next window begins another signal.
    pub fn finish(&mut self, length: u64) -> Option<Event> {
        let stopped = match self.state {
            State::Speech { confirmed: true, quiet_since, .. } => {
                let end = quiet_since.map_or(length, |since| since + self.tail);
                Some(self.stop(end.min(length)))
            }
            _ => None,
        };
        (self.at, self.last_end, self.state) = (0, 0, State::Silence);
        stopped
    }

    /// The first sample of the silence that may end the speech under way.
    pub fn quiet_since(&self) -> Option<u64> {
        match self.state {
            State::Speech { quiet_since, .. } => quiet_since,
            State::Silence => None,
        }
    }

    /// Where the speech under way will have ended if nobody speaks again, tail included.
    pub fn likely_end(&self) -> Option<u64> {
        self.quiet_since().map(|since| since + self.tail)
    }

    fn stop(&mut self, at_sample: u64) -> Event {
        self.last_end = at_sample;
        Event::SpeechStopped { at_sample }
    }
}

/// The segments of a whole signal of `length` samples, of the probabilities of its windows: exactly what [`Detector`] tells of it.
///
/// # Errors
/// [`VadError::Setting`] for settings that cannot hold.
pub fn segments(probabilities: &[f32], length: u64, settings: Settings) -> Result<Vec<Segment>, VadError> {
    let mut detector = Detector::new(settings)?;
    let mut events: Vec<Event> =
        probabilities.iter().filter_map(|&probability| detector.push(probability)).collect();
    events.extend(detector.finish(length));
    // They alternate, and the last one is an end.
    let pairs = events.as_chunks::<2>().0.iter();
    Ok(pairs
        .filter_map(|pair| match *pair {
            [Event::SpeechStarted { at_sample: start }, Event::SpeechStopped { at_sample: end }] => {
                // An end in the last window can lie in the silence that filled it.
                Some(Segment { start, end: end.min(length) })
            }
            _ => None,
        })
        .collect())
}
