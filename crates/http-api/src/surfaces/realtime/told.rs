//! What a client is told of its speech: OpenAI's events. Pure.
//!
//! A turn is an item. Its `delta`s are words that are settled, so that a client may append them; its `completed` has the whole text for
//! good. Between them `uat.input_audio_transcription.partial`, which is ours, has the text as far as it is known.

use runtime::voice_processing::live::LiveEvent;
use serde_json::{Value, json};

use super::settings::Problem;

const DELTA: &str = "conversation.item.input_audio_transcription.delta";
const COMPLETED: &str = "conversation.item.input_audio_transcription.completed";
const FAILED: &str = "conversation.item.input_audio_transcription.failed";
const PARTIAL: &str = "uat.input_audio_transcription.partial";

/// The events of a conversation.
#[derive(Debug)]
pub(in crate::surfaces) struct Told {
    session: String,
    /// Events told.
    count: u64,
    turn: Turn,
    previous: Option<String>,
    /// How much the client sent before the signal that is heard now, in ms.
    pub(super) offset_ms: u64,
}

/// What was told of the turn under way.
#[derive(Debug, Default)]
struct Turn {
    number: u64,
    started_ms: u64,
    stopped_ms: u64,
    /// What was written down of it for good.
    text: String,
    /// What was told of it in deltas.
    sent: String,
    failed: bool,
}

impl Told {
    /// `session` is a name that no other session has.
    pub(in crate::surfaces) fn new(session: &str) -> Self {
        Self { session: session.to_owned(), count: 0, turn: Turn::default(), previous: None, offset_ms: 0 }
    }

    /// An event with members of its own.
    pub(in crate::surfaces) fn event(&mut self, kind: &str, mut members: Value) -> Value {
        self.count += 1;
        members["type"] = kind.into();
        members["event_id"] = format!("event_{}_{}", self.session, self.count).into();
        members
    }

    /// That a client's event was refused.
    pub(super) fn problem(&mut self, problem: &Problem, client_event: &Value) -> Value {
        let error = json!({
            "type": "invalid_request_error", "code": problem.code, "message": problem.message, "param": problem.param,
            "event_id": client_event,
        });
        self.event("error", json!({ "error": error }))
    }

    /// That something went wrong that is not the client's fault.
    pub(in crate::surfaces) fn failure(&mut self, code: &str, message: &str) -> Value {
        let error = json!({ "type": "server_error", "code": code, "message": message, "param": null });
        self.event("error", json!({ "error": error }))
    }

    /// What comes of the signal.
    pub(in crate::surfaces) fn of(&mut self, event: LiveEvent) -> Vec<Value> {
        match event {
            LiveEvent::SpeechStarted { at_ms } => {
                let (number, started_ms) = (self.turn.number + 1, at_ms + self.offset_ms);
                self.turn = Turn { number, started_ms, ..Turn::default() };
                let started = json!({ "audio_start_ms": started_ms, "item_id": self.item() });
                vec![self.event("input_audio_buffer.speech_started", started)]
            }
            LiveEvent::Partial { text, committed, .. } => {
                let settled = joined(&self.turn.text, &text[..committed]);
                let partial = json!({ "item_id": self.item(), "transcript": joined(&self.turn.text, &text), "settled": settled });
                let partial = self.event(PARTIAL, partial);
                self.delta(&settled).into_iter().chain([partial]).collect()
            }
            LiveEvent::Final(segment) => {
                self.turn.text = joined(&self.turn.text, &segment.text);
                let text = self.turn.text.clone();
                self.delta(&text).into_iter().collect()
            }
            LiveEvent::SpeechStopped { at_ms } => {
                self.turn.stopped_ms = at_ms + self.offset_ms;
                let stopped = json!({ "audio_end_ms": self.turn.stopped_ms, "item_id": self.item() });
                let committed = json!({ "item_id": self.item(), "previous_item_id": self.previous });
                vec![
                    self.event("input_audio_buffer.speech_stopped", stopped),
                    self.event("input_audio_buffer.committed", committed),
                ]
            }
            LiveEvent::TurnDone => {
                self.previous = Some(self.item());
                if self.turn.failed {
                    return Vec::new();
                }
                let seconds = self.turn.stopped_ms.saturating_sub(self.turn.started_ms) as f64 / 1000.0;
                let completed = json!({
                    "item_id": self.item(), "content_index": 0, "transcript": self.turn.text,
                    "usage": { "type": "duration", "seconds": seconds },
                });
                vec![self.event(COMPLETED, completed)]
            }
            LiveEvent::Failed { code, message } => {
                self.turn.failed = true;
                let error = json!({ "type": "server_error", "code": code, "message": message });
                let failed = json!({ "item_id": self.item(), "content_index": 0, "error": error });
                vec![self.event(FAILED, failed)]
            }
        }
    }

    fn item(&self) -> String {
        format!("item_{}_{}", self.session, self.turn.number)
    }

