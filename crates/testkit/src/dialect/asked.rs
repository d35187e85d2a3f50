//! What of a request shapes its answer.

use serde_json::Value;

use super::Dialect;
use crate::behaviour::{Answer, Continuation};

/// What the path of a chat request says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChatRoute {
    pub(crate) dialect: Dialect,
    /// The model, where the path names it.
    pub(crate) model: Option<String>,
    /// Whether to stream, where the path says so.
    pub(crate) stream: Option<bool>,
    /// A stream is one JSON array instead of events: Gemini's, without `alt=sse`.
    pub(crate) array: bool,
}

impl ChatRoute {
    /// A path that says nothing but its dialect.
    pub(crate) fn plain(dialect: Dialect) -> Self {
        Self { dialect, model: None, stream: None, array: false }
    }
}

/// What of a chat request shapes the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) dialect: Dialect,
    pub(crate) model: String,
    pub(crate) stream: bool,
    pub(crate) array: bool,
    pub(crate) include_usage: bool,
    /// Number of the request, which makes the identifier of the answer.
    pub(crate) index: u64,
    /// The text of the last message, if that is an assistant's.
    prefix: Option<String>,
    /// vLLM's `continue_final_message` and `add_generation_prompt`.
    flags: (bool, Option<bool>),
    /// Bytes of the answer's text that the client has.
    pub(crate) covered: usize,
}

impl Asked {
    /// Reads a chat request's body; the error is a sentence for the client.
    pub(crate) fn read(route: &ChatRoute, body: &[u8], index: u64) -> Result<Self, String> {
        let ChatRoute { dialect, array, .. } = *route;
        let json: Value =
            serde_json::from_slice(body).map_err(|error| format!("the body is not JSON: {error}"))?;
        let named = || json.get("model").and_then(Value::as_str).map(str::to_owned);
        let model = route.model.clone().or_else(named).ok_or("`model` must be a string")?;
        let field = if dialect == Dialect::Gemini { "contents" } else { "messages" };
        let messages =
            json.get(field).and_then(Value::as_array).ok_or_else(|| format!("`{field}` must be an array"))?;
        check(dialect, &json, messages)?;
        // Ollama streams unless told otherwise, the others do not.
        let stream = json.get("stream").and_then(Value::as_bool).unwrap_or(dialect == Dialect::Ollama);
        let flag = |name: &str| json.get(name).and_then(Value::as_bool);
        Ok(Self {
            dialect,
            model,
            stream: route.stream.unwrap_or(stream),
            array,
            include_usage: json
                .pointer("/stream_options/include_usage")
                .and_then(Value::as_bool)
                .unwrap_or_default(),
            index,
            prefix: messages.last().and_then(assistants_text),
            flags: (flag("continue_final_message").unwrap_or_default(), flag("add_generation_prompt")),
            covered: 0,
        })
    }

    /// The same request, with what it has of this answer already; the error is a sentence for the client.
    pub(crate) fn of(self, answer: &Answer) -> Result<Self, String> {
        let openai = matches!(self.dialect, Dialect::OpenAi | Dialect::Azure);
        let continued = match (answer.continues, self.flags) {
            (Continuation::Never, _) => false,
            (Continuation::Vllm, (true, None | Some(true))) if openai => {
                return Err("Cannot set both `continue_final_message` and `add_generation_prompt` to True."
                    .to_owned());
            }
            (Continuation::Vllm, flags) if openai => flags == (true, Some(false)),
            _ => true,
        };
        let Some(prefix) = self.prefix.as_deref().filter(|_| continued) else { return Ok(self) };
        if self.dialect == Dialect::Anthropic && prefix.ends_with(char::is_whitespace) {
            return Err("messages: final assistant content cannot end with trailing whitespace".to_owned());
        }
        let covered = answer.covered_by(prefix);
        Ok(Self { covered, ..self })
    }

    #[cfg(test)]
    pub(crate) fn example(dialect: Dialect, stream: bool) -> Self {
        Self {
            dialect,
            model: "m".to_owned(),
            stream,
            array: false,
            include_usage: false,
            index: 1,
            prefix: None,
            flags: (false, None),
            covered: 0,
        }
    }
}

/// What the real servers refuse, and a client's author learns only from them.
fn check(dialect: Dialect, json: &Value, messages: &[Value]) -> Result<(), String> {
    let roles = || messages.iter().filter_map(|message| message.get("role").and_then(Value::as_str));
    match dialect {
        Dialect::Anthropic => {
            if json.get("max_tokens").and_then(Value::as_u64).is_none() {
                return Err("max_tokens: Field required".to_owned());
            }
            if messages.is_empty() {
                return Err("messages: at least one message is required".to_owned());
            }
            match roles().find(|role| !matches!(*role, "user" | "assistant")) {
                Some(role) => Err(format!("messages: Unexpected role \"{role}\"")),
                None => Ok(()),
            }
        }
        Dialect::Gemini => match roles().find(|role| !matches!(*role, "user" | "model" | "function")) {
            Some(_) => Err("Please use a valid role: user, model.".to_owned()),
            None => Ok(()),
        },
        Dialect::OpenAi | Dialect::Azure | Dialect::Ollama => Ok(()),
    }
}

/// The text of a message, if it is an assistant's.
fn assistants_text(message: &Value) -> Option<String> {
    if !matches!(message.get("role")?.as_str()?, "assistant" | "model") {
        return None;
    }
    let text = match message.get("content").or_else(|| message.get("parts"))? {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts
            .iter()
            .filter(|part| part.get("thought").is_none())
            .filter_map(|part| part.get("text").and_then(Value::as_str))
            .collect(),
        _ => return None,
    };
    Some(text)
}
