//! Blocks of Anthropic's content as parts of OpenAI's.

use serde_json::{Map, Value, json};

use super::{Notes, refuse};
use crate::anthropic::REASONING_FORMAT;
use crate::{WireError, json};

/// The parts that a block becomes; none where OpenAI cannot say it, which is noted.
pub(super) fn part(block: Map<String, Value>, at: &str, notes: &mut Notes) -> Result<Vec<Value>, WireError> {
    let kind = block.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    match kind.as_str() {
        "text" => Ok(vec![text(block, at, notes)?]),
        "image" => Ok(image(block, at, notes)?.into_iter().collect()),
        "document" => document(block, at, notes),
        "tool_use" | "thinking" | "redacted_thinking" => {
            refuse(format!("{at}.type"), "a block that a user says", &json!(kind))
        }
        // Results of Anthropic's own tools, files in its containers, and what is still to come.
        _ => {
            let expected = "text, image or document: this kind of block is known to Anthropic only";
            notes.cannot(format!("{at}.type"), expected, json::shown_tree(&json!(kind)));
            Ok(Vec::new())
        }
    }
}

fn string<'a>(from: &'a Map<String, Value>, key: &str, at: &str, what: &str) -> Result<&'a str, WireError> {
    let value = from.get(key).unwrap_or(&Value::Null);
    match value.as_str() {
        Some(text) => Ok(text),
        None => refuse(format!("{at}.{key}"), what, value),
    }
}

/// Names what of a block its part does not say. `cache_control` is among it, because OpenAI's own API refuses fields that
/// it does not know.
fn name_rest(rest: Map<String, Value>, known: &[&str], at: &str, notes: &mut Notes) {
    let block = if at.starts_with("system") { "system[]" } else { "messages[].content[]" };
    for (name, value) in rest {
        if name != "type" && !known.contains(&name.as_str()) {
            notes.dropped.name_unless_empty(format!("{block}.{name}"), &value);
        }
    }
}

pub(super) fn text(block: Map<String, Value>, at: &str, notes: &mut Notes) -> Result<Value, WireError> {
    let text = string(&block, "text", at, "a string")?;
    let part = json!({ "type": "text", "text": text });
    name_rest(block, &["text"], at, notes);
    Ok(part)
}

/// The source of an image or a document, and its kind.
fn source<'a>(
    block: &'a Map<String, Value>,
    at: &str,
) -> Result<(&'a Map<String, Value>, &'a str), WireError> {
    let source = block.get("source").unwrap_or(&Value::Null);
    let Value::Object(source) = source else {
        return refuse(format!("{at}.source"), "an object with a type", source);
    };
    let kind = string(source, "type", &format!("{at}.source"), "a string like \"base64\"")?;
    Ok((source, kind))
}

fn unknown_source(kind: &str, at: &str, notes: &mut Notes) {
    let expected = "the data itself: files in Anthropic's store are known to Anthropic only";
    notes.cannot(format!("{at}.source.type"), expected, json::shown_tree(&json!(kind)));
}

fn image(block: Map<String, Value>, at: &str, notes: &mut Notes) -> Result<Option<Value>, WireError> {
    let (source, kind) = source(&block, at)?;
    let at_source = format!("{at}.source");
    let url = match kind {
        "base64" => {
            let media = string(source, "media_type", &at_source, "the type of the image, like image/png")?;
            let data = string(source, "data", &at_source, "the image in base64")?;
            format!("data:{media};base64,{data}")
        }
        "url" => string(source, "url", &at_source, "the address of the image")?.to_owned(),
        other => {
            unknown_source(other, at, notes);
            return Ok(None);
        }
    };
    let part = json!({ "type": "image_url", "image_url": { "url": url } });
    name_rest(block, &["source"], at, notes);
    Ok(Some(part))
}

