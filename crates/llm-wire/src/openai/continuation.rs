//! Going on with an answer that was cut: what the client has been given, the request for the rest, and the seam.
//!
//! The rest is asked for by ending the conversation with what has been said (a *prefill*). Where text is cut matters:
//! tokens do not end where chunks do, and templates trim. At temperature 0 the prefill ends before the last word, which
//! the model then says again; its tokens are those that an uncut answer would have had, since tokenizers part words
//! from one another before anything else. At any other temperature another word might come, so only the white space at
//! the end is left out. In both cases [`Seam`] takes away what is said twice.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::chunk::Usage;
use super::request::ChatRequest;
use crate::{WireError, json};

/// The most that is said again to find a seam, in bytes; a longer word (or a language without spaces) is continued where
/// it was cut.
const MAX_REPEATED: usize = 200;
/// The longest text that is remembered, in bytes: more than any model's longest answer. One that is longer is not
/// continued.
const MAX_TEXT: usize = 8 << 20;
/// How many of the last chunks' ends are remembered: a word has fewer tokens.
const REMEMBERED_ENDS: usize = 64;

/// What a client has been given of one streamed answer.
#[derive(Debug, Clone, Default)]
pub struct PartialAnswer {
    text: String,
    /// Chunks with text so far: about as many tokens.
    chunks: u64,
    /// Where the last chunks ended in the text.
    ends: VecDeque<usize>,
    /// The names that every chunk of the answer carries.
    head: Option<Head>,
    begun: Begun,
}

/// What else than text has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Begun {
    #[default]
    Nothing,
    /// Reasoning, and no text after it yet: a prefill cannot say it.
    Reasoning,
    /// A call, a refusal, log probabilities or a second choice.
    Other,
}

#[derive(Debug, Clone)]
struct Head {
    id: Value,
    model: Value,
    created: Value,
}

/// This is read for every chunk, so that only the text is copied.
#[derive(Deserialize)]
struct ChunkView<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    model: Option<&'a RawValue>,
    #[serde(borrow, default)]
    created: Option<&'a RawValue>,
    #[serde(borrow, default)]
    choices: Vec<ChoiceView<'a>>,
}

#[derive(Deserialize)]
struct ChoiceView<'a> {
    #[serde(default)]
    index: u64,
    #[serde(default)]
    delta: Option<DeltaView>,
    #[serde(borrow, default)]
    logprobs: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
struct DeltaView {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    reasoning_content: Option<String>,
    #[serde(default)]
    reasoning: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<serde::de::IgnoredAny>>,
    #[serde(default)]
    function_call: Option<serde::de::IgnoredAny>,
}

