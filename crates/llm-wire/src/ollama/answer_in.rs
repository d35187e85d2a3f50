//! An Ollama server's answer, as OpenAI's chunks or completion.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::openai::{Answer, Delta, Usage, answer, chunk, usage_chunk};
use crate::{WireError, json};

/// Translates the lines of one streamed answer.
#[derive(Debug)]
pub struct ToOpenAi {
    id: String,
    model: String,
    created: u64,
    include_usage: bool,
    started: bool,
    finished: bool,
    tool_calls: usize,
}

/// One line of a stream, or a complete answer; they have the same fields.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    message: Option<LineMessage>,
    #[serde(default)]
    done: bool,
    #[serde(default)]
    done_reason: Option<String>,
    #[serde(default)]
    prompt_eval_count: Option<u64>,
    #[serde(default)]
    eval_count: Option<u64>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize, Default)]
struct LineMessage {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    thinking: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<LineCall>>,
}

#[derive(Deserialize)]
struct LineCall {
    #[serde(default)]
    id: Option<String>,
    function: LineFunction,
}

#[derive(Deserialize)]
struct LineFunction {
    name: String,
    #[serde(default)]
    arguments: Value,
}

impl Line {
    fn usage(&self) -> Usage {
        // Ollama leaves a count of zero out.
        let prompt_tokens = self.prompt_eval_count.unwrap_or(0);
        let completion_tokens = self.eval_count.unwrap_or(0);
        let total_tokens = prompt_tokens.saturating_add(completion_tokens);
        Usage { prompt_tokens, completion_tokens, total_tokens, prompt_tokens_details: None }
    }

    fn finish(&self, called_tools: bool) -> &'static str {
        match self.done_reason.as_deref() {
            Some("length") => "length",
            _ if called_tools => "tool_calls",
            // `load` and `unload` answer a request without messages; OpenAI's clients know no such reasons.
            _ => "stop",
        }
    }
}

impl ToOpenAi {
    /// A translation whose chunks carry this `id`, `model` and `created` (seconds since 1970), and that ends with a
    /// usage chunk if asked to.
    pub fn new(id: String, model: String, created: u64, include_usage: bool) -> Self {
        Self { id, model, created, include_usage, started: false, finished: false, tool_calls: 0 }
    }

    /// The chunks that one line of the answer becomes. An error in the stream becomes a chunk with OpenAI's error
    /// object, which [`chunk_facts`](crate::openai::chunk_facts) reports.
    ///
    /// # Errors
    /// [`WireError::Json`] where the line is not one of Ollama's.
    pub fn line(&mut self, line: &[u8]) -> Result<Vec<Bytes>, WireError> {
        let mut line: Line = json::decode(line)?;
        if let Some(error) = line.error.take() {
            return Ok(vec![error_chunk(&error)]);
        }
        let mut chunks = Vec::with_capacity(2);
        if !std::mem::replace(&mut self.started, true) {
            chunks.push(self.chunk(Delta::Role, None));
        }
        let message = line.message.take().unwrap_or_default();
        if let Some(thinking) = message.thinking.filter(|thinking| !thinking.is_empty()) {
            chunks.push(self.chunk(Delta::Reasoning(&thinking), None));
        }
        if let Some(content) = message.content.filter(|content| !content.is_empty()) {
            chunks.push(self.chunk(Delta::Content(&content), None));
        }
        let first = self.tool_calls;
        let calls = translate_calls(message.tool_calls.unwrap_or_default(), &self.id, first, true);
        if !calls.is_empty() {
            self.tool_calls += calls.len();
            chunks.push(self.chunk(Delta::ToolCalls(&calls), None));
        }
        if line.done && !std::mem::replace(&mut self.finished, true) {
            chunks.push(self.chunk(Delta::Empty, Some(line.finish(self.tool_calls > 0))));
            if self.include_usage {
                chunks.push(usage_chunk(&self.id, &self.model, self.created, line.usage()));
            }
        }
        Ok(chunks)
    }

    /// Whether the line that ends an answer has come; a stream that ends without it was cut.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// The completion that an answer without streaming becomes; an error in it becomes OpenAI's error object.
    ///
    /// # Errors
    /// [`WireError::Json`] where it is not one of Ollama's, [`WireError::Invalid`] where it has no message.
    pub fn completion(line: &[u8], id: &str, model: &str, created: u64) -> Result<Bytes, WireError> {
        let mut line: Line = json::decode(line)?;
        if let Some(error) = line.error.take() {
            return Ok(error_chunk(&error));
        }
        let Some(message) = line.message.take() else {
            return Err(WireError::invalid("message", "an object", "nothing"));
        };
        let calls = translate_calls(message.tool_calls.unwrap_or_default(), id, 0, false);
        let content = message.content.filter(|content| calls.is_empty() || !content.is_empty());
        let thinking = message.thinking.filter(|thinking| !thinking.is_empty());
        let finish = line.finish(!calls.is_empty());
        Ok(answer(
            id,
            model,
            created,
            &[Answer {
                content: content.as_deref(),
                reasoning: thinking.as_deref(),
                tool_calls: &calls,
                logprobs: None,
                finish,
            }],
            line.usage(),
        ))
    }

    fn chunk(&self, delta: Delta<'_>, finish: Option<&str>) -> Bytes {
        chunk(&self.id, &self.model, self.created, delta, finish)
    }
}

/// Ollama's calls in OpenAI's words; those of a stream carry their index. Identifiers that Ollama leaves out are made
/// from the answer's, so that they are unique in a conversation.
fn translate_calls(calls: Vec<LineCall>, answer_id: &str, first: usize, streamed: bool) -> Vec<Value> {
    calls
        .into_iter()
        .enumerate()
        .map(|(position, LineCall { id, function })| {
            let index = first + position;
            let id = id.filter(|id| !id.is_empty()).unwrap_or_else(|| format!("call_{answer_id}_{index}"));
            let arguments = match function.arguments {
                Value::Null => "{}".to_owned(),
                arguments => arguments.to_string(),
            };
            let function = json!({ "name": function.name, "arguments": arguments });
            if streamed {
                json!({ "index": index, "id": id, "type": "function", "function": function })
            } else {
                json!({ "id": id, "type": "function", "function": function })
            }
        })
        .collect()
}

/// OpenAI's error object for an error of Ollama's.
pub(super) fn error_chunk(error: &Value) -> Bytes {
    match error {
        Value::String(message) => json::encode(&json!({
            "error": { "message": message, "type": "upstream_error", "param": null, "code": null }
        })),
        other => json::encode(&json!({ "error": other })),
    }
}
