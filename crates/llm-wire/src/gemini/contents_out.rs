//! OpenAI's messages as Gemini's contents.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::fields::{refuse, refuse_text};
use super::parts_out::{content_parts, drop_field, media};
use super::{SIGNATURE_FORMAT, SIGNED_CONTENT, SIGNED_IMAGE};
use crate::openai::{Message, Role};
use crate::{WireError, json};

/// One turn; neighbours of one kind are one, as the results of parallel calls have to be.
struct Turn {
    kind: Kind,
    parts: Vec<Value>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    User,
    Model,
    /// Also the user's, but never mixed with what a person says.
    Results,
}

/// Most details of one message: it has one for each of its texts, thoughts and calls, which are looked for one by one.
const MAX_DETAILS: usize = 1024;

/// A detail of somebody's reasoning; only Gemini's own go back to it.
#[derive(Deserialize)]
struct Detail {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    format: Option<String>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    signature: Option<String>,
    #[serde(default)]
    data: Option<String>,
}

/// The parts of the system instruction, and the contents. Of instructions alone the last are said by the user, because
/// Gemini answers none without contents.
pub(super) fn translate_messages(
    messages: Vec<Message>,
    dropped: &mut Vec<String>,
) -> Result<(Vec<Value>, Vec<Value>), WireError> {
    let only_instructions = messages.iter().all(|message| message.role.instructs());
    let mut system: Vec<(usize, Vec<Value>)> = Vec::new();
    let mut turns: Vec<Turn> = Vec::new();
    let mut calls = HashMap::new();
    for (index, message) in messages.into_iter().enumerate() {
        let at = format!("messages[{index}]");
        let (kind, mut parts) = match message.role {
            Role::System | Role::Developer => {
                let parts = system_parts(message, &at, dropped)?;
                if !parts.is_empty() {
                    system.push((index, parts));
                }
                continue;
            }
            Role::User => (Kind::User, user(message, &at, dropped)?),
            Role::Assistant => (Kind::Model, assistant(message, &at, &mut calls, dropped)?),
            Role::Tool => (Kind::Results, vec![result(message, &at, &calls, dropped)?]),
            Role::Function => {
                let expected = "tool, because the older role names no call";
                return refuse(&format!("{at}.role"), expected, &json!("function"));
            }
        };
        match turns.last_mut() {
            Some(last) if last.kind == kind => last.parts.append(&mut parts),
            _ => turns.push(Turn { kind, parts }),
        }
    }
    if only_instructions && let Some((index, parts)) = system.pop() {
        dropped.push(format!("messages[{index}].role"));
        turns.push(Turn { kind: Kind::User, parts });
    }
    turns.retain(|turn| !turn.parts.is_empty());
    if turns.is_empty() {
        let expected = "a message of a user, because Gemini answers no system instruction alone";
        return Err(WireError::invalid("messages", expected, "none"));
    }
    let content = |turn: Turn| {
        let role = if turn.kind == Kind::Model { "model" } else { "user" };
        json!({ "role": role, "parts": turn.parts })
    };
    let system = system.into_iter().flat_map(|(_, parts)| parts).collect();
    Ok((system, turns.into_iter().map(content).collect()))
}

fn system_parts(message: Message, at: &str, dropped: &mut Vec<String>) -> Result<Vec<Value>, WireError> {
    let parts = content_parts(message.content, at, dropped)?;
    if let Some(other) = parts.iter().find(|part| part.get("text").is_none()) {
        return refuse(&format!("{at}.content"), "text, which is what Gemini is instructed by", other);
    }
    leftover(message.name, message.extra, at, dropped)?;
    Ok(parts)
}

fn user(message: Message, at: &str, dropped: &mut Vec<String>) -> Result<Vec<Value>, WireError> {
    let parts = content_parts(message.content, at, dropped)?;
    leftover(message.name, message.extra, at, dropped)?;
    Ok(parts)
}

