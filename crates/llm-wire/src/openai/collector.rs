//! One complete answer out of the chunks of a stream.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::{WireError, json};

/// Most bytes of chunks that one answer may have unless said otherwise: far above any model's longest answer, below
/// what a runaway stream would take from the machine.
const DEFAULT_LIMIT: usize = 64 << 20;

/// Collects the chunks of a stream into one completion body: text, reasoning and refusal are joined, tool calls are
/// merged by their index, log probabilities are joined, and the last value of everything else counts.
#[derive(Debug)]
pub struct ChunkCollector {
    head: Map<String, Value>,
    choices: BTreeMap<u64, Choice>,
    usage: Option<Value>,
    limit: usize,
    taken: usize,
}

#[derive(Debug, Default)]
struct Choice {
    message: Map<String, Value>,
    tool_calls: BTreeMap<u64, Map<String, Value>>,
    logprobs: Map<String, Value>,
    finish_reason: Value,
    other: Map<String, Value>,
}

impl Default for ChunkCollector {
    fn default() -> Self {
        Self::new()
    }
}

impl ChunkCollector {
    /// A collector that takes 64 MiB of chunks.
    pub fn new() -> Self {
        Self::with_limit(DEFAULT_LIMIT)
    }

    /// A collector that takes `max_bytes` of chunks.
    pub fn with_limit(max_bytes: usize) -> Self {
        Self { head: Map::new(), choices: BTreeMap::new(), usage: None, limit: max_bytes, taken: 0 }
    }

    /// Takes the next chunk, without its framing.
    ///
    /// # Errors
    /// [`WireError::Json`] where it is not a chunk, [`WireError::Invalid`] where it is an error,
    /// [`WireError::TooLarge`] where the chunks exceed the limit.
    pub fn push(&mut self, data: &[u8]) -> Result<(), WireError> {
        self.taken = self.taken.saturating_add(data.len());
        if self.taken > self.limit {
            return Err(WireError::TooLarge { what: "a streamed answer", limit: self.limit });
        }
        let chunk: Map<String, Value> = json::decode(data)?;
        for (key, value) in chunk {
            match (key.as_str(), value) {
                ("choices", Value::Array(choices)) => {
                    for (index, choice) in choices.into_iter().enumerate() {
                        self.choice(index, choice)?;
                    }
                }
                ("choices" | "usage" | "error", Value::Null) => {}
                ("choices", other) => {
                    return Err(WireError::invalid("choices", "an array", json::shown_tree(&other)));
                }
                ("error", error) => {
                    let message = super::error::from_value(&error).message;
                    return Err(WireError::invalid("error", "a chunk of the answer", message));
                }
                ("usage", usage) => self.usage = Some(usage),
                // The answer is of another kind than its chunks.
                ("object", _) => {}
                (_, value) => _ = self.head.insert(key, value),
            }
        }
        Ok(())
    }

    fn choice(&mut self, position: usize, choice: Value) -> Result<(), WireError> {
        let Value::Object(choice) = choice else {
            let field = format!("choices[{position}]");
            return Err(WireError::invalid(field, "an object", json::shown_tree(&choice)));
        };
        let index = choice.get("index").and_then(Value::as_u64).unwrap_or(0);
        let collected = self.choices.entry(index).or_default();
        for (key, value) in choice {
            match (key.as_str(), value) {
                ("delta", Value::Object(delta)) => collected.delta(delta),
                ("logprobs", Value::Object(logprobs)) => merge(&mut collected.logprobs, logprobs),
                ("finish_reason", reason) if !reason.is_null() => collected.finish_reason = reason,
                ("index" | "delta" | "logprobs" | "finish_reason", _) => {}
                (_, value) => _ = collected.other.insert(key, value),
            }
        }
        Ok(())
    }

    /// Whether every choice seen has its finish reason.
    pub fn is_finished(&self) -> bool {
        !self.choices.is_empty() && self.choices.values().all(|choice| !choice.finish_reason.is_null())
    }

    /// The completion body. Whether the stream was complete is the caller's to know: see
    /// [`is_finished`](Self::is_finished).
    pub fn finish(self) -> Bytes {
        let mut body = Map::new();
        let mut head = self.head;
        body.insert("id".to_owned(), head.remove("id").unwrap_or(Value::Null));
        body.insert("object".to_owned(), json!("chat.completion"));
        body.append(&mut head);
        let choices = self.choices.into_iter().map(|(index, choice)| choice.finish(index)).collect();
        body.insert("choices".to_owned(), Value::Array(choices));
        if let Some(usage) = self.usage {
            body.insert("usage".to_owned(), usage);
        }
        json::encode(&body)
    }
}

impl Choice {
    fn delta(&mut self, mut delta: Map<String, Value>) {
        if let Some(Value::Array(calls)) = delta.remove("tool_calls") {
            for call in calls {
                let Value::Object(mut call) = call else { continue };
                // Without an index, as some backends send whole calls, each stands for itself.
                let index = call.remove("index").and_then(|index| index.as_u64());
                let next = self.tool_calls.len() as u64;
                merge(self.tool_calls.entry(index.unwrap_or(next)).or_default(), call);
            }
        }
        // The role comes once, or in every chunk; it is not text to join.
        if let Some(role) = delta.remove("role").filter(|role| !role.is_null()) {
            self.message.insert("role".to_owned(), role);
        }
        merge(&mut self.message, delta);
    }

    fn finish(mut self, index: u64) -> Value {
        let mut message = Map::new();
        message.insert("role".to_owned(), self.message.remove("role").unwrap_or(json!("assistant")));
        message.insert("content".to_owned(), self.message.remove("content").unwrap_or(Value::Null));
        message.append(&mut self.message);
        if !self.tool_calls.is_empty() {
            if message.get("content") == Some(&json!("")) {
                message.insert("content".to_owned(), Value::Null);
            }
            let calls = self.tool_calls.into_values().map(Value::Object).collect();
            message.insert("tool_calls".to_owned(), Value::Array(calls));
        }
        let mut choice = Map::new();
        choice.insert("index".to_owned(), json!(index));
        choice.insert("message".to_owned(), Value::Object(message));
        if !self.logprobs.is_empty() {
            choice.insert("logprobs".to_owned(), Value::Object(self.logprobs));
        }
        choice.insert("finish_reason".to_owned(), self.finish_reason);
        choice.append(&mut self.other);
        Value::Object(choice)
    }
}

/// Adds one delta to what was collected: pieces of text are joined, lists are continued, objects are merged, and of
/// everything else the last value counts. Identifiers and names come whole.
fn merge(into: &mut Map<String, Value>, delta: Map<String, Value>) {
    for (key, value) in delta {
        match (into.get_mut(&key), value) {
            (_, Value::Null) => {}
            (Some(Value::String(_)), Value::String(whole))
                if matches!(key.as_str(), "id" | "type" | "name") =>
            {
                if !whole.is_empty() {
                    into.insert(key, Value::String(whole));
                }
            }
            (Some(Value::String(text)), Value::String(piece)) => text.push_str(&piece),
            (Some(Value::Array(list)), Value::Array(mut more)) => list.append(&mut more),
            (Some(Value::Object(object)), Value::Object(more)) => merge(object, more),
            (_, value) => _ = into.insert(key, value),
        }
    }
}
