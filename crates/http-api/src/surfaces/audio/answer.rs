//! What was said, in the shape that was asked for. Pure.

use axum::body::Body;
use http::Response;
use runtime::voice_processing::{Segment, VoiceResult, srt, vtt};
use serde_json::{Value, json};

use super::form::invalid;
use crate::error::ApiError;
use crate::headers::{JSON, TEXT};
use crate::surfaces::with_type;

/// `response_format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Shape {
    #[default]
    Json,
    Text,
    Srt,
    Vtt,
    Verbose,
}

impl Shape {
    const ALL: [Self; 5] = [Self::Json, Self::Text, Self::Srt, Self::Vtt, Self::Verbose];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
            Self::Srt => "srt",
            Self::Vtt => "vtt",
            Self::Verbose => "verbose_json",
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, ApiError> {
        let found = Self::ALL.into_iter().find(|shape| shape.name() == text);
        found.ok_or_else(|| invalid("response_format", "json, text, srt, vtt or verbose_json", text))
    }
}

/// What is told of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Answer {
    pub(super) shape: Shape,
    /// When words were said.
    pub(super) words: bool,
    /// When sentences were.
    pub(super) segments: bool,
}

pub(super) fn response(answer: &Answer, said: &VoiceResult) -> Response<Body> {
    match answer.shape {
        Shape::Json => with_type(json!({ "text": said.text, "usage": usage(said) }).to_string(), JSON),
        Shape::Verbose => with_type(verbose(answer, said).to_string(), JSON),
        Shape::Text => with_type(format!("{}\n", said.text), TEXT),
        Shape::Srt => with_type(srt(&said.segments), TEXT),
        Shape::Vtt => with_type(vtt(&said.segments), TEXT),
    }
}

/// OpenAI bills by the second, begun ones whole.
pub(super) fn usage(said: &VoiceResult) -> Value {
    json!({ "type": "duration", "seconds": said.duration_ms.div_ceil(1000) })
}

fn verbose(answer: &Answer, said: &VoiceResult) -> Value {
    let mut document = json!({
        "task": "transcribe", "language": said.language, "duration": seconds(said.duration_ms), "text": said.text,
    });
    if answer.words {
        let words = said.segments.iter().flat_map(|segment| &segment.words);
        document["words"] = words
            .map(|word| json!({ "word": word.word, "start": seconds(word.start_ms), "end": seconds(word.end_ms) }))
            .collect();
    }
    if answer.segments {
        document["segments"] = said.segments.iter().enumerate().map(segment).collect();
    }
    document["usage"] = usage(said);
    document
}

/// Of OpenAI's members those that are known here.
fn segment((id, segment): (usize, &Segment)) -> Value {
    json!({
        "id": id, "seek": 0, "start": seconds(segment.start_ms), "end": seconds(segment.end_ms),
        "text": segment.text, "tokens": [],
        // A probability of nought has no logarithm that JSON could say.
        "avg_logprob": f64::from(segment.confidence).max(1e-9).ln(),
    })
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use runtime::voice_processing::Word;

    use super::*;

    #[test]
    fn a_verbose_answer_has_seconds_and_what_was_asked_for() {
        let words = vec![Word { word: "Hm.".into(), start_ms: 1_500, end_ms: 2_000, confidence: 1.0 }];
        let segment = Segment { start_ms: 1_500, end_ms: 2_000, text: "Hm.".into(), confidence: 1.0, words };
        let said = VoiceResult {
            text: "Hm.".into(),
            language: "en".into(),
            segments: vec![segment],
            duration_ms: 2_100,
            ..VoiceResult::default()
        };
        let both = Answer { shape: Shape::Verbose, words: true, segments: true };
        let document = verbose(&both, &said);
        assert_eq!((&document["duration"], &document["usage"]["seconds"]), (&json!(2.1), &json!(3)));
        assert_eq!(document["words"], json!([{ "word": "Hm.", "start": 1.5, "end": 2.0 }]));
        assert_eq!(document["segments"][0]["avg_logprob"], 0.0);
        let neither = verbose(&Answer::default(), &said);
        assert!(neither.get("words").is_none() && neither.get("segments").is_none());
    }
}
