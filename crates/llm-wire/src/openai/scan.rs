//! One reading of a chat-completion request: where its members lie, and whether they are allowed.
//!
//! Values are borrowed as they were written; of a message only its role and the kind of its content are looked at.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::message::Role;
use crate::{WireError, json};

/// The members that are read; their order is that of [`NAMES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
pub(super) enum Field {
    Model,
    Messages,
    Stream,
    StreamOptions,
    Temperature,
    TopP,
    MaxTokens,
    MaxCompletionTokens,
    N,
    Stop,
    FrequencyPenalty,
    PresencePenalty,
    Seed,
    TopK,
    MinP,
    Tools,
    ResponseFormat,
    #[serde(rename = "maxTokens")]
    CamelMaxTokens,
    #[serde(rename = "topP")]
    CamelTopP,
    #[serde(other)]
    Other,
}

/// The names of the members before the camelCase ones.
const NAMES: [&str; 17] = [
    "model",
    "messages",
    "stream",
    "stream_options",
    "temperature",
    "top_p",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "stop",
    "frequency_penalty",
    "presence_penalty",
    "seed",
    "top_k",
    "min_p",
    "tools",
    "response_format",
];

/// What one reading found.
#[derive(Debug, Default)]
pub(super) struct Scan<'a> {
    values: [Option<&'a RawValue>; NAMES.len()],
    /// `maxTokens` or `topP` was used, so the body has to be rewritten.
    pub(super) camel_case: bool,
    /// The first thing that is not allowed; whether the document is JSON at all comes before it.
    problem: Option<WireError>,
}

impl<'a> Scan<'a> {
    /// The value of a member as it was written; `null` counts as absent, as it does for OpenAI.
    pub(super) fn get(&self, field: Field) -> Option<&'a RawValue> {
        self.written(field).filter(|value| value.get() != "null")
    }

    /// The value of a member as it was written, `null` included.
    pub(super) fn written(&self, field: Field) -> Option<&'a RawValue> {
        self.values.get(field as usize).copied().flatten()
    }
}

/// Reads a request once. What is wrong is found here; the caller checks the values of scalars.
pub(super) fn scan(document: &[u8]) -> Result<Scan<'_>, WireError> {
    let text = json::text(document)?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let found = reader.deserialize_map(RequestVisitor).and_then(|found| reader.end().map(|()| found));
    let mut found = found.map_err(|error| match error.classify() {
        Category::Data => wrong_shape(text, &error),
        Category::Syntax | Category::Eof | Category::Io => json::malformed(document, &error),
    })?;
    match found.problem.take() {
        Some(problem) => Err(problem),
        None => Ok(found),
    }
}

struct RequestVisitor;

impl<'de> Visitor<'de> for RequestVisitor {
    type Value = Scan<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scan<'de>, A::Error> {
        let mut scan = Scan::default();
        let mut messages_seen = false;
        while let Some(field) = map.next_key::<Field>()? {
            let field = match field {
                Field::Messages if !messages_seen => {
                    messages_seen = true;
                    map.next_value_seed(MessagesScan { problem: &mut scan.problem })?;
                    continue;
                }
                Field::Messages => {
                    map.next_value::<IgnoredAny>()?;
                    scan.problem.get_or_insert_with(|| twice("messages"));
                    continue;
                }
                Field::Other => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
                Field::CamelMaxTokens => {
                    scan.camel_case = true;
                    Field::MaxTokens
                }
                Field::CamelTopP => {
                    scan.camel_case = true;
                    Field::TopP
                }
                field => field,
            };
            let value = map.next_value::<&RawValue>()?;
            if let Some(slot) = scan.values.get_mut(field as usize)
                && slot.replace(value).is_some()
            {
                let name = NAMES.get(field as usize).copied().unwrap_or("a field");
                scan.problem.get_or_insert_with(|| twice(name));
            }
        }
        if !messages_seen {
            scan.problem.get_or_insert_with(|| {
                WireError::invalid("messages", "a non-empty array of messages", "nothing")
            });
        }
        Ok(scan)
    }
}

/// Which of two equal keys counts differs among parsers, so a request that has them would not mean one thing.
pub(super) fn twice(name: &str) -> WireError {
    let also = match name {
        "max_tokens" => " (maxTokens is the same field)",
        "top_p" => " (topP is the same field)",
        _ => "",
    };
    WireError::invalid(name, format!("the field at most once{also}"), "it twice")
}

struct MessagesScan<'p> {
    problem: &'p mut Option<WireError>,
}

