//! What is read of a chat's chunk, or of its whole completion.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::openai::CallDelta;

#[derive(Debug, Deserialize)]
pub(super) struct Chunk {
    #[serde(default)]
    pub(super) choices: Option<Vec<Choice>>,
    #[serde(default)]
    pub(super) usage: Option<Counts>,
    #[serde(default)]
    pub(super) service_tier: Option<String>,
    #[serde(default)]
    pub(super) error: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Choice {
    #[serde(default)]
    pub(super) index: u64,
    #[serde(default)]
    pub(super) delta: Option<Delta>,
    #[serde(default)]
    pub(super) message: Option<Delta>,
    #[serde(default)]
    pub(super) logprobs: Option<Logprobs>,
    #[serde(default)]
    pub(super) finish_reason: Option<String>,
}

/// What a chunk adds, or all that a message says.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Delta {
    #[serde(default)]
    pub(super) content: Option<String>,
    #[serde(default)]
    pub(super) refusal: Option<String>,
    #[serde(default)]
    pub(super) reasoning_content: Option<String>,
    #[serde(default)]
    pub(super) reasoning: Option<String>,
    #[serde(default)]
    pub(super) reasoning_details: Option<Vec<Value>>,
    #[serde(default)]
    pub(super) annotations: Option<Vec<Value>>,
    #[serde(default)]
    pub(super) tool_calls: Option<Vec<CallDelta>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Logprobs {
    #[serde(default)]
    pub(super) content: Option<Vec<Value>>,
}

/// A chat's usage; any number may be missing or null.
#[derive(Debug, Deserialize)]
pub(super) struct Counts {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
    #[serde(default)]
    total_tokens: Option<u64>,
    #[serde(default)]
    prompt_tokens_details: Option<PromptCounts>,
    #[serde(default)]
    completion_tokens_details: Option<CompletionCounts>,
}

#[derive(Debug, Default, Deserialize)]
struct PromptCounts {
    #[serde(default)]
    cached_tokens: Option<u64>,
    #[serde(default)]
    cache_write_tokens: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
struct CompletionCounts {
    #[serde(default)]
    reasoning_tokens: Option<u64>,
}

/// A response's usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Usage {
    input_tokens: u64,
    input_tokens_details: InputDetails,
    output_tokens: u64,
    output_tokens_details: OutputDetails,
    total_tokens: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct InputDetails {
    cached_tokens: u64,
    cache_write_tokens: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct OutputDetails {
    reasoning_tokens: u64,
}

impl Counts {
    /// `None` where the object is there but says nothing.
    pub(super) fn usage(self) -> Option<Usage> {
        if self.prompt_tokens.is_none() && self.completion_tokens.is_none() {
            return None;
        }
        let input_tokens = self.prompt_tokens.unwrap_or(0);
        let output_tokens = self.completion_tokens.unwrap_or(0);
        let prompt = self.prompt_tokens_details.unwrap_or_default();
        let completion = self.completion_tokens_details.unwrap_or_default();
        Some(Usage {
            input_tokens,
            input_tokens_details: InputDetails {
                cached_tokens: prompt.cached_tokens.unwrap_or(0),
                cache_write_tokens: prompt.cache_write_tokens.unwrap_or(0),
            },
            output_tokens,
            output_tokens_details: OutputDetails {
                reasoning_tokens: completion.reasoning_tokens.unwrap_or(0),
            },
            total_tokens: self.total_tokens.unwrap_or(input_tokens.saturating_add(output_tokens)),
        })
    }
}
