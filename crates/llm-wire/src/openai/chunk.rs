//! What one chunk of a stream says, without building a tree of it: this runs for every token.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::error::{self, UpstreamError};
use crate::{WireError, json};

/// Tokens that a request took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens of the answer, its reasoning included.
    pub completion_tokens: u64,
    /// Both together.
    pub total_tokens: u64,
    /// More about the prompt; only written, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_tokens_details: Option<PromptDetails>,
}

/// More about the tokens of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PromptDetails {
    /// Tokens that an earlier request had read already.
    pub cached_tokens: u64,
}

/// What one streamed chunk says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChunkFacts {
    /// It carries part of the answer: text, reasoning, a tool call or a refusal that is not empty, or a finish reason.
    pub has_content: bool,
    /// Bytes of the part of the answer that it carries; no tokenizer makes more tokens of them.
    pub content_bytes: u64,
    /// It carries the finish reason of a choice.
    pub finished: bool,
    /// It is only there for the usage: it has no choice, which a client that did not ask for the usage never sees.
    pub only_usage: bool,
    /// The usage, which the last chunk carries where it was asked for.
    pub usage: Option<Usage>,
    /// The upstream reports an error inside the stream.
    pub error: Option<UpstreamError>,
    /// Where its text lies in the document, if it has one choice that says nothing else and writes it without escapes:
    /// most chunks do, and whoever keeps the text need not read them again.
    pub text: Option<Range<usize>>,
}

/// Reads one chunk.
///
/// # Errors
/// [`WireError::Json`] where it is not a JSON object, or its choices are not those of a chunk.
pub fn chunk_facts(data: &[u8]) -> Result<ChunkFacts, WireError> {
    let chunk: ChunkView<'_> = decode_object(data)?;
    let choices = chunk.choices.unwrap_or_default();
    let usage = chunk.usage.and_then(UsageView::usage);
    let text = choices.text.and_then(|text| {
        let start = text.as_ptr().addr().checked_sub(data.as_ptr().addr())?;
        Some(start..start + text.len())
    });
    Ok(ChunkFacts {
        text,
        has_content: choices.has_content,
        content_bytes: choices.content_bytes,
        finished: choices.finished,
        only_usage: usage.is_some() && choices.count == 0,
        usage,
        error: upstream_error(chunk.error, chunk.object.as_deref(), data)?,
    })
}

/// Decodes a document that has to be an object; a derived reader alone would take an array for one, and
/// never look at the bytes of strings that it skips.
pub(crate) fn decode_object<'a, T: Deserialize<'a>>(data: &'a [u8]) -> Result<T, WireError> {
    let text = json::text(data)?;
    if let Some(first @ (b'[' | b'"' | b'0'..=b'9' | b'-' | b't' | b'f' | b'n')) =
        data.trim_ascii_start().first()
    {
        // Whether it is JSON at all decides which error this is.
        let _: IgnoredAny = json::decode(data)?;
        return Err(WireError::Json {
            path: "$".to_owned(),
            line: 1,
            column: 1,
            message: format!(
                "expected a JSON object, got {}",
                json::kind(char::from(*first).encode_utf8(&mut [0; 4]))
            ),
        });
    }
    // What is known to be text is not checked again string by string; the other reader knows the place of an error.
    serde_json::from_str(text).or_else(|_| json::decode(data))
}

/// The error that a document reports, if it does.
pub(super) fn upstream_error(
    error: Option<&RawValue>,
    object: Option<&str>,
    document: &[u8],
) -> Result<Option<UpstreamError>, WireError> {
    match error {
        Some(error) => Ok(Some(error::from_value(&json::decode(error.get().as_bytes())?))),
        // vLLM's older shape: {"object":"error","message":...}.
        None if object == Some("error") => Ok(Some(error::parse_error(document))),
        None => Ok(None),
    }
}

#[derive(Deserialize)]
struct ChunkView<'a> {
    #[serde(borrow, default)]
    object: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default)]
    choices: Option<ChoicesView<'a>>,
    #[serde(default)]
    usage: Option<UsageView>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// As providers write it: any number may be missing or null.
#[derive(Deserialize)]
pub(super) struct UsageView {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
    #[serde(default)]
    total_tokens: Option<u64>,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetailsView>,
    /// DeepSeek's word for the tokens that its cache had.
    #[serde(default)]
    prompt_cache_hit_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct PromptDetailsView {
    #[serde(default)]
    cached_tokens: Option<u64>,
}

impl UsageView {
    /// `None` where the object is there but says nothing.
    pub(super) fn usage(self) -> Option<Usage> {
        if self.prompt_tokens.is_none() && self.completion_tokens.is_none() {
            return None;
        }
        let prompt_tokens = self.prompt_tokens.unwrap_or(0);
        let completion_tokens = self.completion_tokens.unwrap_or(0);
        let total_tokens = self.total_tokens.unwrap_or(prompt_tokens.saturating_add(completion_tokens));
        let cached = self.prompt_tokens_details.and_then(|details| details.cached_tokens);
        let cached = cached.or(self.prompt_cache_hit_tokens);
        let prompt_tokens_details = cached.map(|cached_tokens| PromptDetails { cached_tokens });
        Some(Usage { prompt_tokens, completion_tokens, total_tokens, prompt_tokens_details })
    }
}

/// All choices of a chunk, folded while they are read.
#[derive(Default)]
struct ChoicesView<'a> {
    count: u32,
    has_content: bool,
    content_bytes: u64,
    finished: bool,
    /// Of the only choice, where it is all that this says.
    text: Option<&'a str>,
}

