//! The list of models, and Ollama's error shape.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{WireError, json};

/// One model of `GET /api/tags`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagEntry {
    /// The public name.
    pub name: String,
    /// Bytes on disk; 0 where it lies elsewhere.
    pub size: u64,
    /// SHA-256 of the file in hexadecimal; empty where it lies elsewhere.
    pub digest: String,
    /// When it changed, in RFC 3339.
    pub modified_at: String,
    /// The architecture, like `llama`.
    pub family: String,
    /// The number of parameters, like `135M`.
    pub parameter_size: String,
    /// The quantization, like `Q4_1`.
    pub quantization: String,
}

/// The body of `GET /api/tags`.
pub fn tags(models: &[TagEntry]) -> Bytes {
    #[derive(Serialize)]
    struct Tag<'a> {
        name: &'a str,
        model: &'a str,
        modified_at: &'a str,
        size: u64,
        digest: &'a str,
        details: Details<'a>,
    }
    #[derive(Serialize)]
    struct Details<'a> {
        parent_model: &'a str,
        format: &'a str,
        family: &'a str,
        families: [&'a str; 1],
        parameter_size: &'a str,
        quantization_level: &'a str,
    }
    #[derive(Serialize)]
    struct Tags<'a> {
        models: Vec<Tag<'a>>,
    }
    let models = models
        .iter()
        .map(|entry| Tag {
            name: &entry.name,
            model: &entry.name,
            modified_at: &entry.modified_at,
            size: entry.size,
            digest: &entry.digest,
            details: Details {
                parent_model: "",
                format: "gguf",
                family: &entry.family,
                families: [&entry.family],
                parameter_size: &entry.parameter_size,
                quantization_level: &entry.quantization,
            },
        })
        .collect();
    json::encode(&Tags { models })
}

/// The body of every error answer, and the line of an error inside a stream (without its newline).
pub fn error_body(message: &str) -> Bytes {
    json::encode(&json!({ "error": message }))
}

/// The names in an Ollama server's `GET /api/tags`.
///
/// # Errors
/// [`WireError::Json`] where the body is not such a list.
pub fn parse_tags(body: &[u8]) -> Result<Vec<String>, WireError> {
    #[derive(Deserialize)]
    struct Tags {
        models: Option<Vec<Tag>>,
    }
    #[derive(Deserialize)]
    struct Tag {
        name: String,
    }
    let Tags { models } = json::decode(body)?;
    Ok(models.unwrap_or_default().into_iter().map(|tag| tag.name).collect())
}
