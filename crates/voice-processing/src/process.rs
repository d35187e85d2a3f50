//! A recording from beginning to end.

use std::io::{Read, Seek};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use silero_vad::{Detector, Event, Segment as Samples, Settings};

use crate::hearing::Hearing;
use crate::kept::Kept;
use crate::placed::placed;
use crate::utterances::Utterances;
use crate::{
    Ask, DetectOptions, ProcessOptions, Segment, Speech, SpeechSegment, Timings, Transcriber, Voice,
    VoiceError, VoiceResult, ms,
};

impl Voice {
    /// What was said, and when. Reads `source` once, and holds an utterance of it at a time. `progress` is told now and then which
    /// part of it was heard, 0 to 1.
    ///
    /// Each utterance is written down by itself: where one was misheard, the next is not misled.
    ///
    /// # Errors
    /// `UAT_AUDIO_FORMAT`, `UAT_INVALID_INPUT`, `UAT_STORAGE` where the source cannot be read; `UAT_MODEL_NOT_FOUND` where there is
    /// no transcriber; `UAT_CANCELLED`; those of the transcriber. Options are refused before anything is read.
    pub fn process(
        &self,
        source: impl Read + Seek + Send + Sync + 'static,
        options: &ProcessOptions,
        progress: &mut dyn FnMut(f64),
        cancel: &AtomicBool,
    ) -> Result<VoiceResult, VoiceError> {
        self.process_each(source, options, progress, &mut |_| (), cancel)
    }

    /// The same, and each segment is told as soon as it is written down: some seconds after the utterance was read.
    ///
    /// # Errors
    /// As [`Self::process`]; what was told before stays true.
    pub fn process_each(
        &self,
        source: impl Read + Seek + Send + Sync + 'static,
        options: &ProcessOptions,
        progress: &mut dyn FnMut(f64),
        said: &mut dyn FnMut(&Segment),
        cancel: &AtomicBool,
    ) -> Result<VoiceResult, VoiceError> {
        let began = Instant::now();
        let mut writing = match (options.transcribe, &self.parts.words) {
            (true, None) => return Err(VoiceError::NoTranscriber),
            (true, Some(words)) => Some(Writing::begin(&**words, options, cancel)?),
            (false, _) => None,
        };
        let mut detector = Detector::new(settings(options.threshold))?;
        let mut hearing = Hearing::begin(source, options.pcm, &self.parts.vad)?;
        let mut utterances = if options.vad { Utterances::default() } else { Utterances::of_everything() };
        let mut speech = SpeechSums::default();
        hearing.each_window(progress, cancel, &mut |window, probability| {
            let event = detector.push(probability).filter(|_| options.vad);
            speech.hear(probability, event);
            if let Some(writing) = &mut writing {
                writing.kept.tail().extend_from_slice(window);
                if let Some(utterance) = utterances.push(probability, event) {
                    writing.write(utterance, said)?;
                }
                writing.kept.forget(utterances.needed());
            }
            Ok(())
        })?;
        let length = hearing.length();
        let event = detector.finish(length).filter(|_| options.vad);
        speech.finish(length, event);
        let mut result = VoiceResult {
            language: options.language.clone().unwrap_or_default(),
            duration_ms: ms(length),
            speech_ms: if options.vad { speech.total_ms() } else { ms(length) },
            truncated: hearing.truncated(),
            damaged_packets: hearing.damaged_packets(),
            ..VoiceResult::default()
        };
        let mut transcribe = Duration::ZERO;
        match writing {
            Some(mut writing) => {
                if let Some(utterance) = utterances.finish(length, event) {
                    writing.write(utterance, said)?;
                }
                transcribe = writing.spent;
                result.language = writing.ask.language.unwrap_or_default();
                result.segments = writing.segments;
            }
            None => result.segments = speech.segments,
        }
        let texts: Vec<&str> = result.segments.iter().map(|segment| segment.text.as_str()).collect();
        result.text = texts.join(" ").trim().to_owned();
        let (decode, vad) = (hearing.decode, hearing.vad);
        result.timings =
            Timings { decode, resample: Duration::ZERO, vad, transcribe, total: began.elapsed() };
        progress(1.0);
        Ok(result)
    }