    /// What `text` has beyond what was told. Where it says something else than that, the whole text at the end puts it right.
    fn delta(&mut self, text: &str) -> Option<Value> {
        let delta = beyond(&self.turn.sent, text).filter(|more| !more.is_empty())?.to_owned();
        self.turn.sent.push_str(&delta);
        Some(self.event(DELTA, json!({ "item_id": self.item(), "content_index": 0, "delta": delta })))
    }
}

/// What `text` has after `sent`, if it begins with the same words: their case and punctuation may have changed.
fn beyond<'a>(sent: &str, text: &'a str) -> Option<&'a str> {
    if let Some(more) = text.strip_prefix(sent) {
        return Some(more);
    }
    let mut rest = text;
    for word in sent.split_whitespace() {
        let begins = rest.trim_start();
        let (next, after) = begins.split_at(begins.find(char::is_whitespace).unwrap_or(begins.len()));
        if !spoken(next).eq(spoken(word)) {
            return None;
        }
        rest = after;
    }
    Some(rest)
}

fn spoken(word: &str) -> impl Iterator<Item = char> {
    word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase)
}

fn joined(before: &str, after: &str) -> String {
    let space = if before.is_empty() || after.is_empty() { "" } else { " " };
    format!("{before}{space}{after}")
}

#[cfg(test)]
mod tests {
    use runtime::voice_processing::Segment;

    use super::*;

    fn last(text: &str) -> LiveEvent {
        LiveEvent::Final(Segment { text: text.to_owned(), ..Segment::default() })
    }

    fn partial(text: &str, committed: usize) -> LiveEvent {
        LiveEvent::Partial { start_ms: 0, text: text.to_owned(), committed }
    }

    fn of(events: Vec<LiveEvent>) -> Vec<Value> {
        let mut told = Told::new("s");
        told.offset_ms = 1_000;
        events.into_iter().flat_map(|event| told.of(event)).collect()
    }

    fn deltas(events: &[Value]) -> String {
        events
            .iter()
            .filter(|event| event["type"] == DELTA)
            .map(|event| event["delta"].as_str().unwrap())
            .collect()
    }

    #[test]
    fn deltas_are_what_is_settled_and_add_up_to_the_text() {
        let events = of(vec![
            LiveEvent::SpeechStarted { at_ms: 500 },
            partial("He was", 0),
            partial("He was not", 6),
            last("He was not an ill man."),
            partial("But", 0),
            LiveEvent::SpeechStopped { at_ms: 4_500 },
            last("But cold."),
            LiveEvent::TurnDone,
        ]);
        let completed = events.last().unwrap();
        assert_eq!(
            (&completed["type"], &completed["transcript"]),
            (&json!(COMPLETED), &json!("He was not an ill man. But cold."))
        );
        assert_eq!(deltas(&events), completed["transcript"].as_str().unwrap());
        assert_eq!(
            (&completed["usage"]["seconds"], &events[0]["audio_start_ms"]),
            (&json!(4.0), &json!(1_500))
        );
        let mut ids: Vec<_> = events.iter().map(|event| event["event_id"].as_str().unwrap()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), events.len());
        assert!(events.iter().all(|event| event["item_id"] == "item_s_1"), "{events:?}");
    }

    #[test]
    fn case_and_punctuation_that_change_hold_no_words_back() {
        let events = of(vec![
            LiveEvent::SpeechStarted { at_ms: 0 },
            partial("ever tried it", 10),
            LiveEvent::SpeechStopped { at_ms: 900 },
            last("Ever tried. Ever failed."),
            LiveEvent::TurnDone,
        ]);
        assert_eq!(deltas(&events), "ever tried Ever failed.");
        assert_eq!(events.last().unwrap()["transcript"], "Ever tried. Ever failed.");
    }

    #[test]
    fn what_turns_out_otherwise_is_put_right_at_the_end() {
        let events = of(vec![
            LiveEvent::SpeechStarted { at_ms: 0 },
            partial("He is old", 5),
            LiveEvent::SpeechStopped { at_ms: 900 },
            last("He was not."),
            LiveEvent::TurnDone,
        ]);
        assert_eq!(deltas(&events), "He is");
        assert_eq!(events.last().unwrap()["transcript"], "He was not.");
    }

    #[test]
    fn a_turn_that_failed_is_not_completed_and_the_next_knows_it() {
        let failed = LiveEvent::Failed { code: "UAT_UPSTREAM", message: "no".to_owned() };
        let events = of(vec![
            LiveEvent::SpeechStarted { at_ms: 0 },
            LiveEvent::SpeechStopped { at_ms: 900 },
            failed,
            LiveEvent::TurnDone,
            LiveEvent::SpeechStarted { at_ms: 2_000 },
            LiveEvent::SpeechStopped { at_ms: 2_900 },
        ]);
        assert!(events.iter().all(|event| event["type"] != COMPLETED), "{events:?}");
        assert_eq!(events.last().unwrap()["previous_item_id"], "item_s_1");
    }
}