/// What nobody translated: names go by their own name, anything else is refused.
fn leftover(
    name: Option<String>,
    extra: Map<String, Value>,
    at: &str,
    dropped: &mut Vec<String>,
) -> Result<(), WireError> {
    if name.is_some() {
        drop_field("name", dropped);
    }
    for (name, value) in extra {
        match (name.as_str(), &value) {
            (_, Value::Null) => {}
            // Answers are sent back with the fields that they came with, empty where they say nothing.
            (_, Value::Array(list)) if list.is_empty() => {}
            (_, Value::String(text)) if text.is_empty() => {}
            ("annotations" | "cache_control", _) => drop_field(&name, dropped),
            _ => {
                let expected = "it absent, because Gemini's contents have no such field";
                return refuse(&format!("{at}.{name}"), expected, &value);
            }
        }
    }
    Ok(())
}

fn assistant(
    message: Message,
    at: &str,
    calls: &mut HashMap<String, String>,
    dropped: &mut Vec<String>,
) -> Result<Vec<Value>, WireError> {
    let Message { content, name, tool_calls, mut extra, .. } = message;
    let mut details = details(extra.shift_remove("reasoning_details"), at, dropped)?;
    let mut text_of = |name: &str| match extra.shift_remove(name) {
        Some(Value::String(text)) => Some(text).filter(|text| !text.is_empty()),
        _ => None,
    };
    let (thought, other_thought) = (text_of("reasoning_content"), text_of("reasoning"));
    let refusal = text_of("refusal");
    let mut parts = thoughts(thought.or(other_thought), &mut details);

    let mut said = content_parts(content, at, dropped)?;
    said.extend(refusal.map(|text| json!({ "text": text })));
    // An assistant that only calls tools says nothing.
    said.retain(|part| part.get("text") != Some(&json!("")));
    let signature = signature_of(&mut details, Some(SIGNED_CONTENT));
    if let (Some(last), Some(signature)) = (said.last_mut(), signature) {
        sign(last, &signature);
    }
    parts.append(&mut said);
    if let Some(Value::Array(images)) = extra.shift_remove("images") {
        for (index, image) in images.iter().enumerate() {
            let at = format!("{at}.images[{index}].image_url.url");
            let Some(url) = image.pointer("/image_url/url").and_then(Value::as_str) else {
                return refuse(&at, "an address", image);
            };
            let mut part = media(url, &at)?;
            if let Some(signature) = signature_of(&mut details, Some(SIGNED_IMAGE)) {
                sign(&mut part, &signature);
            }
            parts.push(part);
        }
    }
    parts.append(&mut translate_calls(tool_calls, at, calls, &mut details)?);
    while let Some(signature) = signature_of(&mut details, None) {
        parts.push(json!({ "text": "", "thoughtSignature": signature }));
    }
    leftover(name, extra, at, dropped)?;
    Ok(parts)
}

fn details(written: Option<Value>, at: &str, dropped: &mut Vec<String>) -> Result<Vec<Detail>, WireError> {
    let Some(written) = written.filter(|details| !details.is_null()) else { return Ok(Vec::new()) };
    let mut details: Vec<Detail> = json::decode_tree(written, &format!("{at}.reasoning_details"))?;
    let all = details.len();
    details.retain(|detail| detail.format.as_deref() == Some(SIGNATURE_FORMAT));
    if details.len() < all {
        drop_field("reasoning_details", dropped);
    }
    if details.len() > MAX_DETAILS {
        let expected = format!("at most {MAX_DETAILS} entries of Gemini's in one message");
        return Err(WireError::invalid(
            format!("{at}.reasoning_details"),
            expected,
            details.len().to_string(),
        ));
    }
    Ok(details)
}

/// The thought parts: as they came, where the details tell, else the whole text as one.
fn thoughts(text: Option<String>, details: &mut Vec<Detail>) -> Vec<Value> {
    let (signed, rest): (Vec<Detail>, Vec<Detail>) =
        std::mem::take(details).into_iter().partition(|detail| detail.signature.is_some());
    *details = rest;
    let told: String = signed.iter().filter_map(|detail| detail.text.as_deref()).collect();
    let part = |text: &str, signature: Option<&str>| {
        let mut part = json!({ "text": text, "thought": true });
        if let Some(signature) = signature {
            sign(&mut part, signature);
        }
        part
    };
    match text {
        // Some of it came without a signature, so the parts are not known.
        Some(text) if text != told => {
            let signature = signed.last().and_then(|detail| detail.signature.as_deref());
            vec![part(&text, signature)]
        }
        _ => {
            let parts = signed
                .iter()
                .map(|detail| part(detail.text.as_deref().unwrap_or_default(), detail.signature.as_deref()));
            parts.collect()
        }
    }
}

