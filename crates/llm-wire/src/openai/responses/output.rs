//! The output of an answer, which grows with each chunk, and the events that say so.

use serde_json::{Value, json};

use super::chunk::Delta;
use super::events::{Events, TextDelta, TextDone, With};
use super::item::{Item, Part, Says, State, annotation};
use super::sealed;
use crate::openai::CallDelta;

/// All items. Those of reasoning and messages come one after the other: the next one ends the one before. Calls of
/// functions may grow at the same time, and end with the answer.
#[derive(Debug)]
pub(super) struct Output {
    /// What identifiers are made from.
    suffix: String,
    items: Vec<Item>,
    /// The reasoning or message that grows.
    open: Option<usize>,
    calls: Vec<Call>,
    /// Details of reasoning that came in the midst of a message, for the next item of reasoning.
    late: Vec<Value>,
}

/// A call by the index that its chunks have.
#[derive(Debug, Default)]
struct Call {
    index: u64,
    id: String,
    /// What came before its name did.
    arguments: String,
    /// Its item, once the name is known.
    at: Option<usize>,
}

impl Output {
    pub(super) fn new(suffix: String) -> Self {
        Self { suffix, items: Vec::new(), open: None, calls: Vec::new(), late: Vec::new() }
    }

    pub(super) fn documents(&self) -> Vec<Value> {
        self.items.iter().map(Item::document).collect()
    }

    /// The index of a call that was never given a name.
    pub(super) fn nameless(&self) -> Option<u64> {
        self.calls.iter().find(|call| call.at.is_none()).map(|call| call.index)
    }

    /// Ends every item; the last one as cut, if the answer is. An answer without a word is still an answer.
    pub(super) fn finish(&mut self, is_cut: bool, events: &mut Events<'_>) {
        if self.items.is_empty() {
            self.part(Part::text(), events);
        }
        let last = self.items.len().saturating_sub(1);
        if !self.late.is_empty() {
            let details = std::mem::take(&mut self.late);
            let cut = if is_cut { State::Incomplete } else { State::Completed };
            self.end_item(last, cut, events);
            self.begin_item(Says::Reasoning { text: String::new(), details }, events);
        }
        for at in 0..self.items.len() {
            let state = if at == last && is_cut { State::Incomplete } else { State::Completed };
            self.end_item(at, state, events);
        }
    }

    /// Leaves what grows as it is.
    pub(super) fn abandon(&mut self) {
        for item in self.items.iter_mut().filter(|item| item.state == State::InProgress) {
            item.state = State::Incomplete;
        }
    }

    pub(super) fn delta(&mut self, delta: Delta, logprobs: Vec<Value>, events: &mut Events<'_>) {
        let details = delta.reasoning_details.unwrap_or_default();
        let told = delta.reasoning_content.or(delta.reasoning).unwrap_or_default();
        if !told.is_empty() || !details.is_empty() {
            self.reason(&told, details, events);
        }
        let text = delta.content.unwrap_or_default();
        if !text.is_empty() || !logprobs.is_empty() {
            self.say(&text, logprobs, events);
        }
        for cited in delta.annotations.unwrap_or_default() {
            self.cite(annotation(cited), events);
        }
        if let Some(refusal) = delta.refusal.filter(|refusal| !refusal.is_empty()) {
            self.refuse(&refusal, events);
        }
        for (position, call) in delta.tool_calls.unwrap_or_default().into_iter().enumerate() {
            self.call(position, call, events);
        }
    }

    fn reason(&mut self, piece: &str, more: Vec<Value>, events: &mut Events<'_>) {
        let at = match self.open {
            Some(at) if self.items.get(at).is_some_and(Item::is_reasoning) => at,
            None | Some(_) if piece.is_empty() && !sealed::says_more(&more) => return,
            // What signs a text that is being told does not interrupt it.
            Some(_) if piece.is_empty() => return sealed::merge(&mut self.late, more),
            None | Some(_) => {
                let details = std::mem::take(&mut self.late);
                self.begin_item(Says::Reasoning { text: String::new(), details }, events)
            }
        };
        let Some(Item { id, says: Says::Reasoning { text, details }, .. }) = self.items.get_mut(at) else {
            return;
        };
        sealed::merge(details, more);
        if piece.is_empty() {
            return;
        }
        let place = json!({ "item_id": id, "output_index": at, "content_index": 0 });
        let begins = text.is_empty();
        text.push_str(piece);
        if begins {
            let part = json!({ "type": "reasoning_text", "text": "" });
            events.emit("response.content_part.added", &With { place: &place, name: "part", value: &part });
        }
        let delta = With { place: &place, name: "delta", value: &json!(piece) };
        events.emit("response.reasoning_text.delta", &delta);
    }

