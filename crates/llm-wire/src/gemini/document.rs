//! What our answers say, as far as a Gemini client hears of it: a completion and a chunk of a stream.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::openai::CallDelta;

#[derive(Deserialize)]
pub(super) struct Chunk {
    #[serde(default)]
    pub(super) choices: Option<Vec<Choice>>,
    #[serde(default)]
    pub(super) usage: Option<Counts>,
    #[serde(default)]
    pub(super) error: Option<Value>,
}

#[derive(Debug, Default, Clone, Deserialize)]
pub(super) struct Counts {
    #[serde(default)]
    pub(super) prompt_tokens: Option<u64>,
    #[serde(default)]
    pub(super) completion_tokens: Option<u64>,
    #[serde(default)]
    pub(super) total_tokens: Option<u64>,
    #[serde(default)]
    pub(super) prompt_tokens_details: Option<Details>,
    #[serde(default)]
    pub(super) completion_tokens_details: Option<Details>,
}

#[derive(Debug, Default, Clone, Deserialize)]
pub(super) struct Details {
    #[serde(default)]
    pub(super) cached_tokens: Option<u64>,
    #[serde(default)]
    pub(super) reasoning_tokens: Option<u64>,
}

impl Counts {
    /// As Gemini's `usageMetadata`.
    pub(super) fn to_gemini(&self) -> Value {
        let thoughts = self.completion_tokens_details.as_ref().and_then(|details| details.reasoning_tokens);
        let cached = self.prompt_tokens_details.as_ref().and_then(|details| details.cached_tokens);
        let (prompt, completion) = (self.prompt_tokens.unwrap_or(0), self.completion_tokens.unwrap_or(0));
        let mut usage = json!({
            "promptTokenCount": prompt,
            "candidatesTokenCount": completion.saturating_sub(thoughts.unwrap_or(0)),
            "totalTokenCount": self.total_tokens.unwrap_or(prompt.saturating_add(completion)),
        });
        if let Value::Object(usage) = &mut usage {
            usage.extend(thoughts.map(|tokens| ("thoughtsTokenCount".to_owned(), json!(tokens))));
            usage.extend(cached.map(|tokens| ("cachedContentTokenCount".to_owned(), json!(tokens))));
        }
        usage
    }
}

/// A choice of a chunk (`delta`) or of a completion (`message`).
#[derive(Deserialize)]
pub(super) struct Choice {
    #[serde(default)]
    pub(super) index: Option<u64>,
    #[serde(default)]
    pub(super) delta: Option<Delta>,
    #[serde(default)]
    pub(super) message: Option<Delta>,
    #[serde(default)]
    pub(super) logprobs: Option<Value>,
    #[serde(default)]
    pub(super) finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
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
    pub(super) reasoning_details: Option<Vec<Detail>>,
    #[serde(default)]
    pub(super) tool_calls: Option<Vec<CallDelta>>,
    #[serde(default)]
    pub(super) images: Option<Vec<Value>>,
}

#[derive(Deserialize)]
pub(super) struct Detail {
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) format: Option<String>,
    #[serde(default)]
    pub(super) signature: Option<String>,
    #[serde(default)]
    pub(super) data: Option<String>,
}
