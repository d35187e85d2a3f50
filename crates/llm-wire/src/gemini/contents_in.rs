//! Gemini's contents as OpenAI's messages.

use std::collections::VecDeque;

use serde_json::{Map, Value, json};

use super::contents_out::is_wrapped;
use super::fields::{Fields, refuse};
use super::inbound::Unsaid;
use super::{SIGNATURE_FORMAT, SIGNED_CONTENT};
use crate::WireError;

/// Calls that no result has answered yet, as (identifier, name).
type OpenCalls = VecDeque<(String, String)>;
/// Most calls that wait for their results, each of which is looked for among them; beyond that the oldest has got none.
const MAX_OPEN_CALLS: usize = 1024;

/// The messages of a request: its system instruction, then its contents.
pub(super) fn translate_contents(request: &mut Fields, unsaid: &mut Unsaid) -> Result<Vec<Value>, WireError> {
    let mut messages = Vec::new();
    if let Some(mut system) = request.object("systemInstruction")? {
        system.take("role");
        let mut texts = Vec::new();
        for (at, part) in system.list("parts") {
            let mut part = Fields::of(part, &at)?;
            let text_at = part.path("text");
            match part.text("text")? {
                Some(text) => texts.push(json!({ "type": "text", "text": text })),
                None => unsaid.miss(&text_at, "a text, which is what others are instructed by", &Value::Null),
            }
            part.rest().iter().for_each(|path| unsaid.drop(path));
        }
        if !texts.is_empty() {
            messages.push(json!({ "role": "system", "content": plain(texts) }));
        }
    }
    let contents = request.list("contents");
    if contents.is_empty() {
        return refuse("contents", "at least one content", &Value::Null);
    }
    let mut open = OpenCalls::new();
    for (index, (at, content)) in contents.into_iter().enumerate() {
        let mut content = Fields::of(content, &at)?;
        let role_at = content.path("role");
        let role = content.text("role")?.unwrap_or_default();
        let parts = content.list("parts");
        match role.as_str() {
            // `function` is the older role of results.
            "" | "user" | "function" => user(parts, &mut open, &mut messages, unsaid)?,
            "model" => messages.extend(model(parts, index, &mut open, unsaid)?),
            _ => return refuse(&role_at, "user or model", &json!(role)),
        }
        content.rest().iter().for_each(|path| unsaid.drop(path));
    }
    Ok(messages)
}

/// One text as itself, anything else as parts.
fn plain(mut parts: Vec<Value>) -> Value {
    match parts.as_mut_slice() {
        [one] => match one.get_mut("text").map(Value::take) {
            Some(text) => text,
            None => Value::Array(parts),
        },
        _ => Value::Array(parts),
    }
}

/// Results come first, because OpenAI wants them right after the calls; then what the person says.
fn user(
    parts: Vec<(String, Value)>,
    open: &mut OpenCalls,
    messages: &mut Vec<Value>,
    unsaid: &mut Unsaid,
) -> Result<(), WireError> {
    let mut said = Vec::new();
    for (at, part) in parts {
        let mut part = Fields::of(part, &at)?;
        if let Some(response) = part.object("functionResponse")? {
            messages.extend(result(response, open, unsaid)?);
        } else if let Some(text) = part.text("text")? {
            said.push(json!({ "type": "text", "text": text }));
        } else if let Some(blob) = part.object("inlineData")? {
            said.extend(inline_data(blob, unsaid)?);
        } else if let Some(file) = part.object("fileData")? {
            said.extend(file_data(file, unsaid)?);
        }
        rest(&mut part, unsaid);
    }
    if !said.is_empty() {
        messages.push(json!({ "role": "user", "content": plain(said) }));
    }
    Ok(())
}

/// What of a part nobody took.
fn rest(part: &mut Fields, unsaid: &mut Unsaid) {
    for path in part.rest() {
        match path.rsplit('.').next().unwrap_or_default() {
            "thought" | "thoughtSignature" | "mediaResolution" | "partMetadata" => unsaid.drop(&path),
            _ => unsaid.miss(&path, "a part that has a counterpart here", &json!({})),
        }
    }
}

fn inline_data(mut blob: Fields, unsaid: &mut Unsaid) -> Result<Option<Value>, WireError> {
    let at = blob.path("mimeType");
    let media = blob.text("mimeType")?.unwrap_or_default();
    let data = blob.text("data")?.unwrap_or_default();
    let name = blob.text("displayName")?;
    let url = format!("data:{media};base64,{data}");
    let part = match media.as_str() {
        image if image.starts_with("image/") => {
            json!({ "type": "image_url", "image_url": { "url": url } })
        }
        "audio/wav" | "audio/x-wav" => audio("wav", &data),
        "audio/mp3" | "audio/mpeg" => audio("mp3", &data),
        "application/pdf" => {
            let name = name.unwrap_or_else(|| "document.pdf".to_owned());
            json!({ "type": "file", "file": { "filename": name, "file_data": url } })
        }
        other => {
            unsaid.miss(&at, "an image, WAV, MP3 or PDF", &json!(other));
            return Ok(None);
        }
    };
    Ok(Some(part))
}

fn audio(format: &str, data: &str) -> Value {
    json!({ "type": "input_audio", "input_audio": { "data": data, "format": format } })
}

