//! What a server answers, read with an open mind: some know `verbose_json`, and others give a text alone. Pure.

use serde::Deserialize;
use serde_json::Value;
use voice_processing::{Said, Segment, Word};

use super::language;

#[derive(Deserialize)]
struct Answer {
    text: String,
    language: Option<String>,
    segments: Option<Vec<AnswerSegment>>,
    words: Option<Vec<AnswerWord>>,
}

#[derive(Deserialize)]
struct AnswerSegment {
    start: f64,
    end: f64,
    text: String,
    avg_logprob: Option<f64>,
}

#[derive(Deserialize)]
struct AnswerWord {
    word: String,
    start: f64,
    end: f64,
}

/// What was said in an utterance of `length_ms`; on failure, what is wrong with the answer.
pub(super) fn read(body: &[u8], length_ms: u64) -> Result<Said, String> {
    let answer: Answer = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let mut segments: Vec<Segment> =
        answer.segments.into_iter().flatten().map(|segment| segment_of(&segment)).collect();
    let text = answer.text.trim();
    if segments.is_empty() && !text.is_empty() {
        let text = text.to_owned();
        segments.push(Segment { end_ms: length_ms, text, confidence: f32::NAN, ..Segment::default() });
    }
    for word in answer.words.into_iter().flatten() {
        let start_ms = ms(word.start);
        // A word belongs to the last segment that has begun.
        let begun = segments.iter().rposition(|segment| segment.start_ms <= start_ms).unwrap_or(0);
        if let Some(segment) = segments.get_mut(begun) {
            let (word, end_ms) = (word.word.trim().to_owned(), ms(word.end));
            segment.words.push(Word { word, start_ms, end_ms, confidence: f32::NAN });
        }
    }
    Ok(Said { language: answer.language.as_deref().map(language::code).unwrap_or_default(), segments })
}

fn segment_of(segment: &AnswerSegment) -> Segment {
    // Nobody says how sure it is who does not say this.
    let confidence = segment.avg_logprob.map_or(f32::NAN, |logprob| logprob.exp().clamp(0.0, 1.0) as f32);
    let text = segment.text.trim().to_owned();
    Segment { start_ms: ms(segment.start), end_ms: ms(segment.end), text, confidence, words: Vec::new() }
}

/// Seconds as ms; what lies before the beginning is at it.
fn ms(seconds: f64) -> u64 {
    (seconds * 1000.0).round() as u64
}

/// The words of an error object, else the beginning of what came.
pub(super) fn refusal(body: &[u8]) -> String {
    const LONGEST: usize = 300;
    let document: Option<Value> = serde_json::from_slice(body).ok();
    let said = document.as_ref().and_then(|document| {
        let error = &document["error"];
        error["message"].as_str().or_else(|| error.as_str())
    });
    let text = said.map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned);
    let text: String = text.trim().chars().take(LONGEST).collect();
    if text.is_empty() { "no reason was given".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_belong_to_the_segment_that_has_begun() {
        let body = br#"{"text":"Good morning. Bye.","language":"english","duration":3.0,
            "segments":[{"start":0,"end":1.5,"text":" Good morning.","avg_logprob":-0.5},{"start":1.5,"end":3,"text":" Bye.","avg_logprob":-1}],
            "words":[{"word":"Good","start":-0.1,"end":0.5},{"word":"morning","start":0.5,"end":1.4},{"word":"Bye","start":1.5,"end":2}]}"#;
        let said = read(body, 3_000).unwrap();
        let texts: Vec<_> =
            said.segments.iter().map(|segment| (segment.text.as_str(), segment.words.len())).collect();
        assert_eq!(texts, [("Good morning.", 2), ("Bye.", 1)]);
        assert!((said.segments[0].confidence - 0.606_53).abs() < 1e-4);
    }

    #[test]
    fn a_text_alone_is_one_segment_of_unknown_confidence() {
        let said = read(br#"{"text":" Hello. "}"#, 1_200).unwrap();
        let [segment] = &said.segments[..] else { panic!("{said:?}") };
        assert_eq!((segment.text.as_str(), segment.start_ms, segment.end_ms), ("Hello.", 0, 1_200));
        assert!(segment.confidence.is_nan());
        assert_eq!(read(br#"{"text":""}"#, 1_200).unwrap().segments, []);
    }

    #[test]
    fn a_refusal_is_told_in_its_own_words() {
        assert_eq!(refusal(br#"{"error":{"message":"no such model"}}"#), "no such model");
        assert_eq!(refusal(br#"{"error":"no such model"}"#), "no such model");
        assert_eq!(refusal(b"Bad Gateway"), "Bad Gateway");
        assert_eq!(refusal(b""), "no reason was given");
    }
}