impl PartialAnswer {
    /// Takes a chunk that the client has been given. One that cannot be read makes the answer one that is not continued.
    pub fn push(&mut self, chunk: &[u8]) {
        let Ok(chunk) = serde_json::from_slice::<ChunkView<'_>>(chunk) else {
            self.begun = Begun::Other;
            return;
        };
        if self.head.is_none() && chunk.id.is_some() {
            let value = |raw: Option<&RawValue>| {
                raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
            };
            let (id, model, created) = (value(chunk.id), value(chunk.model), value(chunk.created));
            self.head = Some(Head { id, model, created });
        }
        for choice in chunk.choices {
            let delta = choice.delta.unwrap_or_default();
            let other = choice.index != 0
                || choice.logprobs.is_some()
                || delta.tool_calls.is_some_and(|calls| !calls.is_empty())
                || delta.function_call.is_some()
                || delta.refusal.is_some_and(|text| !text.is_empty());
            let reasoning = [delta.reasoning_content, delta.reasoning];
            if other {
                self.begun = Begun::Other;
            } else if reasoning.iter().flatten().any(|text| !text.is_empty()) && self.begun != Begun::Other {
                self.begun = Begun::Reasoning;
            }
            if let Some(content) = delta.content.filter(|content| !content.is_empty()) {
                self.push_text(&content);
            }
        }
    }

    /// Takes a chunk of which [`chunk_facts`](super::chunk_facts) has said what it says.
    pub fn push_known(&mut self, chunk: &[u8], text: Option<&Range<usize>>) {
        let text = text.and_then(|range| std::str::from_utf8(chunk.get(range.clone())?).ok());
        match text {
            // The first chunk is read for the names that it carries.
            Some(text) if self.head.is_some() => self.push_text(text),
            _ => self.push(chunk),
        }
    }

    fn push_text(&mut self, text: &str) {
        if self.text.len() + text.len() > MAX_TEXT {
            self.begun = Begun::Other;
            (self.text, self.ends) = Default::default();
        }
        self.text.push_str(text);
        self.chunks += 1;
        self.ends.push_back(self.text.len());
        if self.ends.len() > REMEMBERED_ENDS {
            self.ends.pop_front();
        }
        if self.begun == Begun::Reasoning {
            self.begun = Begun::Nothing;
        }
    }

    /// The text so far.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether what was given can be said in a prefill: text, and nothing after it.
    pub fn is_text(&self) -> bool {
        self.begun == Begun::Nothing && !self.text.is_empty()
    }

    /// How to go on. `repeat`: the same words will come again, so the last one may be asked for anew.
    pub fn cut(&self, repeat: bool) -> Cut {
        let trimmed = self.text.trim_end().len();
        let mut at = trimmed;
        if repeat {
            let whole = self.text.get(..trimmed).unwrap_or_default();
            let before = whole
                .rfind(char::is_whitespace)
                .map_or(0, |space| whole.get(..space).unwrap_or_default().trim_end().len());
            if self.text.len() - before <= MAX_REPEATED {
                at = before;
            }
        }
        let repeated = self.ends.iter().filter(|end| **end > at).count() as u64;
        Cut {
            prefill: self.text.get(..at).unwrap_or_default().to_owned(),
            expected: self.text.get(at..).unwrap_or_default().to_owned(),
            given: self.chunks.saturating_sub(repeated),
            repeated,
            strict: repeat && at < trimmed,
        }
    }

    /// A chunk of the rest, written as one of this answer: under the same id, without a role and with `content` as its
    /// text. `None`: it has nothing left to say.
    fn adopt(&self, mut chunk: Map<String, Value>, content: &str, cut: &Cut) -> Option<Bytes> {
        if let Some(Head { id, model, created }) = &self.head {
            for (name, value) in [("id", id), ("model", model), ("created", created)] {
                chunk.insert(name.to_owned(), value.clone());
            }
        }
        let mut says = false;
        if let Some(Value::Array(choices)) = chunk.get_mut("choices") {
            for choice in choices {
                says |= choice.get("finish_reason").is_some_and(|reason| !reason.is_null());
                let Some(Value::Object(delta)) = choice.get_mut("delta") else { continue };
                delta.remove("role");
                match content {
                    "" => _ = delta.remove("content"),
                    text => _ = delta.insert("content".to_owned(), text.into()),
                }
                says |= delta.values().any(|value| !value.is_null());
            }
        }
        if let Some(Value::Object(usage)) = chunk.get_mut("usage") {
            cut.sum(usage);
            says = true;
        }
        says.then(|| Value::Object(chunk).to_string().into())
    }

    /// The chunk that ends an answer of which no token is left to be said.
    pub fn ended_by_length(&self) -> Bytes {
        let head = self.head.clone();
        let (id, model, created) =
            head.map_or((Value::Null, Value::Null, Value::Null), |head| (head.id, head.model, head.created));
        json!({
            "id": id, "object": "chat.completion.chunk", "created": created, "model": model,
            "choices": [{ "index": 0, "delta": {}, "finish_reason": "length" }],
        })
        .to_string()
        .into()
    }
}

/// Where an answer is taken up again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// What the backend is told that it has said.
    pub prefill: String,
    /// What it will say first, and the client has already.
    pub expected: String,
    /// Tokens of the prefill, about.
    pub given: u64,
    /// Tokens of what is said again, about.
    pub repeated: u64,
    /// Whether anything else than `expected` is another answer.
    pub strict: bool,
}

impl Cut {
    /// Counts the prefill's tokens as tokens of the answer, which to the backend were tokens of the prompt.
    fn sum(&self, usage: &mut Map<String, Value>) {
        let prompt = usage.get("prompt_tokens").and_then(Value::as_u64);
        let completion = usage.get("completion_tokens").and_then(Value::as_u64);
        if let (Some(prompt), Some(completion)) = (prompt, completion) {
            let given = self.given.min(prompt);
            usage.insert("prompt_tokens".to_owned(), (prompt - given).into());
            usage.insert("completion_tokens".to_owned(), completion.saturating_add(given).into());
        }
    }

