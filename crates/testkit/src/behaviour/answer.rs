//! A correct answer: what it says, in which pieces, and how fast.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::millis;

/// A correct answer and its pace. It is sent in this order: reasoning, text, tool calls.
///
/// A "content chunk" is one piece of any of these; in the faults that happen after so many, all of them count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Answer {
    /// The whole text. Absent: `chunks` numbered words, in which a missing or doubled piece is easy to see.
    pub text: Option<String>,
    /// Chunks that a stream's text is sent in. A text with fewer characters is sent in as many chunks as it has.
    pub chunks: usize,
    /// Time from the head and the role to the first content. Without a stream: part of the time before the answer.
    #[serde(rename = "first_token_delay_ms", with = "millis")]
    pub first_token_delay: Duration,
    /// Time between two content chunks. Without a stream the answer comes after the sum of them.
    #[serde(rename = "between_chunks_ms", with = "millis")]
    pub between_chunks: Duration,
    /// What the model thinks before it speaks, one chunk per word: `reasoning_content`, thinking, a thought.
    pub reasoning: Option<String>,
    /// Calls of tools. With a text of none (`chunks: 0`), as most models do, they are all that is sent.
    pub tool_calls: Vec<ToolCall>,
    /// The pieces of the calls' arguments take turns, instead of one call after the other. Gemini and Ollama send whole
    /// calls, in the order in which they are complete.
    pub interleaved: bool,
    /// What the answer says that it cost.
    pub usage: Tokens,
    /// Why it ended, in OpenAI's words, which the other dialects translate: `stop`, `length`, `tool_calls`,
    /// `content_filter`; any other word is sent as it is, and of an empty one nothing. Absent: what is true.
    pub finish_reason: Option<String>,
    /// Whether a request whose last message is an assistant's gets only what that message lacks.
    pub continues: Continuation,
}

/// One call of a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    /// The tool's name.
    pub name: String,
    /// The arguments, as the model wrote them: right JSON or not. A dialect that sends an object gets a string of what is
    /// not JSON.
    #[serde(default = "no_arguments")]
    pub arguments: String,
    /// Identifier of the call. Absent: `call_0`, `call_1`, ... (`toolu_0`, ... in Anthropic's dialect).
    #[serde(default)]
    pub id: Option<String>,
    /// Chunks that the arguments are streamed in, after one that carries the name; 0: all in that one.
    #[serde(default = "one")]
    pub pieces: usize,
}

impl ToolCall {
    /// A call with these arguments, which are streamed in one piece.
    #[must_use]
    pub fn new(name: impl Into<String>, arguments: impl Into<String>) -> Self {
        Self { name: name.into(), arguments: arguments.into(), id: None, pieces: 1 }
    }

    /// The same call, its arguments in so many pieces.
    #[must_use]
    pub fn in_pieces(self, pieces: usize) -> Self {
        Self { pieces, ..self }
    }

    /// The same call with this identifier.
    #[must_use]
    pub fn with_id(self, id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..self }
    }
}

fn no_arguments() -> String {
    "{}".to_owned()
}

fn one() -> usize {
    1
}

/// What an answer says that it cost.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Tokens {
    /// Seven for the prompt and one for each content chunk.
    #[default]
    Counted,
    /// Nothing, although the client asked.
    Missing,
    /// These numbers, in the dialect's fields.
    Given {
        /// Tokens of the prompt, those from a cache among them.
        prompt: u64,
        /// Tokens of the answer, those of the reasoning among them.
        completion: u64,
        /// Tokens of the prompt that came from a cache.
        #[serde(default)]
        cached: u64,
        /// Tokens of the answer that were reasoning.
        #[serde(default)]
        reasoning: u64,
    },
    /// This, where the usage belongs: whatever is wrong with it.
    Raw(Value),
}