    fn say(&mut self, piece: &str, mut more: Vec<Value>, events: &mut Events<'_>) {
        let (at, index) = match self.open_part() {
            Some((at, index, Part::Text { .. })) => (at, index),
            _ => self.part(Part::text(), events),
        };
        let Some(Item { id, says: Says::Message { parts }, .. }) = self.items.get_mut(at) else { return };
        let delta =
            TextDelta { item_id: id, output_index: at, content_index: index, delta: piece, logprobs: &more };
        events.emit("response.output_text.delta", &delta);
        if let Some(Part::Text { text, logprobs, .. }) = parts.get_mut(index) {
            text.push_str(piece);
            logprobs.append(&mut more);
        }
    }

    fn cite(&mut self, cited: Value, events: &mut Events<'_>) {
        let (at, index) = match self.open_part() {
            Some((at, index, Part::Text { .. })) => (at, index),
            _ => self.part(Part::text(), events),
        };
        let Some(Item { id, says: Says::Message { parts }, .. }) = self.items.get_mut(at) else { return };
        let Some(Part::Text { annotations, .. }) = parts.get_mut(index) else { return };
        let place = json!({
            "item_id": id, "output_index": at, "content_index": index, "annotation_index": annotations.len(),
        });
        annotations.push(cited.clone());
        let event = With { place: &place, name: "annotation", value: &cited };
        events.emit("response.output_text.annotation.added", &event);
    }

    fn refuse(&mut self, piece: &str, events: &mut Events<'_>) {
        let (at, index) = match self.open_part() {
            Some((at, index, Part::Refusal(_))) => (at, index),
            _ => self.part(Part::Refusal(String::new()), events),
        };
        let Some(Item { id, says: Says::Message { parts }, .. }) = self.items.get_mut(at) else { return };
        let place = json!({ "item_id": id, "output_index": at, "content_index": index });
        if let Some(Part::Refusal(refusal)) = parts.get_mut(index) {
            refusal.push_str(piece);
        }
        events.emit("response.refusal.delta", &With { place: &place, name: "delta", value: &json!(piece) });
    }

    fn call(&mut self, position: usize, delta: CallDelta, events: &mut Events<'_>) {
        let index = delta.index.unwrap_or(position as u64);
        let id = delta.id.unwrap_or_default();
        let function = delta.function.unwrap_or_default();
        let name = function.name.unwrap_or_default();
        // Some servers give every call the same index; another name under another identifier is another call.
        let another =
            |call: &Call| !name.is_empty() && !id.is_empty() && !call.id.is_empty() && call.id != id;
        let known = self.calls.iter().rposition(|call| call.index == index && !another(call));
        let slot = known.unwrap_or_else(|| {
            self.calls.push(Call { index, ..Call::default() });
            self.calls.len() - 1
        });
        let Some(call) = self.calls.get_mut(slot) else { return };
        if call.id.is_empty() {
            call.id = id;
        }
        call.arguments.push_str(&function.arguments.unwrap_or_default());
        let at = match call.at {
            Some(at) => at,
            None if name.is_empty() => return,
            None => {
                let call_id = match call.id.as_str() {
                    "" => format!("call_{}_{slot}", self.suffix),
                    id => id.to_owned(),
                };
                let at = self.begin_item(Says::Call { call_id, name, arguments: String::new() }, events);
                // It does not keep texts from beginning.
                self.open = None;
                at
            }
        };
        let Some(call) = self.calls.get_mut(slot) else { return };
        call.at = Some(at);
        let piece = std::mem::take(&mut call.arguments);
        let Some(Item { id, says: Says::Call { arguments, .. }, .. }) = self.items.get_mut(at) else {
            return;
        };
        if piece.is_empty() {
            return;
        }
        arguments.push_str(&piece);
        let place = json!({ "item_id": id, "output_index": at });
        let delta = With { place: &place, name: "delta", value: &json!(piece) };
        events.emit("response.function_call_arguments.delta", &delta);
    }

