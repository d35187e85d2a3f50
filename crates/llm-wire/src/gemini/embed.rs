//! Gemini's `:embedContent` and `:batchEmbedContents`, both ways.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::answer::Counts;
use super::fields::{Fields, refuse};
use crate::openai::{
    EmbeddingInput, EmbeddingsRequest, Encoding, embeddings_answer, embeddings_vectors, parse_error,
};
use crate::{WireError, json};

/// The body of `POST /v1beta/models/{model}:batchEmbedContents`, which asks the same of Gemini.
///
/// # Errors
/// [`WireError::Invalid`] names what Gemini cannot be asked: tokens in place of texts, and any field that this
/// translation does not know.
pub fn embed_request(request: &EmbeddingsRequest, model: &str) -> Result<Bytes, WireError> {
    let fields: Map<String, Value> = json::decode(request.body())?;
    for (name, value) in &fields {
        match name.as_str() {
            // The last says who asks, the one before how our answer is written.
            "model" | "input" | "dimensions" | "encoding_format" | "user" => {}
            _ if value.is_null() => {}
            _ => return refuse(name, "it absent, because Gemini has no such field", value),
        }
    }
    let name = format!("models/{}", model.strip_prefix("models/").unwrap_or(model));
    let one = |input: EmbeddingInput| {
        let EmbeddingInput::Text(text) = input else {
            return Err(WireError::invalid("input", "texts, because Gemini takes no tokens", "tokens"));
        };
        let mut one = Map::from_iter([("model".to_owned(), json!(name))]);
        one.insert("content".to_owned(), json!({ "parts": [{ "text": text }] }));
        one.extend(request.dimensions().map(|size| ("outputDimensionality".to_owned(), json!(size))));
        Ok(one)
    };
    let requests: Vec<_> = request.input()?.into_iter().map(one).collect::<Result<_, _>>()?;
    Ok(json::encode(&json!({ "requests": requests })))
}

/// Gemini's answer to that as OpenAI's; an error in it becomes OpenAI's error object. Models that do not count leave the
/// tokens at 0.
///
/// # Errors
/// [`WireError::Json`] where it is not one of Gemini's, [`WireError::Invalid`] where it has no vectors.
pub fn embed_to_openai(body: &[u8], model: &str, encoding: Encoding) -> Result<Bytes, WireError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        #[serde(default)]
        embeddings: Option<Vec<Vector>>,
        #[serde(default)]
        usage_metadata: Option<Counts>,
        #[serde(default)]
        error: Option<Value>,
    }
    #[derive(Deserialize)]
    struct Vector {
        values: Vec<f32>,
    }
    let answer: Answer = json::decode(body)?;
    if answer.error.is_some() {
        let error = parse_error(body);
        return Ok(json::encode(&json!({ "error": {
            "message": error.message, "type": error.kind, "param": null, "code": error.code
        } })));
    }
    let Some(embeddings) = answer.embeddings.filter(|embeddings| !embeddings.is_empty()) else {
        return Err(WireError::invalid("embeddings", "an array of vectors", "nothing"));
    };
    let tokens = answer.usage_metadata.and_then(Counts::usage).map_or(0, |usage| usage.prompt_tokens);
    let vectors = embeddings.iter().map(|embedding| embedding.values.as_slice());
    Ok(embeddings_answer(model, vectors, encoding, tokens))
}

/// Reads the body of `POST /v1beta/models/{model}:embedContent`, which embeds one content: its texts one after another.
///
/// # Errors
/// As [`EmbeddingsRequest::parse`], with Gemini's names of the fields. What would change a vector and has no
/// counterpart, like `taskType`, is refused.
pub fn parse_embed(body: &[u8], model: &str) -> Result<EmbeddingsRequest, WireError> {
    let (text, dimensions) = embedded(json::decode(body)?, "")?;
    request(model, json!(text), dimensions).map_err(|error| in_geminis_words(error, |_| "content".to_owned()))
}