impl<'de: 'a, 'a> Deserialize<'de> for ChoicesView<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ChoicesVisitor;
        impl<'de> Visitor<'de> for ChoicesVisitor {
            type Value = ChoicesView<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of choices")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<ChoicesView<'de>, A::Error> {
                let mut all = ChoicesView::default();
                while let Some(choice) = seq.next_element::<ChoiceView<'de>>()? {
                    let finished = choice.finish_reason.bytes > 0;
                    let bytes = choice.delta.as_ref().map_or(0, DeltaView::content_bytes);
                    all.count += 1;
                    all.text = if all.count == 1 { choice.text() } else { None };
                    all.finished |= finished;
                    all.has_content |= finished || bytes > 0;
                    all.content_bytes = all.content_bytes.saturating_add(bytes);
                }
                Ok(all)
            }
        }
        deserializer.deserialize_seq(ChoicesVisitor)
    }
}

#[derive(Deserialize)]
struct ChoiceView<'a> {
    #[serde(default)]
    index: Option<u64>,
    #[serde(borrow, default)]
    delta: Option<DeltaView<'a>>,
    #[serde(default)]
    logprobs: Option<IgnoredAny>,
    #[serde(borrow, default)]
    finish_reason: Present<'a>,
}

impl<'a> ChoiceView<'a> {
    fn text(&self) -> Option<&'a str> {
        let delta = self.delta.as_ref()?;
        let alone = self.index.unwrap_or(0) == 0 && self.logprobs.is_none() && delta.more_bytes() == 0;
        delta.content.plain.filter(|_| alone)
    }
}

/// The fields of a delta that carry part of an answer; `reasoning_content` is DeepSeek's and vLLM's name, `reasoning`
/// OpenRouter's, Groq's and newer vLLM's.
#[derive(Deserialize)]
struct DeltaView<'a> {
    #[serde(borrow, default)]
    content: Present<'a>,
    #[serde(borrow, default)]
    reasoning_content: Present<'a>,
    #[serde(borrow, default)]
    reasoning: Present<'a>,
    #[serde(borrow, default)]
    tool_calls: Present<'a>,
    #[serde(borrow, default)]
    function_call: Present<'a>,
    #[serde(borrow, default)]
    refusal: Present<'a>,
}

impl DeltaView<'_> {
    fn content_bytes(&self) -> u64 {
        self.content.bytes.saturating_add(self.more_bytes())
    }

    /// Of what is not its text.
    fn more_bytes(&self) -> u64 {
        let parts =
            [&self.reasoning_content, &self.reasoning, &self.tool_calls, &self.function_call, &self.refusal];
        parts.into_iter().fold(0, |sum, part| sum.saturating_add(part.bytes))
    }
}

/// How much a value says.
#[derive(Default)]
struct Present<'a> {
    /// Those of its strings, and at least one for an array or object that is not empty.
    bytes: u64,
    /// The value, if it is a string that is not empty and is written without escapes.
    plain: Option<&'a str>,
}

impl Present<'_> {
    fn of(bytes: u64) -> Self {
        Self { bytes, plain: None }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Present<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PresentVisitor)
    }
}

struct PresentVisitor;

impl<'de> Visitor<'de> for PresentVisitor {
    type Value = Present<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Present<'de>, E> {
        Ok(Present { bytes: text.len() as u64, plain: (!text.is_empty()).then_some(text) })
    }

    fn visit_str<E>(self, text: &str) -> Result<Present<'de>, E> {
        Ok(Present::of(text.len() as u64))
    }

    fn visit_unit<E>(self) -> Result<Present<'de>, E> {
        Ok(Present::of(0))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Present<'de>, E> {
        Ok(Present::of(value.into()))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Present<'de>, E> {
        Ok(Present::of(1))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Present<'de>, E> {
        Ok(Present::of(1))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Present<'de>, E> {
        Ok(Present::of(1))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Present<'de>, A::Error> {
        let mut bytes: u64 = 0;
        while let Some(more) = seq.next_element::<Present<'de>>()? {
            bytes = bytes.saturating_add(more.bytes.max(1));
        }
        Ok(Present::of(bytes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Present<'de>, A::Error> {
        let mut bytes: u64 = 0;
        while let Some((IgnoredAny, more)) = map.next_entry::<_, Present<'de>>()? {
            bytes = bytes.saturating_add(more.bytes.max(1));
        }
        Ok(Present::of(bytes))
    }
}
