//! What an item says, as the content of a message.

use serde_json::{Map, Value, json};

use super::{Dropped, refuse};
use crate::WireError;

const EXPECTED: &str = "input_text, input_image, input_file, input_audio, output_text or refusal";

/// A string stays one, and a single text becomes one: every server and template understands that.
pub(super) fn translate(content: Value, at: &str, dropped: &mut Dropped) -> Result<Value, WireError> {
    let parts = match content {
        text @ Value::String(_) => return Ok(text),
        Value::Array(parts) => parts,
        other => return refuse(at, "a string or an array of parts", &other),
    };
    let mut translated = Vec::with_capacity(parts.len());
    for (index, part) in parts.into_iter().enumerate() {
        translated.push(translate_part(part, &format!("{at}[{index}]"), dropped)?);
    }
    Ok(match translated.as_slice() {
        [] => json!(""),
        [one] if one.get("type").and_then(Value::as_str) == Some("text") => {
            one.get("text").cloned().unwrap_or_default()
        }
        _ => Value::Array(translated),
    })
}

/// Two contents, one after the other.
pub(super) fn joined(first: Value, second: Value) -> Value {
    let parts = |content| match content {
        Value::Array(parts) => parts,
        text => vec![json!({ "type": "text", "text": text })],
    };
    let mut all = parts(first);
    all.append(&mut parts(second));
    Value::Array(all)
}

fn translate_part(part: Value, at: &str, dropped: &mut Dropped) -> Result<Value, WireError> {
    let Value::Object(mut part) = part else { return refuse(at, "an object with a type", &part) };
    part.retain(|_, value| !value.is_null());
    if part.shift_remove("prompt_cache_breakpoint").is_some() {
        dropped.note("input[].content[].prompt_cache_breakpoint");
    }
    let kind = part.shift_remove("type").unwrap_or_default();
    let translated = match kind.as_str() {
        Some("input_text") => json!({ "type": "text", "text": text(&mut part, "text", at)? }),
        Some("output_text") => {
            for name in ["annotations", "logprobs"] {
                // What was added to an answer is no part of its text.
                if part.shift_remove(name).is_some_and(|list| list != json!([])) {
                    dropped.note(&format!("input[].content[].{name}"));
                }
            }
            json!({ "type": "text", "text": text(&mut part, "text", at)? })
        }
        Some("refusal") => json!({ "type": "refusal", "refusal": text(&mut part, "refusal", at)? }),
        Some("input_image") => image(&mut part, at, dropped)?,
        Some("input_file") => file(&mut part, at, dropped)?,
        Some("input_audio") => {
            json!({ "type": "input_audio", "input_audio": part.shift_remove("input_audio") })
        }
        _ => return refuse(&format!("{at}.type"), EXPECTED, &kind),
    };
    match part.iter().next() {
        None => Ok(translated),
        Some((name, value)) => {
            refuse(&format!("{at}.{name}"), "a field of this part that has a counterpart in a chat", value)
        }
    }
}

fn image(part: &mut Map<String, Value>, at: &str, dropped: &mut Dropped) -> Result<Value, WireError> {
    not_stored(part, at, "image_url, an address or data:image/...;base64,...")?;
    let mut image = Map::new();
    image.insert("url".to_owned(), json!(text(part, "image_url", at)?));
    match part.shift_remove("detail") {
        None => {}
        Some(detail) if detail == "auto" => {}
        Some(detail) if detail == "low" || detail == "high" => _ = image.insert("detail".to_owned(), detail),
        // The nearest that a chat has.
        Some(detail) if detail == "original" => {
            dropped.note("input[].content[].detail");
            image.insert("detail".to_owned(), json!("high"));
        }
        Some(detail) => return refuse(&format!("{at}.detail"), "auto, low, high or original", &detail),
    }
    Ok(json!({ "type": "image_url", "image_url": image }))
}

fn file(part: &mut Map<String, Value>, at: &str, dropped: &mut Dropped) -> Result<Value, WireError> {
    const EXPECTED: &str = "file_data, the file itself as data:...;base64,...";
    not_stored(part, at, EXPECTED)?;
    if let Some(url) = part.get("file_url") {
        return refuse(&format!("{at}.file_url"), EXPECTED, url);
    }
    if part.shift_remove("detail").is_some_and(|detail| detail != "auto") {
        dropped.note("input[].content[].detail");
    }
    let mut file = Map::new();
    file.insert("file_data".to_owned(), json!(text(part, "file_data", at)?));
    if let Some(name) = part.shift_remove("filename") {
        file.insert("filename".to_owned(), name);
    }
    Ok(json!({ "type": "file", "file": file }))
}

fn not_stored(part: &Map<String, Value>, at: &str, instead: &str) -> Result<(), WireError> {
    match part.get("file_id") {
        None => Ok(()),
        Some(id) => {
            refuse(&format!("{at}.file_id"), &format!("{instead}, because no files are stored here"), id)
        }
    }
}

fn text(part: &mut Map<String, Value>, name: &str, at: &str) -> Result<String, WireError> {
    match part.shift_remove(name) {
        Some(Value::String(text)) => Ok(text),
        other => refuse(&format!("{at}.{name}"), "a string", &other.unwrap_or_default()),
    }
}
