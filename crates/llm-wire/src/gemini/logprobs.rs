//! The probabilities of tokens, both ways.

use serde::Deserialize;
use serde_json::{Value, json};

/// Gemini's: the chosen tokens, and beside each the likeliest.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LogprobsResult {
    #[serde(default)]
    chosen_candidates: Vec<Token>,
    #[serde(default)]
    top_candidates: Vec<TopCandidates>,
}

#[derive(Deserialize)]
struct TopCandidates {
    #[serde(default)]
    candidates: Vec<Token>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Token {
    #[serde(default)]
    token: String,
    #[serde(default)]
    log_probability: f64,
}

impl Token {
    fn to_openai(&self) -> Value {
        json!({ "token": self.token, "logprob": self.log_probability, "bytes": self.token.as_bytes() })
    }
}

/// The same as OpenAI's `logprobs`.
pub(super) fn to_openai(result: &LogprobsResult) -> Value {
    let content = result.chosen_candidates.iter().enumerate().map(|(index, chosen)| {
        let top = result.top_candidates.get(index);
        let top: Vec<Value> =
            top.map_or_else(Vec::new, |top| top.candidates.iter().map(Token::to_openai).collect());
        let mut token = chosen.to_openai();
        if let Value::Object(token) = &mut token {
            token.insert("top_logprobs".to_owned(), Value::Array(top));
        }
        token
    });
    json!({ "content": content.collect::<Vec<_>>() })
}

/// OpenAI's `logprobs` as Gemini's.
pub(super) fn from_openai(logprobs: &Value) -> Option<Value> {
    let tokens = logprobs.get("content")?.as_array()?;
    let token = |token: &Value| {
        json!({ "token": token.get("token").and_then(Value::as_str).unwrap_or_default(),
            "logProbability": token.get("logprob").and_then(Value::as_f64).unwrap_or_default() })
    };
    let chosen: Vec<Value> = tokens.iter().map(token).collect();
    let top = |one: &Value| {
        let top = one.get("top_logprobs").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        json!({ "candidates": top.iter().map(token).collect::<Vec<_>>() })
    };
    let top: Vec<Value> = tokens.iter().map(top).collect();
    Some(json!({ "chosenCandidates": chosen, "topCandidates": top }))
}