impl<'de> DeserializeSeed<'de> for MessagesScan<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for MessagesScan<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of messages")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut messages: A) -> Result<(), A::Error> {
        let mut index = 0;
        while let Some(message) = messages.next_element::<MessageScan<'_>>()? {
            if self.problem.is_none() {
                *self.problem = message.check(index).err();
            }
            index += 1;
        }
        if index == 0 {
            self.problem.get_or_insert_with(|| {
                WireError::invalid("messages", "a non-empty array of messages", "an empty array")
            });
        }
        Ok(())
    }
}

/// What is looked at in a message before it is forwarded.
#[derive(Default)]
struct MessageScan<'a> {
    role: Option<&'a RawValue>,
    content: Option<&'a RawValue>,
    repeated: Option<&'static str>,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum MessageField {
    Role,
    Content,
    #[serde(other)]
    Other,
}

impl<'de> Deserialize<'de> for MessageScan<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A visitor of its own, because a derived one would take an array for a message.
        struct MessageVisitor;
        impl<'de> Visitor<'de> for MessageVisitor {
            type Value = MessageScan<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with role and content")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut found = MessageScan::default();
                while let Some(field) = map.next_key::<MessageField>()? {
                    let (slot, name) = match field {
                        MessageField::Role => (&mut found.role, "role"),
                        MessageField::Content => (&mut found.content, "content"),
                        MessageField::Other => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    if slot.replace(map.next_value()?).is_some() {
                        found.repeated = Some(name);
                    }
                }
                Ok(found)
            }
        }
        deserializer.deserialize_map(MessageVisitor)
    }
}

impl MessageScan<'_> {
    fn check(&self, index: usize) -> Result<(), WireError> {
        if let Some(name) = self.repeated {
            return Err(twice(&format!("messages[{index}].{name}")));
        }
        let written = self.role.map_or("", RawValue::get);
        let Some(role) = Role::from_json(written) else {
            let expected = format!("one of {}", Role::NAMES.join(", "));
            return Err(WireError::invalid(
                format!("messages[{index}].role"),
                expected,
                json::shown(written),
            ));
        };
        let content = self.content.map_or("", RawValue::get);
        let refused = match content.as_bytes().first() {
            Some(b'"') => return Ok(()),
            Some(b'[') => return check_parts(content, index),
            // An assistant's tool calls or refusal may stand alone.
            Some(b'n') | None if role == Role::Assistant => return Ok(()),
            _ => json::shown(content),
        };
        let expected = match role {
            Role::Assistant => "a string, an array of parts, or null",
            _ => "a string or an array of parts",
        };
        Err(WireError::invalid(format!("messages[{index}].content"), expected, refused))
    }
}

/// A part of a message's content, which is an object with a `type`.
#[derive(Deserialize)]
struct PartScan<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
}

fn check_parts(content: &str, index: usize) -> Result<(), WireError> {
    let field = |at: usize| format!("messages[{index}].content[{at}]");
    let parts: Vec<&RawValue> = json::decode(content.as_bytes())?;
    for (at, part) in parts.iter().enumerate() {
        if !part.get().starts_with('{') {
            return Err(WireError::invalid(field(at), "an object with a type", json::shown(part.get())));
        }
        let PartScan { kind } = json::decode(part.get().as_bytes())?;
        let kind = kind.map_or("", RawValue::get);
        if !kind.starts_with('"') {
            let field = format!("{}.type", field(at));
            return Err(WireError::invalid(field, "a string like \"text\"", json::shown(kind)));
        }
    }
    Ok(())
}

/// Says what is wrong in a document that is JSON, but whose objects and arrays are not where they belong.
fn wrong_shape(text: &str, error: &serde_json::Error) -> WireError {
    #[derive(Deserialize)]
    struct Messages<'a> {
        #[serde(borrow)]
        messages: &'a RawValue,
    }
    let at_root = |message: String| WireError::Json {
        path: "$".to_owned(),
        line: error.line(),
        column: error.column(),
        message,
    };
    let root = text.trim_start();
    if !root.starts_with('{') {
        return at_root(format!("expected a JSON object, got {}", json::kind(root)));
    }
    let Ok(Messages { messages }) = serde_json::from_str::<Messages<'_>>(text) else {
        return at_root("expected a chat-completion request".to_owned());
    };
    let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(messages.get()) else {
        return WireError::invalid("messages", "a non-empty array of messages", json::shown(messages.get()));
    };
    match elements.iter().position(|element| !element.get().starts_with('{')) {
        Some(index) => WireError::invalid(
            format!("messages[{index}]"),
            "an object with role and content",
            elements.get(index).map_or("nothing", |element| json::kind(element.get())),
        ),
        None => at_root("expected a chat-completion request".to_owned()),
    }
}