/// Reads the body of `POST /v1beta/models/{model}:batchEmbedContents`, whose requests must agree on the size of their
/// vectors.
///
/// # Errors
/// As [`parse_embed`].
pub fn parse_batch_embed(body: &[u8], model: &str) -> Result<EmbeddingsRequest, WireError> {
    let mut batch = Fields::of(json::decode(body)?, "")?;
    let mut texts = Vec::new();
    let mut size = None;
    for (at, one) in batch.list("requests") {
        let (text, dimensions) = embedded(one, &at)?;
        texts.push(text);
        if *size.get_or_insert_with(|| dimensions.clone()) != dimensions {
            let got = dimensions.unwrap_or_default();
            return refuse(&format!("{at}.outputDimensionality"), "the same for all requests", &got);
        }
    }
    batch.take("model");
    if let Some(path) = batch.rest().first() {
        return refuse(path, "a field of Gemini's embeddings that has a counterpart here", &Value::Null);
    }
    request(model, json!(texts), size.flatten()).map_err(|error| {
        in_geminis_words(error, |input| {
            let at = input.strip_prefix("input").unwrap_or_default();
            if at.is_empty() { "requests".to_owned() } else { format!("requests{at}.content") }
        })
    })
}

/// The text that one request embeds, and the size of its vector.
fn embedded(request: Value, at: &str) -> Result<(String, Option<Value>), WireError> {
    let mut request = Fields::of(request, at)?;
    request.take("model");
    let mut text = String::new();
    if let Some(mut content) = request.object("content")? {
        for (at, part) in content.list("parts") {
            let mut part = Fields::of(part, &at)?;
            let text_at = part.path("text");
            match part.text("text")? {
                Some(piece) => text.push_str(&piece),
                None => return refuse(&text_at, "a text", &Value::Null),
            }
        }
    }
    let dimensions = request.take("outputDimensionality");
    match request.rest().first() {
        Some(path) => {
            refuse(path, "a field of Gemini's embeddings that has a counterpart here", &Value::Null)
        }
        None => Ok((text, dimensions)),
    }
}

fn request(model: &str, input: Value, dimensions: Option<Value>) -> Result<EmbeddingsRequest, WireError> {
    // The client gets numbers; until then base64 is shorter and quicker to read.
    let mut out = json!({ "model": model, "input": input, "encoding_format": "base64" });
    if let (Some(dimensions), Value::Object(out)) = (dimensions, &mut out) {
        out.insert("dimensions".to_owned(), dimensions);
    }
    EmbeddingsRequest::parse(json::encode(&out))
}

fn in_geminis_words(error: WireError, input: impl Fn(&str) -> String) -> WireError {
    let WireError::Invalid { field, expected, got } = error else { return error };
    let field = match field.as_str() {
        "dimensions" => "outputDimensionality".to_owned(),
        field if field.starts_with("input") => input(field),
        _ => field,
    };
    WireError::Invalid { field, expected, got }
}

#[derive(Serialize)]
struct Values {
    values: Vec<f32>,
}

/// Our answer as a client of `:embedContent` expects it: the one vector.
///
/// # Errors
/// As [`embeddings_vectors`].
pub fn embed_answer(body: &[u8]) -> Result<Bytes, WireError> {
    #[derive(Serialize)]
    struct Answer {
        embedding: Values,
    }
    let values = embeddings_vectors(body)?.vectors.into_iter().next().unwrap_or_default();
    Ok(json::encode(&Answer { embedding: Values { values } }))
}

/// Our answer as a client of `:batchEmbedContents` expects it.
///
/// # Errors
/// As [`embeddings_vectors`].
pub fn batch_embed_answer(body: &[u8]) -> Result<Bytes, WireError> {
    #[derive(Serialize)]
    struct Answer {
        embeddings: Vec<Values>,
    }
    let vectors = embeddings_vectors(body)?.vectors;
    let embeddings = vectors.into_iter().map(|values| Values { values }).collect();
    Ok(json::encode(&Answer { embeddings }))
}
