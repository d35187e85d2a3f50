//! Parts of OpenAI's content as blocks of Anthropic's.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::messages::shown_kind;
use super::refuse;
use crate::WireError;
use crate::dropped::Dropped;
use crate::openai::{Content, Part};

/// The formats of images that Anthropic reads.
const IMAGES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

/// The blocks of a message's content; texts that are empty say nothing and are left out, because Anthropic refuses them.
pub(super) fn translate(
    content: Option<Content>,
    at: &str,
    dropped: &mut Dropped,
) -> Result<Vec<Value>, WireError> {
    let parts = match content {
        None => return Ok(Vec::new()),
        Some(Content::Text(text)) if text.is_empty() => return Ok(Vec::new()),
        Some(Content::Text(text)) => return Ok(vec![json!({ "type": "text", "text": text })]),
        Some(Content::Parts(parts)) => parts,
    };
    let mut blocks = Vec::with_capacity(parts.len());
    for (index, part) in parts.into_iter().enumerate() {
        let at = format!("{at}.content[{index}]");
        let (block, known) = match part.kind() {
            "text" if part.text() == Some("") => (None, "text"),
            "text" => (Some(json!({ "type": "text", "text": part.text() })), "text"),
            "refusal" => {
                (part.0.get("refusal").map(|text| json!({ "type": "text", "text": text })), "refusal")
            }
            "image_url" => (Some(image(&part, &at, dropped)?), "image_url"),
            "file" => (Some(document(&part, &at, dropped)?), "file"),
            _ => {
                let expected = "text, image_url or file, which are what Anthropic takes";
                return Err(WireError::invalid(format!("{at}.type"), expected, shown_kind(&part)));
            }
        };
        let mut mark = None;
        for (name, value) in part.0 {
            match name.as_str() {
                "cache_control" => mark = Some(value).filter(|value| !value.is_null()),
                "type" => {}
                name if name == known => {}
                _ => dropped.name_unless_empty(format!("messages[].content[].{name}"), &value),
            }
        }
        match (block, mark) {
            (Some(Value::Object(mut block)), Some(mark)) => {
                block.insert("cache_control".to_owned(), mark);
                blocks.push(Value::Object(block));
            }
            (Some(block), _) => blocks.push(block),
            (None, Some(_)) => dropped.name("messages[].content[].cache_control"),
            (None, None) => {}
        }
    }
    Ok(blocks)
}

/// The type and the payload of a `data:` URL in base64.
fn base64_of(url: &str) -> Option<(&str, &str)> {
    let (media, payload) = url.strip_prefix("data:")?.split_once(',')?;
    Some((media.strip_suffix(";base64")?, payload))
}

fn image(part: &Part, at: &str, dropped: &mut Dropped) -> Result<Value, WireError> {
    let url = part.image_url().unwrap_or_default();
    if let Some(detail) = part.0.get("image_url").and_then(|image| image.get("detail"))
        && detail != "auto"
    {
        dropped.name_unless_empty("messages[].content[].image_url.detail", detail);
    }
    let source = match base64_of(url) {
        Some((media, data)) if IMAGES.contains(&media) => {
            json!({ "type": "base64", "media_type": media, "data": data })
        }
        None if url.starts_with("https://") || url.starts_with("http://") => {
            json!({ "type": "url", "url": url })
        }
        _ => {
            let expected = "an http(s) address, or data:TYPE;base64,... of a JPEG, PNG, GIF or WebP image";
            return refuse(&format!("{at}.image_url.url"), expected, &json!(url));
        }
    };
    Ok(json!({ "type": "image", "source": source }))
}

fn document(part: &Part, at: &str, dropped: &mut Dropped) -> Result<Value, WireError> {
    let empty = Map::new();
    let file = part.0.get("file").and_then(Value::as_object).unwrap_or(&empty);
    if let Some(id) = file.get("file_id").filter(|id| !id.is_null()) {
        let expected = "file_data in its place, because Anthropic does not know the provider's files";
        return refuse(&format!("{at}.file.file_id"), expected, id);
    }
    let data = file.get("file_data").and_then(Value::as_str).unwrap_or_default();
    let refused = |got: &Value| {
        let expected = "data:application/pdf;base64,... or data:text/plain;base64,..., which Anthropic reads";
        refuse(&format!("{at}.file.file_data"), expected, got)
    };
    let source = match base64_of(data) {
        Some(("application/pdf", data)) => {
            json!({ "type": "base64", "media_type": "application/pdf", "data": data })
        }
        Some(("text/plain", data)) => {
            match STANDARD.decode(data).ok().and_then(|text| String::from_utf8(text).ok()) {
                Some(text) => json!({ "type": "text", "media_type": "text/plain", "data": text }),
                None => return refused(&json!("base64 of something that is no text")),
            }
        }
        _ => return refused(file.get("file_data").unwrap_or(&Value::Null)),
    };
    let mut document = Map::new();
    document.insert("type".to_owned(), json!("document"));
    document.insert("source".to_owned(), source);
    for (name, value) in file {
        match name.as_str() {
            "file_data" | "file_id" => {}
            "filename" if value.is_string() => _ = document.insert("title".to_owned(), value.clone()),
            _ => dropped.name_unless_empty(format!("messages[].content[].file.{name}"), value),
        }
    }
    Ok(Value::Object(document))
}
