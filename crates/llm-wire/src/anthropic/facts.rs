//! What an answer says that is passed on untranslated.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::stop;
use super::usage::{Counts, Written};
use crate::openai::{ChunkFacts, ResponseFacts, UpstreamError, decode_object, parse_error};
use crate::{WireError, json};

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    delta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    content_block: Option<&'a RawValue>,
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

/// The members that carry part of an answer, as they were written: only whether they are empty counts.
#[derive(Deserialize, Default)]
struct Said<'a> {
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
    #[serde(borrow, default)]
    thinking: Option<&'a RawValue>,
    #[serde(borrow, default)]
    partial_json: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    stop_reason: Option<&'a RawValue>,
}

impl Said<'_> {
    /// How much of an answer they are, in bytes as written.
    fn bytes(&self) -> u64 {
        let members = [self.text, self.thinking, self.partial_json, self.data, self.name];
        let said = members.into_iter().flatten().filter(|value| present(Some(value)));
        said.map(|value| value.get().len() as u64).sum()
    }
}

fn present(value: Option<&RawValue>) -> bool {
    value.is_some_and(|value| !matches!(value.get(), "\"\"" | "null"))
}

/// Whether this is the event after which a whole stream ends; one that ends without it was cut.
pub fn ends_stream(event_name: Option<&str>, data: &[u8]) -> bool {
    match event_name {
        Some(name) => name == "message_stop",
        None => serde_json::from_slice::<Event<'_>>(data)
            .is_ok_and(|event| event.kind.as_deref() == Some("message_stop")),
    }
}

/// Reads one event of a stream that is passed on as it is.
///
/// A stream counts in two events: the first has the tokens of the prompt, the last those of the answer and often all of
/// them. A count that an event does not have is 0 here: the larger of each counts.
///
/// # Errors
/// [`WireError::Json`] where the data is not JSON, or its members are not those of an event.
pub fn event_facts(event_name: Option<&str>, data: &[u8]) -> Result<ChunkFacts, WireError> {
    let event: Event<'_> = decode_object(data)?;
    let mut facts = ChunkFacts::default();
    match event.kind.as_deref().or(event_name).unwrap_or_default() {
        "content_block_delta" => facts.content_bytes = read(event.delta)?.bytes(),
        "content_block_start" => facts.content_bytes = read(event.content_block)?.bytes(),
        "message_delta" => {
            facts.finished = present(read(event.delta)?.stop_reason);
            facts.has_content = facts.finished;
            facts.usage = usage(event.usage)?;
        }
        "message_start" => {
            #[derive(Deserialize, Default)]
            struct Start<'a> {
                #[serde(borrow, default)]
                usage: Option<&'a RawValue>,
            }
            let Start { usage: counts } = match event.message {
                Some(message) => json::decode_value(message.get().as_bytes(), "message")?,
                None => Start::default(),
            };
            facts.usage = usage(counts)?;
        }
        "error" => facts.error = Some(parse_error(data)),
        _ => {}
    }
    facts.has_content |= facts.content_bytes > 0;
    Ok(facts)
}

fn read<'a>(value: Option<&'a RawValue>) -> Result<Said<'a>, WireError> {
    value.map_or_else(|| Ok(Said::default()), |value| json::decode(value.get().as_bytes()))
}

fn usage(written: Option<&RawValue>) -> Result<Option<crate::openai::Usage>, WireError> {
    let Some(written) = written else { return Ok(None) };
    let Written(usage) = json::decode(written.get().as_bytes())?;
    Ok(Counts::from_anthropic(&usage).facts())
}

/// Reads a complete answer that is passed on as it is. Its finish reason is given in OpenAI's words.
///
/// # Errors
/// [`WireError::Json`] where it is not a JSON object; [`WireError::Invalid`] where it has neither content nor an error.
pub fn message_facts(body: &[u8]) -> Result<ResponseFacts, WireError> {
    #[derive(Deserialize)]
    struct Message<'a> {
        #[serde(borrow, default, rename = "type")]
        kind: Option<Cow<'a, str>>,
        #[serde(borrow, default)]
        content: Option<Vec<&'a RawValue>>,
        #[serde(borrow, default)]
        stop_reason: Option<Cow<'a, str>>,
        #[serde(borrow, default)]
        usage: Option<&'a RawValue>,
        #[serde(borrow, default)]
        error: Option<&'a RawValue>,
    }
    let message: Message<'_> = decode_object(body)?;
    let failed = message.error.is_some() || message.kind.as_deref() == Some("error");
    let error: Option<UpstreamError> = failed.then(|| parse_error(body));
    if message.content.is_none() && error.is_none() {
        return Err(WireError::invalid("content", "an array of blocks", "nothing"));
    }
    Ok(ResponseFacts {
        usage: usage(message.usage)?,
        error,
        finish_reason: message.stop_reason.as_deref().map(|reason| stop::finish_reason(reason).to_owned()),
    })
}
