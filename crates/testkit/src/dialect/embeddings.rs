//! Vectors, as each dialect asks for and writes them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Dialect, PROMPT_TOKENS};
use crate::behaviour::Vectors;

/// The answer to a request for embeddings, of which the path named `model` and said whether it is a batch, where it
/// does; the error is a sentence for the client.
pub(crate) fn embeddings(
    dialect: Dialect,
    model: Option<&str>,
    body: &[u8],
    shape: &Vectors,
) -> Result<Value, String> {
    let json: Value =
        serde_json::from_slice(body).map_err(|error| format!("the body is not JSON: {error}"))?;
    if dialect == Dialect::Gemini {
        return gemini(&json, shape);
    }
    let model =
        model.or_else(|| json.get("model").and_then(Value::as_str)).ok_or("`model` must be a string")?;
    let inputs = match json.get("input") {
        Some(Value::Array(inputs)) if !inputs.first().is_some_and(Value::is_number) => inputs.as_slice(),
        Some(one) => std::slice::from_ref(one),
        None => return Err("`input` is missing".to_owned()),
    };
    let dimensions = dimensions(&json, "dimensions", shape);
    let vectors: Vec<Vec<f32>> =
        inputs.iter().map(|input| vector(input, dimensions)).collect::<Result<_, _>>()?;
    let sent = &vectors[..vectors.len().saturating_sub(shape.missing)];
    let tokens = PROMPT_TOKENS * inputs.len() as u64;
    if dialect == Dialect::Ollama {
        return Ok(
            json!({"model": model, "embeddings": sent, "total_duration": 1_000_000, "load_duration": 0,
            "prompt_eval_count": tokens}),
        );
    }
    let asked = json.get("encoding_format").and_then(Value::as_str) == Some("base64");
    let written = |vector: &Vec<f32>| match shape.base64.unwrap_or(asked) {
        true => json!(STANDARD.encode(vector.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>())),
        false => json!(vector),
    };
    let entry =
        |(index, vector)| json!({"object": "embedding", "index": index, "embedding": written(vector)});
    let data: Vec<Value> = sent.iter().enumerate().map(entry).collect();
    Ok(json!({"object": "list", "data": data, "model": model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}))
}

/// `batchEmbedContents` has `requests`, `embedContent` is one of them.
fn gemini(json: &Value, shape: &Vectors) -> Result<Value, String> {
    let batch = json.get("requests").and_then(Value::as_array);
    let requests = batch.map_or(std::slice::from_ref(json), Vec::as_slice);
    let values = |request: &Value| {
        let parts = request.pointer("/content/parts").and_then(Value::as_array);
        let parts = parts.ok_or("`content.parts` must be an array")?;
        let text: String = parts.iter().filter_map(|part| part.get("text")?.as_str()).collect();
        let values = vector(&Value::String(text), dimensions(request, "outputDimensionality", shape))?;
        Ok::<Value, String>(json!({"values": values}))
    };
    let mut all: Vec<Value> = requests.iter().map(values).collect::<Result<_, _>>()?;
    all.truncate(all.len().saturating_sub(shape.missing));
    Ok(match batch {
        Some(_) => json!({"embeddings": all}),
        None => json!({"embedding": all.pop()}),
    })
}

fn dimensions(request: &Value, field: &str, shape: &Vectors) -> usize {
    let asked = request.get(field).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    asked.unwrap_or(shape.dimensions)
}

/// See [`Vectors`].
fn vector(input: &Value, dimensions: usize) -> Result<Vec<f32>, String> {
    let numbers: Option<Vec<u32>> = match input {
        Value::String(text) => Some(text.bytes().map(u32::from).collect()),
        Value::Array(tokens) => {
            tokens.iter().map(|t| t.as_u64().and_then(|t| u32::try_from(t).ok())).collect()
        }
        _ => None,
    };
    match numbers {
        Some(numbers) if !numbers.is_empty() => {
            Ok(numbers.iter().cycle().take(dimensions).map(|&number| number as f32 / 256.0).collect())
        }
        _ => Err("`input` must be texts or tokens that are not empty".to_owned()),
    }
}