fn file_data(mut file: Fields, unsaid: &mut Unsaid) -> Result<Option<Value>, WireError> {
    let at = file.path("fileUri");
    let media = file.text("mimeType")?;
    let uri = file.text("fileUri")?.unwrap_or_default();
    let is_image = media.is_none_or(|media| media.starts_with("image/"));
    let is_web = uri.starts_with("https://") || uri.starts_with("http://");
    // Files that were given to Google only Google can open.
    if !is_image || !is_web || uri.starts_with("https://generativelanguage.googleapis.com/") {
        unsaid.miss(&at, "the address of an image on the web", &json!(uri));
        return Ok(None);
    }
    Ok(Some(json!({ "type": "image_url", "image_url": { "url": uri } })))
}

fn result(
    mut response: Fields,
    open: &mut OpenCalls,
    unsaid: &mut Unsaid,
) -> Result<Option<Value>, WireError> {
    let at = response.path("name");
    let name = response.text("name")?.unwrap_or_default();
    let id = response.text("id")?.filter(|id| !id.is_empty());
    let body = match response.take("response") {
        Some(Value::Object(body)) => body,
        None => Map::new(),
        Some(other) => return refuse(&response.path("response"), "an object", &other),
    };
    // `willContinue` and `scheduling` are of calls that do not block.
    for path in response.rest() {
        unsaid.miss(&path, "a result that is only an object", &json!({}));
    }
    let called = |(known, called): &(String, String)| id.as_ref().map_or(*called == name, |id| known == id);
    let position = open.iter().position(called);
    let Some((id, _)) = position.and_then(|position| open.remove(position)) else {
        unsaid.miss(&at, "the name of a call made before", &json!(name));
        return Ok(None);
    };
    let text = match body.get("output") {
        Some(Value::String(text)) if is_wrapped(&body) => text.clone(),
        _ => Value::Object(body).to_string(),
    };
    Ok(Some(json!({ "role": "tool", "tool_call_id": id, "content": text })))
}

/// What a model said, with the signatures beside it; see the module's documentation.
fn model(
    parts: Vec<(String, Value)>,
    content: usize,
    open: &mut OpenCalls,
    unsaid: &mut Unsaid,
) -> Result<Option<Value>, WireError> {
    let (mut texts, mut thoughts, mut details, mut calls) =
        (Vec::new(), String::new(), Vec::new(), Vec::new());
    for (position, (at, part)) in parts.into_iter().enumerate() {
        let mut part = Fields::of(part, &at)?;
        let signature = part.text("thoughtSignature")?.filter(|signature| !signature.is_empty());
        let thought = part.flag("thought")?;
        let mut encrypted = |id: Option<&str>| {
            details.extend(signature.as_ref().map(|data| {
                let mut detail =
                    json!({ "type": "reasoning.encrypted", "data": data, "format": SIGNATURE_FORMAT });
                if let (Some(id), Value::Object(detail)) = (id, &mut detail) {
                    detail.insert("id".to_owned(), json!(id));
                }
                detail
            }));
        };
        if let Some(call) = part.object("functionCall")? {
            let (id, call) = function_call(call, &format!("call_{content}_{position}"), open, unsaid)?;
            encrypted(Some(&id));
            calls.push(call);
        } else if let Some(text) = part.text("text")? {
            if thought {
                thoughts.push_str(&text);
                details.extend(signature.map(|signature| {
                    json!({ "type": "reasoning.text", "text": text, "signature": signature, "format": SIGNATURE_FORMAT })
                }));
            } else if text.is_empty() {
                encrypted(None);
            } else {
                encrypted(Some(SIGNED_CONTENT));
                texts.push(json!({ "type": "text", "text": text }));
            }
        }
        rest(&mut part, unsaid);
    }
    if texts.is_empty() && thoughts.is_empty() && calls.is_empty() && details.is_empty() {
        return Ok(None);
    }
    let mut message = Map::from_iter([("role".to_owned(), json!("assistant"))]);
    let content = if texts.is_empty() && !calls.is_empty() { Value::Null } else { plain(texts) };
    // An answer without a word is an empty text, not an empty list.
    let content = if content == json!([]) { json!("") } else { content };
    message.insert("content".to_owned(), content);
    if !thoughts.is_empty() {
        message.insert("reasoning_content".to_owned(), json!(thoughts));
    }
    if !details.is_empty() {
        message.insert("reasoning_details".to_owned(), Value::Array(details));
    }
    if !calls.is_empty() {
        message.insert("tool_calls".to_owned(), Value::Array(calls));
    }
    Ok(Some(Value::Object(message)))
}

/// Gemini writes a call's arguments as an object, OpenAI as a string of JSON.
fn function_call(
    mut call: Fields,
    made: &str,
    open: &mut OpenCalls,
    unsaid: &mut Unsaid,
) -> Result<(String, Value), WireError> {
    let name_at = call.path("name");
    let Some(name) = call.text("name")? else {
        return refuse(&name_at, "the name of a function", &Value::Null);
    };
    let id = call.text("id")?.filter(|id| !id.is_empty()).unwrap_or_else(|| made.to_owned());
    let args = match call.take("args") {
        None => Map::new(),
        Some(Value::Object(args)) => args,
        Some(other) => return refuse(&call.path("args"), "an object", &other),
    };
    for path in call.rest() {
        unsaid.miss(&path, "a call that is whole", &json!({}));
    }
    if open.len() == MAX_OPEN_CALLS {
        open.pop_front();
    }
    open.push_back((id.clone(), name.clone()));
    let arguments = Value::Object(args).to_string();
    let call = json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } });
    Ok((id, call))
}