    /// The same for what was counted.
    pub fn summed(&self, usage: Usage) -> Usage {
        let given = self.given.min(usage.prompt_tokens);
        Usage {
            prompt_tokens: usage.prompt_tokens - given,
            completion_tokens: usage.completion_tokens.saturating_add(given),
            ..usage
        }
    }
}

/// Takes away from the rest of an answer what the client has already.
#[derive(Debug)]
pub struct Seam {
    cut: Cut,
    /// What came so far, while it is all expected.
    heard: String,
    closed: bool,
}

/// What a piece of the rest means to the client.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard<T> {
    /// It has all of it.
    Nothing,
    /// This is new.
    New(T),
    /// The backend gives another answer than the one that was begun; `anew`: from its beginning, as one does that does
    /// not continue messages.
    Another {
        /// It began like the whole answer.
        anew: bool,
    },
}

impl Seam {
    /// The seam at a cut.
    pub fn new(cut: Cut) -> Self {
        Self { heard: String::new(), closed: cut.expected.is_empty(), cut }
    }

    /// Where the answer was taken up again.
    pub fn cut(&self) -> &Cut {
        &self.cut
    }

    /// The next chunk of the rest of `partial`, as one of its own.
    ///
    /// # Errors
    /// [`WireError::Json`] where it is not a chunk.
    pub fn chunk(&mut self, partial: &PartialAnswer, chunk: &[u8]) -> Result<Heard<Bytes>, WireError> {
        let chunk: Map<String, Value> = json::decode(chunk)?;
        let choice = chunk.get("choices").and_then(|choices| choices.get(0));
        let text =
            choice.and_then(|choice| choice.get("delta")?.get("content")?.as_str()).unwrap_or_default();
        let ends = choice.is_some_and(|choice| choice.get("finish_reason").is_some_and(|why| !why.is_null()));
        let text = match self.hear(text, partial.text()) {
            Heard::Another { anew } => return Ok(Heard::Another { anew }),
            Heard::New(text) => text,
            Heard::Nothing => String::new(),
        };
        if ends && !self.end() {
            return Ok(Heard::Another { anew: false });
        }
        Ok(partial.adopt(chunk, &text, &self.cut).map_or(Heard::Nothing, Heard::New))
    }

    fn hear(&mut self, text: &str, given: &str) -> Heard<String> {
        if self.closed {
            return if text.is_empty() { Heard::Nothing } else { Heard::New(text.to_owned()) };
        }
        let expected = &self.cut.expected;
        self.heard.push_str(text);
        if self.heard.len() < expected.len() && expected.starts_with(&self.heard) {
            return Heard::Nothing;
        }
        self.closed = true;
        let heard = std::mem::take(&mut self.heard);
        if let Some(rest) = heard.strip_prefix(expected.as_str()) {
            return if rest.is_empty() { Heard::Nothing } else { Heard::New(rest.to_owned()) };
        }
        if self.cut.strict {
            let heard = heard.trim_start();
            let anew =
                !heard.is_empty() && !self.cut.prefill.is_empty() && given.trim_start().starts_with(heard);
            return Heard::Another { anew };
        }
        // White space only: what of it was said again goes, what was not is not missed.
        let same = heard.char_indices().zip(expected.chars()).take_while(|((_, a), b)| a == b);
        let end = same.last().map_or(0, |((at, c), _)| at + c.len_utf8());
        let rest = heard.get(end..).unwrap_or_default();
        if rest.is_empty() { Heard::Nothing } else { Heard::New(rest.to_owned()) }
    }

    /// Why the answer ends was said. Whether it is the one that was begun. Some say it before the last text, so that
    /// what comes after it is still heard.
    fn end(&self) -> bool {
        self.closed || !self.cut.strict
    }
}

/// Tokens that an image takes at most in the usual models, at their highest resolution.
const MEDIUM_TOKENS: u64 = 6_000;
/// What providers tell a model of how to call tools, in tokens.
const TOOLS_TOKENS: u64 = 1_000;

