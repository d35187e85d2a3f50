//! The parameters of sampling, decoded.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// How an answer is sampled. Absent fields leave it to the backend.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct SamplingOptions {
    /// Temperature, 0 to 2.
    pub temperature: Option<f64>,
    /// Nucleus sampling: the probability mass that is kept.
    pub top_p: Option<f64>,
    /// How many of the likeliest tokens are kept; 0 and -1 keep all. An extension of llama.cpp, Ollama and vLLM.
    pub top_k: Option<i64>,
    /// The least probability relative to the likeliest token. An extension of llama.cpp, Ollama and vLLM.
    pub min_p: Option<f64>,
    /// Above 1 makes tokens that occurred less likely. An extension of llama.cpp and Ollama.
    pub repeat_penalty: Option<f64>,
    /// Seed of the sampler.
    pub seed: Option<i64>,
    /// The older name of the most tokens to generate: see [`limit`](Self::limit).
    pub max_tokens: Option<u64>,
    /// The newer name of the same.
    pub max_completion_tokens: Option<u64>,
    /// Texts before which generation ends.
    #[serde(deserialize_with = "one_or_several")]
    pub stop: Vec<String>,
    /// -2 to 2: against tokens by how often they occurred.
    pub frequency_penalty: Option<f64>,
    /// -2 to 2: against tokens that occurred at all.
    pub presence_penalty: Option<f64>,
    /// How many choices; absent means one.
    pub n: Option<u32>,
    /// Whether log probabilities are wanted.
    pub logprobs: Option<bool>,
    /// How many alternatives the log probabilities list.
    pub top_logprobs: Option<u32>,
    /// Bias by token, as OpenAI writes it.
    pub logit_bias: Option<Value>,
    /// `{"type": "text" | "json_object" | "json_schema", ...}`.
    pub response_format: Option<Value>,
    /// The tools that the model may call, as OpenAI writes them.
    pub tools: Option<Value>,
    /// `auto`, `none`, `required` or one function.
    pub tool_choice: Option<Value>,
    /// Whether a model may call several tools in one answer.
    pub parallel_tool_calls: Option<Value>,
    /// A grammar of llama.cpp's own notation.
    pub grammar: Option<Value>,
    /// How long a reasoning model thinks: `none`, `minimal`, `low`, `medium`, `high`.
    pub reasoning_effort: Option<String>,
}

impl SamplingOptions {
    /// The most tokens to generate, under either name.
    pub fn limit(&self) -> Option<u64> {
        self.max_completion_tokens.or(self.max_tokens)
    }
}

fn one_or_several<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a string or an array of strings")]
    enum Stop {
        One(String),
        Several(Vec<String>),
    }
    Ok(match Option::deserialize(deserializer)? {
        None => Vec::new(),
        Some(Stop::One(text)) => vec![text],
        Some(Stop::Several(texts)) => texts,
    })
}
