//! The vectors of an answer.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Encoding;
use crate::openai::chunk::{Usage, UsageView, decode_object, upstream_error};
use crate::openai::error::UpstreamError;
use crate::{WireError, json};

/// What a complete body with status 200 says, without decoding its vectors.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EmbeddingsFacts {
    /// How many there are.
    pub vectors: usize,
    /// How they are written; all in one way.
    pub encoding: Encoding,
    /// The usage, where the upstream counts.
    pub usage: Option<Usage>,
    /// The upstream reports an error in spite of the status.
    pub error: Option<UpstreamError>,
}

/// An answer, decoded.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Embedded {
    /// One vector for each input, in the order of the inputs; of finite numbers.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens of all inputs together; 0 where the upstream does not count.
    pub prompt_tokens: u64,
}

/// Reads a complete answer.
///
/// # Errors
/// [`WireError::Json`] where it is not a JSON object; [`WireError::Invalid`] where it has neither vectors nor an error,
/// or vectors that are written in different ways.
pub fn embeddings_facts(body: &[u8]) -> Result<EmbeddingsFacts, WireError> {
    let answer: AnswerView<'_> = decode_object(body)?;
    let usage = answer.usage.and_then(UsageView::usage);
    if let Some(error) = upstream_error(answer.error, answer.object.as_deref(), body)? {
        return Ok(EmbeddingsFacts { usage, error: Some(error), ..EmbeddingsFacts::default() });
    }
    let entries = answer.data.unwrap_or_default();
    let mut encoding = None;
    for (position, entry) in entries.iter().enumerate() {
        let written = entry.encoding(position)?;
        if *encoding.get_or_insert(written) != written {
            let expected = "vectors that are all written in one way";
            return Err(WireError::invalid(format!("data[{position}].embedding"), expected, "another"));
        }
    }
    let encoding = encoding.ok_or_else(|| WireError::invalid("data", "at least one vector", "none"))?;
    Ok(EmbeddingsFacts { vectors: entries.len(), encoding, usage, error: None })
}

/// Decodes the vectors of a complete answer, written either way.
///
/// # Errors
/// As [`embeddings_facts`]; also where an index is missing or a number is not finite.
pub fn embeddings_vectors(body: &[u8]) -> Result<Embedded, WireError> {
    let answer: AnswerView<'_> = decode_object(body)?;
    let entries = answer.data.unwrap_or_default();
    let mut vectors: Vec<Option<Vec<f32>>> = vec![None; entries.len()];
    for (position, entry) in entries.iter().enumerate() {
        let at = entry.index.unwrap_or(position);
        match vectors.get_mut(at) {
            Some(slot @ None) => *slot = Some(entry.vector(position)?),
            _ => {
                let expected = format!("every index below {} once", entries.len());
                return Err(WireError::invalid(format!("data[{position}].index"), expected, at.to_string()));
            }
        }
    }
    Ok(Embedded {
        vectors: vectors.into_iter().flatten().collect(),
        prompt_tokens: answer.usage.and_then(UsageView::usage).map_or(0, |usage| usage.prompt_tokens),
    })
}

/// A complete answer. `vectors` are of finite numbers, in the order of the inputs; `prompt_tokens` are those of all inputs.
pub fn embeddings_answer<V: AsRef<[f32]>>(
    model: &str,
    vectors: impl IntoIterator<Item = V>,
    encoding: Encoding,
    prompt_tokens: u64,
) -> Bytes {
    #[derive(Serialize)]
    struct Document<'a, E> {
        object: &'static str,
        data: Vec<Entry<E>>,
        model: &'a str,
        usage: Counts,
    }
    #[derive(Serialize)]
    struct Entry<E> {
        object: &'static str,
        index: usize,
        embedding: E,
    }
    #[derive(Serialize)]
    struct Counts {
        prompt_tokens: u64,
        total_tokens: u64,
    }
    fn document<E: Serialize>(model: &str, embeddings: impl Iterator<Item = E>, prompt_tokens: u64) -> Bytes {
        let entry = |(index, embedding)| Entry { object: "embedding", index, embedding };
        json::encode(&Document {
            object: "list",
            data: embeddings.enumerate().map(entry).collect(),
            model,
            usage: Counts { prompt_tokens, total_tokens: prompt_tokens },
        })
    }
    let vectors: Vec<V> = vectors.into_iter().collect();
    let vectors = vectors.iter().map(AsRef::as_ref);
    match encoding {
        Encoding::Float => document(model, vectors, prompt_tokens),
        Encoding::Base64 => document(model, vectors.map(to_base64), prompt_tokens),
    }
}

fn to_base64(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
    STANDARD.encode(bytes)
}

fn from_base64(text: &str) -> Option<Vec<f32>> {
    let bytes = STANDARD.decode(text).ok()?;
    let (numbers, rest) = bytes.as_chunks::<4>();
    rest.is_empty().then(|| numbers.iter().map(|number| f32::from_le_bytes(*number)).collect())
}

#[derive(Deserialize)]
struct AnswerView<'a> {
    #[serde(borrow, default)]
    object: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    data: Option<Vec<EntryView<'a>>>,
    #[serde(default)]
    usage: Option<UsageView>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct EntryView<'a> {
    /// Absent: its position.
    #[serde(default)]
    index: Option<usize>,
    #[serde(borrow, default)]
    embedding: Option<&'a RawValue>,
}

impl EntryView<'_> {
    fn written(&self) -> &str {
        self.embedding.map_or("", RawValue::get)
    }

    fn encoding(&self, position: usize) -> Result<Encoding, WireError> {
        match self.written().as_bytes().first() {
            Some(b'[') => Ok(Encoding::Float),
            Some(b'"') => Ok(Encoding::Base64),
            _ => {
                let field = format!("data[{position}].embedding");
                Err(WireError::invalid(field, "an array of numbers, or base64", json::kind(self.written())))
            }
        }
    }

    fn vector(&self, position: usize) -> Result<Vec<f32>, WireError> {
        let field = format!("data[{position}].embedding");
        let written = self.written().as_bytes();
        let vector = match self.encoding(position)? {
            Encoding::Float => json::decode_value(written, &field)?,
            Encoding::Base64 => {
                let text: Cow<'_, str> = json::decode_value(written, &field)?;
                from_base64(&text).ok_or_else(|| {
                    let expected = "base64 of 32-bit numbers";
                    WireError::invalid(field.as_str(), expected, format!("a string of {} bytes", text.len()))
                })?
            }
        };
        match vector.iter().find(|number| !number.is_finite()) {
            None => Ok(vector),
            Some(number) => Err(WireError::invalid(field, "finite numbers", number.to_string())),
        }
    }
}
