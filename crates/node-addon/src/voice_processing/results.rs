//! What was heard, as JavaScript gets it.

use std::time::Duration;

use napi::bindgen_prelude::Float32Array;
use napi_derive::napi;
use runtime::voice_processing::{Segment, Speech, VoiceResult, Word};

/// A `VoiceResult`; times are ms.
#[napi(object, object_from_js = false)]
pub struct Heard {
    /// All of it.
    pub text: String,
    /// The language's code.
    pub language: String,
    /// In the order of time.
    pub segments: Vec<HeardSegment>,
    /// Of the whole signal.
    pub duration_ms: f64,
    /// How much of it is speech.
    pub speech_ms: f64,
    /// The audio ends before it says it does.
    pub truncated: bool,
    /// Packets that were heard as silence.
    pub damaged_packets: f64,
    /// Where the time went.
    pub timings: HeardTimings,
}

/// A piece of what was said.
#[napi(object, object_from_js = false)]
pub struct HeardSegment {
    /// When it begins.
    pub start_ms: f64,
    /// When it ends.
    pub end_ms: f64,
    /// What was said.
    pub text: String,
    /// 0 to 1; NaN where nobody knows.
    pub confidence: f64,
    /// Where they were asked for.
    pub words: Option<Vec<HeardWord>>,
}

/// A word.
#[napi(object, object_from_js = false)]
pub struct HeardWord {
    /// With its punctuation.
    pub word: String,
    /// When it begins.
    pub start_ms: f64,
    /// When it ends.
    pub end_ms: f64,
    /// 0 to 1; NaN where nobody knows.
    pub confidence: f64,
}

/// Where the time of a call went, in ms.
#[napi(object, object_from_js = false)]
pub struct HeardTimings {
    /// Reading and decoding.
    pub decode_ms: f64,
    /// Resampling, where it can be told from decoding.
    pub resample_ms: f64,
    /// Finding speech.
    pub vad_ms: f64,
    /// Writing it down.
    pub transcribe_ms: f64,
    /// All of it.
    pub total_ms: f64,
}

/// Where somebody speaks.
#[napi(object, object_from_js = false)]
pub struct Spoken {
    /// Beginnings and ends in turn, in ms.
    pub bounds: Vec<f64>,
    /// Of each frame, 0 to 1.
    pub probabilities: Float32Array,
    /// What a frame lasts, in ms.
    pub frame_ms: u32,
}

impl From<VoiceResult> for Heard {
    fn from(result: VoiceResult) -> Self {
        let timings = result.timings;
        Self {
            text: result.text,
            language: result.language,
            segments: result.segments.into_iter().map(HeardSegment::from).collect(),
            duration_ms: result.duration_ms as f64,
            speech_ms: result.speech_ms as f64,
            truncated: result.truncated,
            damaged_packets: result.damaged_packets as f64,
            timings: HeardTimings {
                decode_ms: ms(timings.decode),
                resample_ms: ms(timings.resample),
                vad_ms: ms(timings.vad),
                transcribe_ms: ms(timings.transcribe),
                total_ms: ms(timings.total),
            },
        }
    }
}

impl From<Segment> for HeardSegment {
    fn from(segment: Segment) -> Self {
        let words = segment.words;
        Self {
            start_ms: segment.start_ms as f64,
            end_ms: segment.end_ms as f64,
            text: segment.text,
            confidence: segment.confidence.into(),
            words: (!words.is_empty()).then(|| words.into_iter().map(HeardWord::from).collect()),
        }
    }
}

impl From<Word> for HeardWord {
    fn from(word: Word) -> Self {
        Self {
            word: word.word,
            start_ms: word.start_ms as f64,
            end_ms: word.end_ms as f64,
            confidence: word.confidence.into(),
        }
    }
}

impl From<Speech> for Spoken {
    fn from(speech: Speech) -> Self {
        let bounds = speech.segments.iter().flat_map(|one| [one.start_ms as f64, one.end_ms as f64]);
        Self {
            bounds: bounds.collect(),
            probabilities: speech.probabilities.into(),
            frame_ms: Speech::FRAME_MS,
        }
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
