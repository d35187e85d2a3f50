//! The messages of a conversation, decoded.

use std::fmt;

use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions of the application.
    System,
    /// The same under its newer name.
    Developer,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// The result of a tool that the model called.
    Tool,
    /// The same under its older name.
    Function,
}

impl Role {
    pub(super) const NAMES: [&'static str; 6] =
        ["system", "developer", "user", "assistant", "tool", "function"];

    /// The name as it stands in a message.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Developer => "developer",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
            Self::Function => "function",
        }
    }

    /// Whether it instructs the model, instead of talking with it.
    pub(crate) fn instructs(self) -> bool {
        matches!(self, Self::System | Self::Developer)
    }

    /// The role that this JSON value names.
    pub(super) fn from_json(written: &str) -> Option<Self> {
        // Only a string: serde would take {"user": null} for the name of a variant, too.
        if written.starts_with('"') { serde_json::from_str(written).ok() } else { None }
    }
}

/// One message.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said; an assistant that only calls tools says nothing.
    #[serde(default)]
    pub content: Option<Content>,
    /// Who of several with this role, or which function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// An assistant's calls of tools, as OpenAI writes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Value>,
    /// The call that a tool's message answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// Every other field.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Message {
    /// The text of the message: its string, or its text parts one after another.
    pub fn text(&self) -> String {
        match &self.content {
            None => String::new(),
            Some(Content::Text(text)) => text.clone(),
            Some(Content::Parts(parts)) => parts.iter().filter_map(Part::text).collect(),
        }
    }
}

impl fmt::Debug for Message {
    /// Without the text: prompts do not belong in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut message = f.debug_struct("Message");
        message.field("role", &self.role);
        match &self.content {
            None => {}
            Some(Content::Text(text)) => _ = message.field("text_bytes", &text.len()),
            Some(Content::Parts(parts)) => _ = message.field("parts", &parts.len()),
        }
        message.finish_non_exhaustive()
    }
}

/// What a message says.
#[derive(Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Content {
    /// Plain text.
    Text(String),
    /// Text, images and more, in order.
    Parts(Vec<Part>),
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // By hand, because an untagged enum cannot say which part is at fault.
        struct ContentVisitor;
        impl<'de> Visitor<'de> for ContentVisitor {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of parts")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Content, E> {
                Ok(Content::Text(text.to_owned()))
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<Content, E> {
                Ok(Content::Text(text))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Content, A::Error> {
                let mut parts = Vec::new();
                while let Some(part) = seq.next_element()? {
                    parts.push(part);
                }
                Ok(Content::Parts(parts))
            }
        }
        deserializer.deserialize_any(ContentVisitor)
    }
}

/// One part of a message's content, with every field that its client gave it.
#[derive(Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Part(pub Map<String, Value>);

impl Part {
    /// Its `type`, like `text` or `image_url`.
    pub fn kind(&self) -> &str {
        self.0.get("type").and_then(Value::as_str).unwrap_or_default()
    }

    /// Its text, if it is a text part.
    pub fn text(&self) -> Option<&str> {
        if self.kind() == "text" { self.0.get("text")?.as_str() } else { None }
    }

    /// Its address, if it is an image: `image_url.url`, or `image_url` itself, which some clients write.
    pub fn image_url(&self) -> Option<&str> {
        if self.kind() != "image_url" {
            return None;
        }
        match self.0.get("image_url")? {
            Value::Object(image) => image.get("url")?.as_str(),
            url => url.as_str(),
        }
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // By hand, so that a part without a type, or a text part without text, is refused where it stands.
        struct PartVisitor;
        impl<'de> Visitor<'de> for PartVisitor {
            type Value = Part;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a type")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Part, A::Error> {
                let mut fields = Map::new();
                while let Some((key, value)) = map.next_entry()? {
                    fields.insert(key, value);
                }
                let part = Part(fields);
                match part.kind() {
                    "" => Err(de::Error::missing_field("type")),
                    "text" if part.text().is_none() => Err(de::Error::missing_field("text")),
                    "image_url" if part.image_url().is_none() => {
                        Err(de::Error::missing_field("image_url.url"))
                    }
                    _ => Ok(part),
                }
            }
        }
        deserializer.deserialize_map(PartVisitor)
    }
}
