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

/// A token and its probability, as OpenAI writes them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TokenLogprob {
    /// Its text; what is no whole character in it is U+FFFD.
    pub token: String,
    /// Natural logarithm of its probability.
    pub logprob: f32,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The likeliest tokens at its place; `None` in that list itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_logprobs: Option<Vec<TokenLogprob>>,
}

#[derive(Serialize)]
struct Logprobs<'a> {
    content: &'a [TokenLogprob],
}

#[derive(Serialize)]
struct ChunkChoice<'a> {
    index: u32,
    delta: DeltaDocument<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Logprobs<'a>>,
    finish_reason: Option<&'a str>,
}

/// One `chat.completion.chunk`. `created` is in seconds since 1970; `finish` is `stop`, `length` or `tool_calls`.
pub fn chunk(id: &str, model: &str, created: u64, delta: Delta<'_>, finish: Option<&str>) -> Bytes {
    choice_chunk(id, model, created, 0, delta, None, finish)
}

/// The same for one of several choices, with the probabilities of its tokens where they were asked for.
pub fn choice_chunk(
    id: &str,
    model: &str,
    created: u64,
    index: u32,
    delta: Delta<'_>,
    logprobs: Option<&[TokenLogprob]>,
    finish: Option<&str>,
) -> Bytes {
    let empty = DeltaDocument::default();
    let delta = match delta {
        Delta::Role => DeltaDocument { role: Some("assistant"), content: Some(""), ..empty },
        Delta::Content(text) => DeltaDocument { content: Some(text), ..empty },
        Delta::Reasoning(text) => DeltaDocument { reasoning_content: Some(text), ..empty },
        Delta::ToolCalls(calls) => DeltaDocument { tool_calls: Some(calls), ..empty },
        Delta::Empty => empty,
    };
    let logprobs = logprobs.map(|content| Logprobs { content });
    let choices = [ChunkChoice { index, delta, logprobs, finish_reason: finish }];
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

/// One choice of a complete answer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Answer<'a> {
    /// The text; `None` where only tools are called.
    pub content: Option<&'a str>,
    /// The reasoning before it.
    pub reasoning: Option<&'a str>,
    /// Calls of tools, as OpenAI writes them.
    pub tool_calls: &'a [Value],
    /// The probabilities of its tokens.
    pub logprobs: Option<&'a [TokenLogprob]>,
    /// `stop`, `length` or `tool_calls`.
    pub finish: &'a str,
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
    index: usize,
    message: MessageDocument<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Logprobs<'a>>,
    finish_reason: &'a str,
}

/// A complete answer of these choices. `created` is in seconds since 1970.
pub fn answer(id: &str, model: &str, created: u64, answers: &[Answer<'_>], usage: Usage) -> Bytes {
    fn choice<'a>((index, answer): (usize, &Answer<'a>)) -> Choice<'a> {
        let Answer { content, reasoning, tool_calls, logprobs, finish } = *answer;
        Choice {
            index,
            message: MessageDocument { role: "assistant", content, reasoning_content: reasoning, tool_calls },
            logprobs: logprobs.map(|content| Logprobs { content }),
            finish_reason: finish,
        }
    }
    let choices: Vec<Choice<'_>> = answers.iter().enumerate().map(choice).collect();
    let object = "chat.completion";
    json::encode(&Document { id, object, created, model, choices: &choices, usage: Some(usage) })
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