    /// The part that grows, if a message is open.
    fn open_part(&self) -> Option<(usize, usize, &Part)> {
        let at = self.open?;
        match &self.items.get(at)?.says {
            Says::Message { parts } => Some((at, parts.len().checked_sub(1)?, parts.last()?)),
            Says::Reasoning { .. } | Says::Call { .. } => None,
        }
    }

    /// Begins a part in the open message, or in a new one.
    fn part(&mut self, part: Part, events: &mut Events<'_>) -> (usize, usize) {
        let at = match self.open_part() {
            Some((at, ..)) => {
                self.end_part(at, events);
                at
            }
            None => self.begin_item(Says::Message { parts: Vec::new() }, events),
        };
        let Some(Item { id, says: Says::Message { parts }, .. }) = self.items.get_mut(at) else {
            return (at, 0);
        };
        let index = parts.len();
        let document = part.document();
        parts.push(part);
        let place = json!({ "item_id": id, "output_index": at, "content_index": index });
        events.emit("response.content_part.added", &With { place: &place, name: "part", value: &document });
        (at, index)
    }

    fn begin_item(&mut self, says: Says, events: &mut Events<'_>) -> usize {
        if let Some(open) = self.open {
            self.end_item(open, State::Completed, events);
        }
        let at = self.items.len();
        let item = Item::begin(says, &self.suffix, at);
        if events.wanted() {
            let place = json!({ "output_index": at });
            let added = With { place: &place, name: "item", value: &item.document() };
            events.emit("response.output_item.added", &added);
        }
        self.items.push(item);
        self.open = Some(at);
        at
    }

    /// Ends the part of a message that grows.
    fn end_part(&mut self, at: usize, events: &mut Events<'_>) {
        if !events.wanted() {
            return;
        }
        let Some(Item { id, says: Says::Message { parts }, .. }) = self.items.get(at) else { return };
        let Some(part) = parts.last() else { return };
        let place = json!({ "item_id": id, "output_index": at, "content_index": parts.len() - 1 });
        let document = part.document();
        match part {
            Part::Text { text, logprobs, .. } => {
                let ended = TextDone { place: &place, text, logprobs };
                events.emit("response.output_text.done", &ended);
            }
            Part::Refusal(refusal) => {
                let ended = With { place: &place, name: "refusal", value: &json!(refusal) };
                events.emit("response.refusal.done", &ended);
            }
        }
        events.emit("response.content_part.done", &With { place: &place, name: "part", value: &document });
    }

    fn end_item(&mut self, at: usize, state: State, events: &mut Events<'_>) {
        if self.open == Some(at) {
            self.open = None;
        }
        match self.items.get(at) {
            Some(Item { state: State::InProgress, .. }) => {}
            _ => return,
        }
        self.end_part(at, events);
        let Some(item) = self.items.get_mut(at) else { return };
        item.state = state;
        if !events.wanted() {
            return;
        }
        let whole = item.document();
        match &item.says {
            Says::Message { .. } => {}
            Says::Reasoning { text, .. } if text.is_empty() => {}
            Says::Reasoning { text, .. } => {
                let place = json!({ "item_id": item.id, "output_index": at, "content_index": 0 });
                let part = json!({ "type": "reasoning_text", "text": text });
                let ended = With { place: &place, name: "text", value: &json!(text) };
                events.emit("response.reasoning_text.done", &ended);
                let ended = With { place: &place, name: "part", value: &part };
                events.emit("response.content_part.done", &ended);
            }
            Says::Call { name, arguments, .. } => {
                let place = json!({ "item_id": item.id, "output_index": at, "name": name });
                let ended = With { place: &place, name: "arguments", value: &json!(arguments) };
                events.emit("response.function_call_arguments.done", &ended);
            }
        }
        let place = json!({ "output_index": at });
        events.emit("response.output_item.done", &With { place: &place, name: "item", value: &whole });
    }
}
