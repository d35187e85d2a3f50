//! Writing chunks, answers and model lists.

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use super::chunk::Usage;
use crate::json;

/// What a chunk adds to the answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Delta<'a> {
    /// The first chunk of a stream: the assistant begins to speak.
    Role,
    /// A piece of the text.
    Content(&'a str),
    /// A piece of the reasoning before it, as `reasoning_content`.
    Reasoning(&'a str),
    /// Calls of tools, as OpenAI writes them, each with its `index`.
    ToolCalls(&'a [Value]),
    /// Nothing: the chunk of a finish reason.
    Empty,
}

#[derive(Serialize, Default)]
struct DeltaDocument<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<&'a [Value]>,
}

#[derive(Serialize)]
struct Document<'a, C: Serialize> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: &'a [C],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
}

#[derive(Serialize)]
struct ChunkChoice<'a> {
    index: u32,
    delta: DeltaDocument<'a>,
    finish_reason: Option<&'a str>,
}

/// One `chat.completion.chunk`. `created` is in seconds since 1970; `finish` is `stop`, `length` or `tool_calls`.
pub fn chunk(id: &str, model: &str, created: u64, delta: Delta<'_>, finish: Option<&str>) -> Bytes {
    let empty = DeltaDocument::default();
    let delta = match delta {
        Delta::Role => DeltaDocument { role: Some("assistant"), content: Some(""), ..empty },
        Delta::Content(text) => DeltaDocument { content: Some(text), ..empty },
        Delta::Reasoning(text) => DeltaDocument { reasoning_content: Some(text), ..empty },
        Delta::ToolCalls(calls) => DeltaDocument { tool_calls: Some(calls), ..empty },
        Delta::Empty => empty,
    };
    let choices = [ChunkChoice { index: 0, delta, finish_reason: finish }];
    json::encode(&Document {
        id,
        object: "chat.completion.chunk",
        created,
        model,
        choices: &choices,
        usage: None,
    })
}

/// The chunk after the last choice, which carries the usage and no choices.
pub fn usage_chunk(id: &str, model: &str, created: u64, usage: Usage) -> Bytes {
    let choices: [ChunkChoice<'_>; 0] = [];
    let object = "chat.completion.chunk";
    json::encode(&Document { id, object, created, model, choices: &choices, usage: Some(usage) })
}

/// The parts of a complete answer of one choice.
#[derive(Default)]
pub(crate) struct Answer<'a> {
    pub(crate) content: Option<&'a str>,
    pub(crate) reasoning: Option<&'a str>,
    pub(crate) tool_calls: &'a [Value],
    pub(crate) finish: &'a str,
    pub(crate) usage: Usage,
}

#[derive(Serialize)]
struct MessageDocument<'a> {
    role: &'static str,
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "<[Value]>::is_empty")]
    tool_calls: &'a [Value],
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    message: MessageDocument<'a>,
    finish_reason: &'a str,
}

/// A complete answer of one choice.
pub(crate) fn answer(id: &str, model: &str, created: u64, answer: &Answer<'_>) -> Bytes {
    let message = MessageDocument {
        role: "assistant",
        content: answer.content,
        reasoning_content: answer.reasoning,
        tool_calls: answer.tool_calls,
    };
    let choices = [Choice { index: 0, message, finish_reason: answer.finish }];
    let object = "chat.completion";
    json::encode(&Document { id, object, created, model, choices: &choices, usage: Some(answer.usage) })
}

/// A complete answer of text. `created` is in seconds since 1970; `finish` is `stop` or `length`.
pub fn completion(id: &str, model: &str, created: u64, content: &str, finish: &str, usage: Usage) -> Bytes {
    answer(id, model, created, &Answer { content: Some(content), finish, usage, ..Answer::default() })
}

/// One entry of `GET /v1/models`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelEntry {
    /// The public name.
    pub id: String,
    /// When it came to be, in seconds since 1970.
    pub created: u64,
    /// Who serves it.
    pub owned_by: String,
}

/// The body of `GET /v1/models`.
pub fn model_list(models: &[ModelEntry]) -> Bytes {
    #[derive(Serialize)]
    struct Entry<'a> {
        object: &'static str,
        #[serde(flatten)]
        model: &'a ModelEntry,
    }
    #[derive(Serialize)]
    struct List<'a> {
        object: &'static str,
        data: Vec<Entry<'a>>,
    }
    let data = models.iter().map(|model| Entry { object: "model", model }).collect();
    json::encode(&List { object: "list", data })
}
