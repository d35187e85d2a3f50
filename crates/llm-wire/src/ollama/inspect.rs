//! Ollama's `/api/show` and `/api/ps`: what a model is, and which are in memory.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::openai::MAX_MODEL_NAME;
use crate::{WireError, json};

/// What `details` says of a model; empty where nothing is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// `gguf` for a file of ours.
    pub format: &'static str,
    /// The architecture, like `llama`.
    pub family: String,
    /// How many parameters.
    pub parameters: Option<u64>,
    /// The quantization, like `Q4_K_M`.
    pub quantization: String,
}

/// What `POST /api/show` answers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ShowEntry {
    /// What kind of model it is.
    pub details: Details,
    /// The file's metadata; large values are null, as in Ollama's own answer.
    pub model_info: Map<String, Value>,
    /// The chat template; empty where there is none, or it is not known.
    pub template: String,
    /// The licence of the weights, where it is known.
    pub license: Option<String>,
    /// Tokens of the context, as configured.
    pub context_tokens: Option<u64>,
    /// `completion`, `embedding`, `tools` and others.
    pub capabilities: Vec<String>,
    /// When the file changed, in RFC 3339.
    pub modified_at: String,
}

/// One model in memory, for `GET /api/ps`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunningEntry {
    /// The public name.
    pub name: String,
    /// Bytes of memory.
    pub size: u64,
    /// SHA-256 of the file in hexadecimal, where it is known.
    pub digest: String,
    /// What kind of model it is.
    pub details: Details,
    /// When it leaves the memory, in RFC 3339.
    pub expires_at: String,
    /// Tokens of the context.
    pub context_tokens: u64,
}

/// The model that the body of `POST /api/show` asks for. Of its other fields `verbose` has no effect, for large values are
/// never sent; those that would change a model are refused by name.
///
/// # Errors
/// [`WireError::Json`], [`WireError::Invalid`].
pub fn parse_show(body: &[u8]) -> Result<String, WireError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Show {
        model: Option<String>,
        /// As it was called before `model`.
        name: Option<String>,
        #[expect(dead_code, reason = "accepted, see above")]
        verbose: Option<bool>,
    }
    let Show { model, name, .. } = json::decode(body)?;
    match model.or(name) {
        Some(model) if model.len() > MAX_MODEL_NAME => {
            let expected = format!("the name of a model, of at most {MAX_MODEL_NAME} bytes");
            Err(WireError::invalid("model", expected, format!("one of {} bytes", model.len())))
        }
        Some(model) if !model.is_empty() => Ok(model),
        _ => Err(WireError::invalid("model", "the name of a model", "nothing")),
    }
}

/// The body of `POST /api/show`.
pub fn show(entry: &ShowEntry) -> Bytes {
    let parameters = entry.context_tokens.map(|tokens| format!("num_ctx {tokens}"));
    json::encode(&json!({
        "license": entry.license.as_deref().unwrap_or_default(),
        "modelfile": "",
        "parameters": parameters.unwrap_or_default(),
        "template": entry.template,
        "system": "",
        "details": details(&entry.details),
        "model_info": entry.model_info,
        "capabilities": entry.capabilities,
        "modified_at": entry.modified_at,
    }))
}

/// The body of `GET /api/ps`. Models run in main memory, so `size_vram` is 0.
pub fn running(models: &[RunningEntry]) -> Bytes {
    let models: Vec<Value> = models
        .iter()
        .map(|entry| {
            json!({
                "name": entry.name,
                "model": entry.name,
                "size": entry.size,
                "digest": entry.digest,
                "details": details(&entry.details),
                "expires_at": entry.expires_at,
                "size_vram": 0,
                "context_length": entry.context_tokens,
            })
        })
        .collect();
    json::encode(&json!({ "models": models }))
}

fn details(details: &Details) -> Value {
    let families: Vec<&str> =
        Some(details.family.as_str()).filter(|family| !family.is_empty()).into_iter().collect();
    json!({
        "parent_model": "",
        "format": details.format,
        "family": details.family,
        "families": families,
        "parameter_size": details.parameters.map(shortened).unwrap_or_default(),
        "quantization_level": details.quantization,
    })
}

/// A number of parameters as Ollama writes it: `134.52M`, `7.2B`.
fn shortened(number: u64) -> String {
    const THOUSAND: u64 = 1_000;
    const MILLION: u64 = 1_000_000;
    const BILLION: u64 = 1_000_000_000;
    let in_units = |unit: u64| number as f64 / unit as f64;
    match number {
        BILLION.. if number.is_multiple_of(BILLION) => format!("{}B", number / BILLION),
        BILLION.. => format!("{:.1}B", in_units(BILLION)),
        MILLION.. if number.is_multiple_of(MILLION) => format!("{}M", number / MILLION),
        MILLION.. => format!("{:.2}M", in_units(MILLION)),
        THOUSAND.. => format!("{:.0}K", in_units(THOUSAND)),
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_written_as_ollama_does() {
        let cases = [
            (134_515_008, "134.52M"),
            (7_241_732_096, "7.2B"),
            (8_000_000_000, "8B"),
            (70_000_000, "70M"),
            (1_500, "2K"),
            (384, "384"),
        ];
        for (number, expected) in cases {
            assert_eq!(shortened(number), expected);
        }
    }

    #[test]
    fn a_model_is_asked_for_by_its_name_alone() {
        assert_eq!(parse_show(br#"{"model":"m","verbose":true}"#).unwrap(), "m");
        assert_eq!(parse_show(br#"{"name":"m"}"#).unwrap(), "m");
        for body in [r#"{"model":""}"#, "{}", r#"{"model":"m","system":"x"}"#, "no json"] {
            assert_eq!(parse_show(body.as_bytes()).unwrap_err().code(), "UAT_INVALID_INPUT", "{body}");
        }
    }
}
