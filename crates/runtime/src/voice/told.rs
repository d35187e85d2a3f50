//! What was said, as a document for programs: that of Node's `SpeechSegment` and `VoiceEvent`.

use serde_json::{Value, json};
use voice_processing::live::LiveEvent;
use voice_processing::{Segment, Word};

/// A `SpeechSegment`.
pub fn segment_json(segment: &Segment) -> Value {
    let mut document = json!({
        "startMs": segment.start_ms, "endMs": segment.end_ms, "text": segment.text,
        "confidence": segment.confidence,
    });
    if !segment.words.is_empty() {
        document["words"] = segment.words.iter().map(word).collect();
    }
    document
}

fn word(word: &Word) -> Value {
    json!({
        "word": word.word, "startMs": word.start_ms, "endMs": word.end_ms, "confidence": word.confidence,
    })
}

/// A `VoiceEvent`, whose `committed` counts UTF-16 units; of a partial text also which part is settled. `None` for what is no event there.
pub fn event_json(event: &LiveEvent) -> Option<Value> {
    Some(match event {
        LiveEvent::SpeechStarted { at_ms } => json!({ "type": "speech_started", "atMs": at_ms }),
        LiveEvent::Partial { start_ms, text, committed } => {
            let settled = text.get(..*committed).unwrap_or_default();
            let units = settled.encode_utf16().count();
            json!({ "type": "partial", "startMs": start_ms, "text": text, "committed": units, "settled": settled })
        }
        LiveEvent::SpeechStopped { at_ms } => json!({ "type": "speech_stopped", "atMs": at_ms }),
        LiveEvent::Final(said) => json!({ "type": "final", "segment": segment_json(said) }),
        LiveEvent::Failed { code, message } => json!({ "type": "error", "code": code, "message": message }),
        LiveEvent::TurnDone => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_settled_is_counted_as_javascript_counts() {
        let event = LiveEvent::Partial { start_ms: 5, text: "né 𝄞 so".to_owned(), committed: 8 };
        let document = event_json(&event).unwrap();
        assert_eq!((&document["settled"], &document["committed"]), (&"né 𝄞".into(), &5.into()));
        assert_eq!(event_json(&LiveEvent::TurnDone), None);
    }
}