/// What a request whose last message is an assistant's gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Continuation {
    /// The whole answer anew, as OpenAI does.
    #[default]
    Never,
    /// The part of the text that the message does not have yet: as Anthropic, Gemini, Ollama and some that speak OpenAI's
    /// dialect do. Anthropic's refuses a message that ends in white space.
    Prefill,
    /// The same, if an OpenAI request says `continue_final_message: true` and `add_generation_prompt: false`, as vLLM
    /// demands: with the first alone it is refused, without both the answer begins anew.
    Vllm,
}

impl Default for Answer {
    fn default() -> Self {
        // Twenty chunks leave room to cut "in the middle", after ten, as the fault tests do.
        Self::tokens(20)
    }
}

impl Answer {
    /// An answer of numbered words, one per chunk: `t0 t1 t2 ...`.
    #[must_use]
    pub fn tokens(chunks: usize) -> Self {
        Self {
            text: None,
            chunks,
            first_token_delay: Duration::ZERO,
            between_chunks: Duration::ZERO,
            reasoning: None,
            tool_calls: Vec::new(),
            interleaved: false,
            usage: Tokens::Counted,
            finish_reason: None,
            continues: Continuation::Never,
        }
    }

    /// An answer of this text, one character per chunk at most.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        let chunks = text.split_whitespace().count().max(1);
        Self { text: Some(text), ..Self::tokens(chunks) }
    }

    /// An answer that calls these tools, and says nothing.
    #[must_use]
    pub fn calls(tool_calls: impl IntoIterator<Item = ToolCall>) -> Self {
        Self { tool_calls: tool_calls.into_iter().collect(), ..Self::tokens(0) }
    }

    /// The same answer in so many chunks.
    #[must_use]
    pub fn in_chunks(self, chunks: usize) -> Self {
        Self { chunks, ..self }
    }

    /// The same answer with this time before the first content.
    #[must_use]
    pub fn first_token_after(self, first_token_delay: Duration) -> Self {
        Self { first_token_delay, ..self }
    }

    /// The same answer with this time between its chunks.
    #[must_use]
    pub fn paced(self, between_chunks: Duration) -> Self {
        Self { between_chunks, ..self }
    }

    /// The same answer with this reasoning before it.
    #[must_use]
    pub fn reasoning(self, reasoning: impl Into<String>) -> Self {
        Self { reasoning: Some(reasoning.into()), ..self }
    }

    /// The same answer, the pieces of its calls taking turns.
    #[must_use]
    pub fn interleaved(self) -> Self {
        Self { interleaved: true, ..self }
    }

    /// The same answer with this usage.
    #[must_use]
    pub fn usage(self, usage: Tokens) -> Self {
        Self { usage, ..self }
    }

    /// The same answer with this reason for its end.
    #[must_use]
    pub fn finish(self, reason: impl Into<String>) -> Self {
        Self { finish_reason: Some(reason.into()), ..self }
    }

    /// The same answer, to be continued so.
    #[must_use]
    pub fn continuing(self, continues: Continuation) -> Self {
        Self { continues, ..self }
    }

    /// The text that a client must end up with.
    #[must_use]
    pub fn full_text(&self) -> String {
        self.pieces().concat()
    }

    /// The text of each chunk. Joined they are [`full_text`](Self::full_text); none is empty.
    #[must_use]
    pub fn pieces(&self) -> Vec<String> {
        match &self.text {
            Some(text) => split(text, self.chunks),
            None => (0..self.chunks)
                .map(|index| if index == 0 { "t0".to_owned() } else { format!(" t{index}") })
                .collect(),
        }
    }
}

/// A text in so many pieces of about the same length, none of them empty.
pub(super) fn split(text: &str, pieces: usize) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    let pieces = pieces.clamp(1, characters.len().max(1));
    (0..pieces)
        .map(|index| {
            let (from, to) = (index * characters.len() / pieces, (index + 1) * characters.len() / pieces);
            characters[from..to].iter().collect::<String>()
        })
        .filter(|piece| !piece.is_empty())
        .collect()
}
