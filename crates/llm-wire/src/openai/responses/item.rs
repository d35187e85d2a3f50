//! One item of an answer, as far as it has come.

use serde_json::{Value, json};

use super::sealed;

/// One item of the output.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) says: Says,
    pub(super) state: State,
}

#[derive(Debug)]
pub(super) enum Says {
    Reasoning { text: String, details: Vec<Value> },
    Message { parts: Vec<Part> },
    Call { call_id: String, name: String, arguments: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    InProgress,
    Completed,
    Incomplete,
}

/// One part of a message.
#[derive(Debug)]
pub(super) enum Part {
    Text { text: String, logprobs: Vec<Value>, annotations: Vec<Value> },
    Refusal(String),
}

impl Part {
    pub(super) fn text() -> Self {
        Self::Text { text: String::new(), logprobs: Vec::new(), annotations: Vec::new() }
    }

    pub(super) fn document(&self) -> Value {
        match self {
            Self::Text { text, logprobs, annotations } => json!({
                "type": "output_text",
                "annotations": annotations,
                "logprobs": logprobs,
                "text": text,
            }),
            Self::Refusal(refusal) => json!({ "type": "refusal", "refusal": refusal }),
        }
    }
}

impl Item {
    /// What begins in an item, which its identifier tells.
    pub(super) fn begin(says: Says, suffix: &str, index: usize) -> Self {
        let kind = match says {
            Says::Reasoning { .. } => "rs",
            Says::Message { .. } => "msg",
            Says::Call { .. } => "fc",
        };
        Self { id: format!("{kind}_{suffix}_{index}"), says, state: State::InProgress }
    }

    pub(super) fn is_reasoning(&self) -> bool {
        matches!(self.says, Says::Reasoning { .. })
    }

    pub(super) fn document(&self) -> Value {
        let (id, status) = (&self.id, self.status());
        match &self.says {
            Says::Reasoning { text, details } => {
                let content: Vec<Value> = Some(text)
                    .filter(|text| !text.is_empty())
                    .map(|text| json!({ "type": "reasoning_text", "text": text }))
                    .into_iter()
                    .collect();
                let sealed = sealed::says_more(details).then(|| sealed::close(details));
                json!({
                    "id": id, "type": "reasoning", "status": status, "summary": [], "content": content,
                    "encrypted_content": sealed,
                })
            }
            Says::Message { parts } => {
                let content: Vec<Value> = parts.iter().map(Part::document).collect();
                json!({ "id": id, "type": "message", "status": status, "role": "assistant", "content": content })
            }
            Says::Call { call_id, name, arguments } => json!({
                "id": id, "type": "function_call", "status": status, "call_id": call_id, "name": name,
                "arguments": arguments,
            }),
        }
    }

    fn status(&self) -> &'static str {
        match self.state {
            State::InProgress => "in_progress",
            State::Completed => "completed",
            State::Incomplete => "incomplete",
        }
    }
}

/// A chat's citation, whose fields stand one level deeper there; anything else as it is.
pub(super) fn annotation(annotation: Value) -> Value {
    match annotation.get("url_citation") {
        Some(Value::Object(citation)) => {
            let mut flat = json!({ "type": "url_citation" });
            if let Value::Object(flat) = &mut flat {
                flat.extend(citation.clone());
            }
            flat
        }
        _ => annotation,
    }
}