impl ChatRequest {
    /// Whether an answer to this request can be taken up again at all: one choice of text, without log probabilities.
    /// Whether `response_format` stands in the way depends on the backend; see
    /// [`has_format`](Self::has_format).
    pub fn is_resumable(&self) -> bool {
        #[derive(Deserialize)]
        struct View {
            #[serde(default)]
            logprobs: Option<Value>,
        }
        let logprobs = json::decode::<View>(self.body()).ok().and_then(|view| view.logprobs);
        self.n() == 1 && !matches!(logprobs, Some(Value::Bool(true)))
    }

    /// Whether the answer has to have a form other than text.
    pub fn has_format(&self) -> bool {
        #[derive(Deserialize)]
        struct View {
            #[serde(default)]
            response_format: Option<Value>,
        }
        let format = json::decode::<View>(self.body()).ok().and_then(|view| view.response_format);
        format.is_some_and(|format| format.get("type").is_some_and(|kind| kind != "text"))
    }

    /// Tokens that the prompt has at most, about: where nobody counts. Texts in which a token has fewer than three bytes
    /// are rare, and the JSON around them counts, too.
    pub fn most_prompt_tokens(&self) -> u64 {
        self.body().len() as u64 / 3 + 8
    }

    /// A bound on the tokens of the prompt, where money depends on it: no tokenizer makes more tokens than bytes, and the
    /// JSON around a message weighs more than a template does. Of images, whose bytes say nothing of their tokens, each
    /// counts as [`MEDIUM_TOKENS`]; what only looks like one in a text is text.
    pub fn prompt_tokens_bound(&self) -> u64 {
        let body = self.body();
        let names_image = memchr::memmem::find(body, b"image_url").is_some();
        let (images, bytes) = if names_image { images(body) } else { (0, 0) };
        let tools = if self.has_tools() { TOOLS_TOKENS } else { 0 };
        (body.len() - bytes) as u64 + images * MEDIUM_TOKENS + tools + 8
    }

    /// The request for the rest of the answer: the conversation ends with the prefill, and as many tokens fewer are asked
    /// for. `None`: none is left.
    ///
    /// # Errors
    /// [`WireError::Json`] where the body is none; it was parsed before.
    pub fn continued(&self, cut: &Cut) -> Result<Option<Self>, WireError> {
        let mut body: Map<String, Value> = json::decode(self.body())?;
        for name in ["max_tokens", "max_completion_tokens"] {
            let Some(limit) = body.get(name).and_then(Value::as_u64) else { continue };
            let left = limit.saturating_sub(cut.given);
            if left == 0 {
                return Ok(None);
            }
            body.insert(name.to_owned(), left.into());
        }
        if !cut.prefill.is_empty()
            && let Some(Value::Array(messages)) = body.get_mut("messages")
        {
            let begun =
                messages.last_mut().filter(|last| last.get("role").is_some_and(|role| role == "assistant"));
            match begun.and_then(|last| last.get_mut("content")) {
                Some(Value::String(content)) => content.push_str(&cut.prefill),
                Some(Value::Array(parts)) => parts.push(json!({ "type": "text", "text": cut.prefill })),
                _ => messages.push(json!({ "role": "assistant", "content": cut.prefill })),
            }
        }
        let mut continued = Self::parse(Value::Object(body).to_string().into())?;
        continued.continues = !cut.prefill.is_empty();
        continued.counted = self.counted;
        Ok(Some(continued))
    }
}

/// How many images the messages of a request have, and how many bytes of it they are.
fn images(body: &[u8]) -> (u64, usize) {
    #[derive(Deserialize)]
    struct Request<'a> {
        #[serde(borrow)]
        messages: Vec<Message<'a>>,
    }
    #[derive(Deserialize)]
    struct Message<'a> {
        #[serde(borrow, default)]
        content: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Part<'a> {
        #[serde(rename = "type")]
        kind: String,
        #[serde(borrow, default)]
        image_url: Option<&'a RawValue>,
    }
    let Ok(request) = serde_json::from_slice::<Request<'_>>(body) else { return (0, 0) };
    let contents = request.messages.iter().filter_map(|message| message.content);
    // A content that is a text is no list of parts.
    let parts =
        contents.filter_map(|content| serde_json::from_str::<Vec<Part<'_>>>(content.get()).ok()).flatten();
    let images = parts.filter(|part| part.kind == "image_url").filter_map(|part| part.image_url);
    images.fold((0, 0), |(count, bytes), image| (count + 1, bytes + image.get().len()))
}
