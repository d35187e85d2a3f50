//! What comes of a recording.

use std::time::Duration;

/// What was said, and when. Times are ms from the signal's beginning.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct VoiceResult {
    /// All of it, with a space between segments.
    pub text: String,
    /// The code of the language, such as `de`; empty where nothing was said and none was given.
    pub language: String,
    /// In the order of time; none begins before the one before has ended. Without transcription they have no text.
    pub segments: Vec<Segment>,
    /// How long the signal lasts.
    pub duration_ms: u64,
    /// How much of it is speech; all of it where voice activity was not asked for.
    pub speech_ms: u64,
    /// Where the time went.
    pub timings: Timings,
    /// The audio ends before it says it does: what it holds was heard.
    pub truncated: bool,
    /// Packets that made no sense; they were heard as silence.
    pub damaged_packets: u64,
}

/// A piece of what was said, about a sentence.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Segment {
    /// When it begins.
    pub start_ms: u64,
    /// When it ends.
    pub end_ms: u64,
    /// Without spaces at its ends.
    pub text: String,
    /// How sure the transcriber was, or without one the detector of speech: 0 to 1.
    pub confidence: f32,
    /// Empty unless they were asked for.
    pub words: Vec<Word>,
}

/// A word and when it was said.
#[derive(Debug, Clone, PartialEq)]
pub struct Word {
    /// With its punctuation, without spaces.
    pub word: String,
    /// When it begins.
    pub start_ms: u64,
    /// When it ends.
    pub end_ms: u64,
    /// 0 to 1.
    pub confidence: f32,
}

/// Where the time of a call went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timings {
    /// Reading, decoding and resampling, which go hand in hand.
    pub decode: Duration,
    /// Always nought at present: resampling cannot be told from decoding, and is counted there.
    pub resample: Duration,
    /// Finding speech.
    pub vad: Duration,
    /// Writing it down.
    pub transcribe: Duration,
    /// All of it.
    pub total: Duration,
}

/// Where somebody speaks.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Speech {
    /// In the order of time; they do not overlap.
    pub segments: Vec<SpeechSegment>,
    /// How likely it is (0 to 1) that each [`Self::FRAME_MS`] hold speech.
    pub probabilities: Vec<f32>,
    /// How long the signal lasts.
    pub duration_ms: u64,
}

impl Speech {
    /// What a probability is of, in ms.
    pub const FRAME_MS: u32 = 32;
}

/// Speech from one time to another, in ms from the signal's beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpeechSegment {
    /// When it begins, the soft beginning of its first word included.
    pub start_ms: u64,
    /// When it ends.
    pub end_ms: u64,
}
