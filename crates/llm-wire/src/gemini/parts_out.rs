//! What a message says, in Gemini's parts.

use serde_json::{Map, Value, json};

use super::fields::{refuse, refuse_text};
use crate::WireError;
use crate::openai::{Content, Part};

/// Names a field of a message that is left out, once.
pub(super) fn drop_field(name: &str, dropped: &mut Vec<String>) {
    let path = format!("messages[].{name}");
    if !dropped.contains(&path) {
        dropped.push(path);
    }
}

/// The parts of a message's content.
pub(super) fn content_parts(
    content: Option<Content>,
    at: &str,
    dropped: &mut Vec<String>,
) -> Result<Vec<Value>, WireError> {
    let parts = match content {
        None => return Ok(Vec::new()),
        Some(Content::Text(text)) => return Ok(vec![json!({ "text": text })]),
        Some(Content::Parts(parts)) => parts,
    };
    let part = |(index, part)| content_part(part, &format!("{at}.content[{index}]"), dropped);
    parts.iter().enumerate().map(part).collect()
}

fn content_part(part: &Part, at: &str, dropped: &mut Vec<String>) -> Result<Value, WireError> {
    if part.0.contains_key("cache_control") {
        drop_field("content[].cache_control", dropped);
    }
    if let Some(text) = part.text() {
        return Ok(json!({ "text": text }));
    }
    let field = |name: &str| part.0.get(part.kind())?.get(name)?.as_str();
    if let Some(url) = part.image_url() {
        if field("detail").is_some_and(|detail| detail != "auto") {
            drop_field("content[].image_url.detail", dropped);
        }
        return media(url, &format!("{at}.image_url.url"));
    }
    match (part.kind(), field("data"), field("format"), field("file_data")) {
        ("input_audio", Some(data), Some(format), _) => {
            Ok(json!({ "inlineData": { "mimeType": format!("audio/{format}"), "data": data } }))
        }
        ("file", _, _, Some(url)) => {
            if field("filename").is_some() {
                drop_field("content[].file.filename", dropped);
            }
            media(url, &format!("{at}.file.file_data"))
        }
        ("refusal", ..) => {
            Ok(json!({ "text": part.0.get("refusal").and_then(Value::as_str).unwrap_or_default() }))
        }
        (kind, ..) => {
            let expected = "text, image_url, input_audio with data, or file with file_data";
            refuse(&format!("{at}.type"), expected, &json!(kind))
        }
    }
}

/// The media at an address: what a `data:` URL holds, or what Google's servers fetch.
pub(super) fn media(url: &str, at: &str) -> Result<Value, WireError> {
    if let Some((media, data)) = url.strip_prefix("data:").and_then(|url| url.split_once(";base64,")) {
        return Ok(json!({ "inlineData": { "mimeType": media, "data": data } }));
    }
    if ["https://", "http://", "gs://"].iter().any(|scheme| url.starts_with(scheme)) {
        let mut file = Map::from_iter([("fileUri".to_owned(), json!(url))]);
        file.extend(media_type(url).map(|media| ("mimeType".to_owned(), json!(media))));
        return Ok(json!({ "fileData": file }));
    }
    refuse_text(at, "data:<type>;base64,<data>, or an address on http, https or gs", url)
}

/// The type of a file by the end of its address; Google's servers find out what has none.
fn media_type(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next()?;
    let (_, extension) = path.rsplit_once('.')?;
    let types = [
        ("png", "image/png"),
        ("jpg", "image/jpeg"),
        ("jpeg", "image/jpeg"),
        ("webp", "image/webp"),
        ("gif", "image/gif"),
        ("heic", "image/heic"),
        ("pdf", "application/pdf"),
    ];
    types.iter().find(|(known, _)| extension.eq_ignore_ascii_case(known)).map(|(_, media)| *media)
}