/// A PDF is a file of OpenAI's; a text is text.
fn document(block: Map<String, Value>, at: &str, notes: &mut Notes) -> Result<Vec<Value>, WireError> {
    let (source, kind) = source(&block, at)?;
    let at_source = format!("{at}.source");
    let part = match kind {
        "base64" => {
            let media = string(source, "media_type", &at_source, "application/pdf")?;
            let data = string(source, "data", &at_source, "the document in base64")?;
            let name = block.get("title").and_then(Value::as_str).unwrap_or("document.pdf");
            let file = json!({ "filename": name, "file_data": format!("data:{media};base64,{data}") });
            json!({ "type": "file", "file": file })
        }
        "text" => {
            json!({ "type": "text", "text": string(source, "data", &at_source, "the text")? })
        }
        "content" => {
            let content = match source.get("content").unwrap_or(&Value::Null) {
                Value::String(text) => vec![json!({ "type": "text", "text": text })],
                Value::Array(blocks) => blocks.clone(),
                other => {
                    return refuse(format!("{at_source}.content"), "a string or an array of blocks", other);
                }
            };
            let mut parts = Vec::new();
            for (index, inner) in content.into_iter().enumerate() {
                let at = format!("{at_source}.content[{index}]");
                let Value::Object(inner) = inner else { return refuse(at, "an object with a type", &inner) };
                match inner.get("type").and_then(Value::as_str) {
                    Some("text") => parts.push(text(inner, &at, notes)?),
                    Some("image") => parts.extend(image(inner, &at, notes)?),
                    _ => {
                        let kind = inner.get("type").unwrap_or(&Value::Null);
                        return refuse(format!("{at}.type"), "text or image", kind);
                    }
                }
            }
            name_rest(block, &["source"], at, notes);
            return Ok(parts);
        }
        "url" => {
            let address = string(source, "url", &at_source, "the address of the document")?;
            let got = format!("an address of {} bytes", address.len());
            let expected = "the document itself, because OpenAI's messages have no addresses of documents";
            notes.cannot(format!("{at_source}.url"), expected, got);
            return Ok(Vec::new());
        }
        other => {
            unknown_source(other, at, notes);
            return Ok(Vec::new());
        }
    };
    let known: &[&str] = if kind == "base64" { &["source", "title"] } else { &["source"] };
    name_rest(block, known, at, notes);
    Ok(vec![part])
}

/// A call of a tool.
pub(super) fn call(block: Map<String, Value>, at: &str, notes: &mut Notes) -> Result<Value, WireError> {
    let id = string(&block, "id", at, "the id of the call")?;
    let name = string(&block, "name", at, "the name of the tool")?;
    let input = block.get("input").unwrap_or(&Value::Null);
    if !input.is_object() {
        return refuse(format!("{at}.input"), "an object", input);
    }
    let function = json!({ "name": name, "arguments": input.to_string() });
    let call = json!({ "id": id, "type": "function", "function": function });
    for (name, value) in &block {
        if !["type", "id", "name", "input"].contains(&name.as_str()) {
            notes.dropped.name_unless_empty(format!("messages[].content[].{name}"), value);
        }
    }
    Ok(call)
}

/// What the assistant thought, as text and with what its provider needs to believe it.
#[derive(Default)]
pub(super) struct Thoughts {
    text: String,
    details: Vec<Value>,
}

impl Thoughts {
    pub(super) fn take(&mut self, block: &Map<String, Value>, at: &str) -> Result<(), WireError> {
        if block.get("type").is_some_and(|kind| kind == "redacted_thinking") {
            let data = string(block, "data", at, "the data of the thinking")?;
            self.details
                .push(json!({ "type": "reasoning.encrypted", "data": data, "format": REASONING_FORMAT }));
            return Ok(());
        }
        let thinking = string(block, "thinking", at, "a string")?;
        self.text.push_str(thinking);
        match block.get("signature") {
            // Thinking of another provider's model, which Anthropic's clients keep without a signature.
            None | Some(Value::Null) => {}
            Some(Value::String(signature)) if signature.is_empty() => {}
            Some(Value::String(signature)) => self.details.push(json!({
                "type": "reasoning.text",
                "text": thinking,
                "signature": signature,
                "format": REASONING_FORMAT,
            })),
            Some(other) => return refuse(format!("{at}.signature"), "a string", other),
        }
        Ok(())
    }

    pub(super) fn write(self, message: &mut Map<String, Value>) {
        if !self.text.is_empty() {
            message.insert("reasoning_content".to_owned(), json!(self.text));
        }
        if !self.details.is_empty() {
            message.insert("reasoning_details".to_owned(), Value::Array(self.details));
        }
    }
}
