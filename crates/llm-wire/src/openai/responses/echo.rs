//! What a response repeats of its request.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::chunk::Usage;

/// The fields of a response that say what was asked. Cloning copies tools and instructions.
#[derive(Clone)]
pub struct Echo(Map<String, Value>);

impl fmt::Debug for Echo {
    /// Without the values: instructions do not belong in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Echo").field("model", &self.0.get("model")).finish_non_exhaustive()
    }
}

impl Echo {
    /// Everything as it is where the request says nothing. A temperature that was left to the endpoint is null.
    pub(super) fn new(
        model: Option<&Value>,
        instructions: Option<Value>,
        tools: Option<&Value>,
        choice: Option<&Value>,
    ) -> Self {
        let fields = json!({
            "background": false,
            "instructions": instructions,
            "max_output_tokens": null,
            "max_tool_calls": null,
            "metadata": {},
            "model": model,
            "parallel_tool_calls": true,
            "previous_response_id": null,
            "prompt_cache_key": null,
            "prompt_cache_retention": null,
            "reasoning": { "effort": null, "summary": null },
            "safety_identifier": null,
            "store": false,
            "temperature": null,
            "text": { "format": { "type": "text" }, "verbosity": "medium" },
            "tool_choice": choice.unwrap_or(&json!("auto")),
            "tools": tools.and_then(Value::as_array).map(|tools| tools.iter().map(tool).collect()).unwrap_or(json!([])),
            "top_logprobs": 0,
            "top_p": null,
            "truncation": "disabled",
            "user": null,
        });
        match fields {
            Value::Object(fields) => Self(fields),
            _ => Self(Map::new()),
        }
    }

    /// Repeats a field, if it is one that responses have.
    pub(super) fn repeat(&mut self, name: &str, value: &Value) {
        if let Some(slot) = self.0.get_mut(name) {
            slot.clone_from(value);
        }
    }

    /// The same for a field of an object.
    pub(super) fn repeat_in(&mut self, object: &str, name: &str, value: &Value) {
        if let Some(Value::Object(object)) = self.0.get_mut(object) {
            object.insert(name.to_owned(), value.clone());
        }
    }
}

/// A function with the fields that clients expect of each.
fn tool(tool: &Value) -> Value {
    let mut tool = tool.clone();
    if let Value::Object(fields) = &mut tool {
        for name in ["description", "parameters", "strict"] {
            fields.entry(name).or_insert(Value::Null);
        }
    }
    tool
}

/// What becomes of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    InProgress,
    Completed,
    /// Cut for this reason.
    Incomplete(&'static str),
    Failed,
}

impl Status {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete(_) => "incomplete",
            Self::Failed => "failed",
        }
    }
}

/// A whole response.
#[derive(Serialize)]
pub(super) struct Document<'a> {
    id: &'a str,
    object: &'static str,
    created_at: u64,
    status: &'static str,
    completed_at: Option<u64>,
    error: Option<Error<'a>>,
    incomplete_details: Option<Value>,
    output: &'a [Value],
    usage: Option<Usage>,
    service_tier: Option<&'a str>,
    #[serde(flatten)]
    echo: &'a Map<String, Value>,
}

/// Why a response failed: one of OpenAI's few codes for that, and what happened.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Error<'a> {
    pub(super) code: &'static str,
    pub(super) message: &'a str,
}

/// What a response says beside its echo.
#[derive(Debug, Clone, Copy)]
pub(super) struct Said<'a> {
    pub(super) id: &'a str,
    pub(super) created_at: u64,
    pub(super) status: Status,
    pub(super) completed_at: Option<u64>,
    pub(super) error: Option<Error<'a>>,
    pub(super) output: &'a [Value],
    pub(super) usage: Option<Usage>,
    pub(super) service_tier: Option<&'a str>,
}

impl<'a> Document<'a> {
    pub(super) fn new(said: Said<'a>, Echo(echo): &'a Echo) -> Self {
        let Said { id, created_at, status, completed_at, error, output, usage, service_tier } = said;
        let incomplete_details = match status {
            Status::Incomplete(reason) => Some(json!({ "reason": reason })),
            Status::InProgress | Status::Completed | Status::Failed => None,
        };
        Self {
            id,
            object: "response",
            created_at,
            status: status.name(),
            completed_at,
            error,
            incomplete_details,
            output,
            usage,
            service_tier,
            echo,
        }
    }
}