fn signature_of(details: &mut Vec<Detail>, id: Option<&str>) -> Option<String> {
    let at = details.iter().position(|detail| detail.id.as_deref() == id && detail.data.is_some())?;
    details.remove(at).data
}

fn sign(part: &mut Value, signature: &str) {
    if let Value::Object(part) = part {
        part.insert("thoughtSignature".to_owned(), json!(signature));
    }
}

/// OpenAI writes a call's arguments as a string of JSON, Gemini as an object.
fn translate_calls(
    tool_calls: Option<Value>,
    at: &str,
    calls: &mut HashMap<String, String>,
    details: &mut Vec<Detail>,
) -> Result<Vec<Value>, WireError> {
    #[derive(Deserialize)]
    struct Call {
        #[serde(default)]
        id: Option<String>,
        function: Function,
    }
    #[derive(Deserialize)]
    struct Function {
        name: String,
        #[serde(default)]
        arguments: String,
    }
    let Some(list) = tool_calls.filter(|calls| !calls.is_null()) else { return Ok(Vec::new()) };
    let list: Vec<Call> = json::decode_tree(list, &format!("{at}.tool_calls"))?;
    let mut parts = Vec::with_capacity(list.len());
    for (index, Call { id, function }) in list.into_iter().enumerate() {
        let args = match function.arguments.trim() {
            "" => json!({}),
            text => match serde_json::from_str::<Value>(text) {
                Ok(object @ Value::Object(_)) => object,
                _ => {
                    let field = format!("{at}.tool_calls[{index}].function.arguments");
                    return refuse_text(&field, "a string that holds a JSON object", text);
                }
            },
        };
        let mut call = Map::new();
        call.extend(id.as_deref().map(|id| ("id".to_owned(), json!(id))));
        call.insert("name".to_owned(), json!(function.name));
        call.insert("args".to_owned(), args);
        let mut part = json!({ "functionCall": call });
        if let Some(id) = id {
            if let Some(signature) = signature_of(details, Some(&id)) {
                sign(&mut part, &signature);
            }
            calls.insert(id, function.name);
        }
        parts.push(part);
    }
    Ok(parts)
}

/// A tool's result. Gemini wants the name of the function, and an object: text that is none stands under `output`,
/// which is Google's own convention.
fn result(
    message: Message,
    at: &str,
    calls: &HashMap<String, String>,
    dropped: &mut Vec<String>,
) -> Result<Value, WireError> {
    let id = message.tool_call_id.clone().unwrap_or_default();
    let Some(name) = calls.get(&id).cloned().or(message.name) else {
        return refuse(&format!("{at}.tool_call_id"), "the id of a call made before", &json!(id));
    };
    let (texts, media): (Vec<Value>, Vec<Value>) =
        content_parts(message.content, at, dropped)?.into_iter().partition(|part| part.get("text").is_some());
    let text: String = texts.iter().filter_map(|part| part.get("text")?.as_str()).collect();
    if let Some(file) = media.iter().find(|part| part.get("inlineData").is_none()) {
        return refuse(&format!("{at}.content"), "text, or media as data: URLs", file);
    }
    let response = match serde_json::from_str::<Value>(&text) {
        Ok(Value::Object(object)) if !is_wrapped(&object) => Value::Object(object),
        _ => json!({ "output": text }),
    };
    leftover(None, message.extra, at, dropped)?;
    let mut answer = Map::new();
    if !id.is_empty() {
        answer.insert("id".to_owned(), json!(id));
    }
    answer.insert("name".to_owned(), json!(name));
    answer.insert("response".to_owned(), response);
    if !media.is_empty() {
        answer.insert("parts".to_owned(), Value::Array(media));
    }
    Ok(json!({ "functionResponse": answer }))
}

/// Whether an object is what the text of a tool becomes; one that a tool wrote itself is wrapped once more, so that it
/// comes back as it was.
pub(super) fn is_wrapped(response: &Map<String, Value>) -> bool {
    response.len() == 1 && response.get("output").is_some_and(Value::is_string)
}
