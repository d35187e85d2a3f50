//! What Gemini answers: a complete body and a chunk of a stream have the same fields.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::logprobs::LogprobsResult;
use crate::openai::{PromptDetails, Usage};
use crate::{WireError, json};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    #[serde(default)]
    pub(super) candidates: Option<Vec<Candidate>>,
    #[serde(default)]
    pub(super) prompt_feedback: Option<PromptFeedback>,
    #[serde(default)]
    pub(super) usage_metadata: Option<Counts>,
    #[serde(default)]
    pub(super) error: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Candidate {
    #[serde(default)]
    pub(super) index: Option<u64>,
    #[serde(default)]
    pub(super) content: Option<Content>,
    #[serde(default)]
    pub(super) finish_reason: Option<String>,
    #[serde(default)]
    pub(super) finish_message: Option<String>,
    #[serde(default)]
    pub(super) logprobs_result: Option<LogprobsResult>,
}

#[derive(Deserialize)]
pub(super) struct Content {
    #[serde(default)]
    pub(super) parts: Option<Vec<Part>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part {
    #[serde(default)]
    pub(super) text: Option<String>,
    #[serde(default)]
    pub(super) thought: Option<bool>,
    #[serde(default)]
    pub(super) thought_signature: Option<String>,
    #[serde(default)]
    pub(super) function_call: Option<FunctionCall>,
    #[serde(default)]
    pub(super) inline_data: Option<Blob>,
    #[serde(flatten)]
    pub(super) other: Map<String, Value>,
}

#[derive(Deserialize)]
pub(super) struct FunctionCall {
    #[serde(default)]
    pub(super) id: Option<String>,
    pub(super) name: String,
    #[serde(default)]
    pub(super) args: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Blob {
    #[serde(default)]
    pub(super) mime_type: String,
    #[serde(default)]
    pub(super) data: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PromptFeedback {
    #[serde(default)]
    pub(super) block_reason: Option<String>,
}

/// Tokens; what is missing, or no count at all, is not known.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Counts {
    #[serde(deserialize_with = "count")]
    prompt_token_count: Option<u64>,
    #[serde(deserialize_with = "count")]
    tool_use_prompt_token_count: Option<u64>,
    #[serde(deserialize_with = "count")]
    candidates_token_count: Option<u64>,
    #[serde(deserialize_with = "count")]
    thoughts_token_count: Option<u64>,
    #[serde(deserialize_with = "count")]
    cached_content_token_count: Option<u64>,
    #[serde(deserialize_with = "count")]
    total_token_count: Option<u64>,
}

impl Counts {
    /// `None` where the object is there but says nothing.
    pub(super) fn usage(self) -> Option<Usage> {
        if self.prompt_token_count.is_none() && self.candidates_token_count.is_none() {
            return None;
        }
        let sum = |one: Option<u64>, other: Option<u64>| one.unwrap_or(0).saturating_add(other.unwrap_or(0));
        let prompt_tokens = sum(self.prompt_token_count, self.tool_use_prompt_token_count);
        let completion_tokens = sum(self.candidates_token_count, self.thoughts_token_count);
        let total_tokens = self.total_token_count.unwrap_or(prompt_tokens.saturating_add(completion_tokens));
        let prompt_tokens_details =
            self.cached_content_token_count.map(|cached_tokens| PromptDetails { cached_tokens });
        Some(Usage { prompt_tokens, completion_tokens, total_tokens, prompt_tokens_details })
    }

    pub(super) fn thoughts(self) -> Option<u64> {
        self.thoughts_token_count
    }
}

fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Value::deserialize(deserializer).map(|count| count.as_u64())
}

/// Reads an answer or a chunk of one. An error also comes alone in an array, from a stream that was not asked for as
/// SSE.
pub(super) fn read(document: &[u8]) -> Result<Answer, WireError> {
    // Strings that are skipped here reach a Gemini client as they are.
    json::text(document)?;
    match document.trim_ascii_start().first() {
        Some(b'{') => json::decode(document),
        Some(b'[') => {
            let list: Vec<Map<String, Value>> = json::decode(document)?;
            match list.into_iter().next().and_then(|mut first| first.remove("error")) {
                error @ Some(_) => {
                    Ok(Answer { candidates: None, prompt_feedback: None, usage_metadata: None, error })
                }
                None => Err(not_an_answer("an array")),
            }
        }
        _ => {
            // Whether it is JSON at all decides which error this is.
            let other: Value = json::decode(document)?;
            Err(not_an_answer(json::kind(&other.to_string())))
        }
    }
}

fn not_an_answer(got: &str) -> WireError {
    let message = format!("expected a JSON object, got {got}");
    WireError::Json { path: "$".to_owned(), line: 1, column: 1, message }
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// With this finish reason of OpenAI's; `stop` also where calls were made.
    Finished(&'static str),
    /// With a call that cannot be read, or for a reason that nobody can act on.
    Failed,
}

/// What a `finishReason` means.
pub(super) fn end_of(reason: &str) -> End {
    match reason {
        "STOP" => End::Finished("stop"),
        "MAX_TOKENS" => End::Finished("length"),
        "SAFETY"
        | "RECITATION"
        | "LANGUAGE"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "MODEL_ARMOR"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION" => End::Finished("content_filter"),
        // MALFORMED_FUNCTION_CALL, UNEXPECTED_TOOL_CALL, OTHER and whatever comes to be: an answer that is not as the
        // model meant it must not look like one that is.
        _ => End::Failed,
    }
}
