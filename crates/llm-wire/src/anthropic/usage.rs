//! Counts of tokens, in both vocabularies.
//!
//! Anthropic counts what its cache held apart from `input_tokens`, OpenAI counts it in `prompt_tokens`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::openai::{PromptDetails, Usage};

/// Anthropic's counts, as far as a document has them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    input: Option<u64>,
    output: Option<u64>,
    cache_read: Option<u64>,
    cache_creation: Option<u64>,
    thinking: Option<u64>,
}

/// A count that is no count, like a negative one, is as good as none: an answer is not worth less for it.
fn count(usage: &Value, key: &str) -> Option<u64> {
    usage.get(key)?.as_u64()
}

impl Counts {
    /// Reads Anthropic's `usage`.
    pub(super) fn from_anthropic(usage: &Value) -> Self {
        Self {
            input: count(usage, "input_tokens"),
            output: count(usage, "output_tokens"),
            cache_read: count(usage, "cache_read_input_tokens"),
            cache_creation: count(usage, "cache_creation_input_tokens"),
            thinking: usage
                .get("output_tokens_details")
                .and_then(|details| count(details, "thinking_tokens")),
        }
    }

    /// Reads OpenAI's `usage`; `cache_write_tokens` is OpenRouter's.
    pub(super) fn from_openai(usage: &Value) -> Self {
        let prompt = usage.get("prompt_tokens_details");
        let cache_read = prompt.and_then(|details| count(details, "cached_tokens"));
        let cache_creation = prompt.and_then(|details| count(details, "cache_write_tokens"));
        let cached = cache_read.unwrap_or(0).saturating_add(cache_creation.unwrap_or(0));
        Self {
            input: count(usage, "prompt_tokens").map(|prompt| prompt.saturating_sub(cached)),
            output: count(usage, "completion_tokens"),
            cache_read,
            cache_creation,
            thinking: usage
                .get("completion_tokens_details")
                .and_then(|details| count(details, "reasoning_tokens")),
        }
    }

    /// These counts, and those of a later document where it has them: the events of a stream count cumulatively.
    pub(super) fn then(self, later: Self) -> Self {
        Self {
            input: later.input.or(self.input),
            output: later.output.or(self.output),
            cache_read: later.cache_read.or(self.cache_read),
            cache_creation: later.cache_creation.or(self.cache_creation),
            thinking: later.thinking.or(self.thinking),
        }
    }

    /// `None` where nothing was counted.
    pub(super) fn facts(self) -> Option<Usage> {
        if self.input.is_none() && self.output.is_none() {
            return None;
        }
        let prompt_tokens = self.prompt();
        let completion_tokens = self.output.unwrap_or(0);
        Some(Usage {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens.saturating_add(completion_tokens),
            prompt_tokens_details: self.cache_read.map(|cached_tokens| PromptDetails { cached_tokens }),
        })
    }

    fn prompt(self) -> u64 {
        let cached = self.cache_read.unwrap_or(0).saturating_add(self.cache_creation.unwrap_or(0));
        self.input.unwrap_or(0).saturating_add(cached)
    }

    /// As OpenAI writes it.
    pub(super) fn openai(self) -> OpenAiUsage {
        let prompt_tokens = self.prompt();
        let completion_tokens = self.output.unwrap_or(0);
        OpenAiUsage {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens.saturating_add(completion_tokens),
            prompt_tokens_details: (self.cache_read.is_some() || self.cache_creation.is_some()).then_some(
                CachedTokens {
                    cached_tokens: self.cache_read.unwrap_or(0),
                    cache_write_tokens: self.cache_creation,
                },
            ),
            completion_tokens_details: self.thinking.map(|reasoning_tokens| Reasoned { reasoning_tokens }),
        }
    }

    /// As Anthropic writes it.
    pub(super) fn anthropic(self) -> AnthropicUsage {
        AnthropicUsage {
            input_tokens: self.input.unwrap_or(0),
            cache_creation_input_tokens: self.cache_creation,
            cache_read_input_tokens: self.cache_read,
            output_tokens: self.output.unwrap_or(0),
            output_tokens_details: self.thinking.map(|thinking_tokens| Thought { thinking_tokens }),
        }
    }
}

/// OpenAI's `usage`, with the details that Anthropic knows.
#[derive(Debug, Serialize)]
pub(super) struct OpenAiUsage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_tokens_details: Option<CachedTokens>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_tokens_details: Option<Reasoned>,
}

#[derive(Debug, Serialize)]
struct CachedTokens {
    cached_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_write_tokens: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Reasoned {
    reasoning_tokens: u64,
}

/// Anthropic's `usage`.
#[derive(Debug, Serialize)]
pub(super) struct AnthropicUsage {
    input_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_creation_input_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_read_input_tokens: Option<u64>,
    output_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_tokens_details: Option<Thought>,
}

#[derive(Debug, Serialize)]
struct Thought {
    thinking_tokens: u64,
}

/// A `usage` member of either dialect, whatever it holds.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Written(pub(super) Value);