    /// Where somebody speaks. Reads `source` once, and holds a block of it at a time.
    ///
    /// # Errors
    /// `UAT_AUDIO_FORMAT`, `UAT_INVALID_INPUT`, `UAT_STORAGE` where the source cannot be read; `UAT_CANCELLED`.
    pub fn detect_speech(
        &self,
        source: impl Read + Seek + Send + Sync + 'static,
        options: &DetectOptions,
        progress: &mut dyn FnMut(f64),
        cancel: &AtomicBool,
    ) -> Result<Speech, VoiceError> {
        let settings = settings(options.threshold);
        Detector::new(settings)?;
        let mut hearing = Hearing::begin(source, options.pcm, &self.parts.vad)?;
        let mut probabilities = Vec::new();
        hearing.each_window(progress, cancel, &mut |_, probability| {
            probabilities.push(probability);
            Ok(())
        })?;
        let length = hearing.length();
        let segments = silero_vad::segments(&probabilities, length, settings)?;
        let segments = segments
            .iter()
            .map(|found| SpeechSegment { start_ms: ms(found.start), end_ms: ms(found.end) })
            .collect();
        progress(1.0);
        Ok(Speech { segments, probabilities, duration_ms: ms(length) })
    }
}

fn settings(threshold: f32) -> Settings {
    Settings { threshold, ..Settings::FILES }
}

/// Where somebody spoke so far.
#[derive(Default)]
struct SpeechSums {
    /// Since when somebody speaks, with the probabilities since that became known and their number.
    since: Option<(u64, f32, u32)>,
    segments: Vec<Segment>,
}

impl SpeechSums {
    fn hear(&mut self, probability: f32, event: Option<Event>) {
        match event {
            Some(Event::SpeechStarted { at_sample }) => self.since = Some((at_sample, 0.0, 0)),
            Some(Event::SpeechStopped { at_sample }) => return self.stop(at_sample),
            None => {}
        }
        if let Some((_, sum, count)) = &mut self.since {
            *sum += probability;
            *count += 1;
        }
    }

    fn finish(&mut self, length: u64, event: Option<Event>) {
        if let Some(Event::SpeechStopped { at_sample }) = event {
            self.stop(at_sample);
        }
        // The tail of an end in the last window can lie after the signal.
        if let Some(last) = self.segments.last_mut() {
            last.end_ms = last.end_ms.min(ms(length));
        }
    }

    fn stop(&mut self, end: u64) {
        if let Some((start, sum, count)) = self.since.take() {
            let confidence = sum / count.max(1) as f32;
            let (start_ms, end_ms) = (ms(start), ms(end));
            self.segments.push(Segment { start_ms, end_ms, confidence, ..Segment::default() });
        }
    }

    fn total_ms(&self) -> u64 {
        self.segments.iter().map(|segment| segment.end_ms - segment.start_ms).sum()
    }
}

/// Utterances that are written down, and the samples that may belong to the next.
struct Writing<'a> {
    words: &'a dyn Transcriber,
    ask: Ask,
    cancel: &'a AtomicBool,
    kept: Kept,
    segments: Vec<Segment>,
    spent: Duration,
}

impl<'a> Writing<'a> {
    fn begin(
        words: &'a dyn Transcriber,
        options: &ProcessOptions,
        cancel: &'a AtomicBool,
    ) -> Result<Self, VoiceError> {
        let (ask, kept) = (options.ask(), Kept::new(settings(options.threshold)));
        words.check(&ask)?;
        Ok(Self { words, ask, cancel, kept, segments: Vec::new(), spent: Duration::ZERO })
    }

    fn write(&mut self, utterance: Samples, tell: &mut dyn FnMut(&Segment)) -> Result<(), VoiceError> {
        let began = Instant::now();
        let said = self.words.transcribe(self.kept.of(utterance), &self.ask, self.cancel)?;
        self.spent += began.elapsed();
        if !said.segments.is_empty() {
            // Who changes the language within a recording is rarer than an utterance too short to tell it.
            self.ask.language.get_or_insert(said.language);
        }
        // A beginning that was told so late that its samples are gone begins with those that are there.
        let (start, end) = (ms(utterance.start.max(self.kept.base())), ms(utterance.end));
        let after = self.segments.last().map_or(0, |before| before.end_ms);
        for segment in placed(said.segments, start, end, after) {
            tell(&segment);
            self.segments.push(segment);
        }
        Ok(())
    }
}
