//! Our answer in OpenAI's dialect, as a Gemini client expects it.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Map, Value, json};

use super::document::{Choice, Chunk, Counts, Detail};
use super::fields::Fields;
use super::{SIGNATURE_FORMAT, SIGNED_CONTENT, SIGNED_IMAGE, error_body, logprobs, status_name};
use crate::openai::{CallDelta, ChatRequest, Held, parse_error};
use crate::{Spoken, WireError, json};

/// Translates the chunks of one streamed answer into the documents of a Gemini stream.
#[derive(Debug)]
pub struct FromOpenAi {
    model: String,
    id: String,
    framing: Framing,
    thoughts: bool,
    choices: BTreeMap<u64, Pending>,
    held: Held,
    usage: Option<Counts>,
    begun: bool,
}

/// How the documents of a stream are set apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// As events: `alt=sse`.
    Sse,
    /// As the elements of one array.
    Array,
}

/// What of a choice is kept until its end.
#[derive(Debug, Default)]
struct Pending {
    calls: BTreeMap<u64, Call>,
    /// Signatures by the identifier of the call that they belong to.
    signatures: Vec<(String, String)>,
    finish: Option<String>,
}

/// A tool call whose arguments arrive in pieces; Gemini's clients get it whole.
#[derive(Debug, Default)]
struct Call {
    id: String,
    name: String,
    arguments: String,
}

/// Whether a Gemini client asked for the model's thoughts (`thinkingConfig.includeThoughts`), without which it does not
/// expect any. False for the request of any other client.
pub fn wants_thoughts(request: &ChatRequest) -> bool {
    let Some(original) = request.original().filter(|original| original.dialect == Spoken::Gemini) else {
        return false;
    };
    let wanted = || -> Result<bool, WireError> {
        let mut request = Fields::of(json::decode(&original.body)?, "")?;
        let Some(mut config) = request.object("generationConfig")? else { return Ok(false) };
        config.object("thinkingConfig")?.map_or(Ok(false), |mut thinking| thinking.flag("includeThoughts"))
    };
    wanted().unwrap_or(false)
}

impl FromOpenAi {
    /// A translation whose documents name this model and this request, as events of a stream that was asked for with
    /// `alt=sse`.
    pub fn new(model: String, request_id: String) -> Self {
        let (framing, choices, held) = (Framing::Sse, BTreeMap::new(), Held::default());
        Self { model, id: request_id, framing, thoughts: true, choices, held, usage: None, begun: false }
    }

    /// The same as one array of documents, which is what Gemini streams without `alt=sse`.
    #[must_use]
    pub fn as_array(self) -> Self {
        Self { framing: Framing::Array, ..self }
    }

    /// The same with or without the model's thoughts; see [`wants_thoughts`]. Signatures stay.
    #[must_use]
    pub fn with_thoughts(self, thoughts: bool) -> Self {
        Self { thoughts, ..self }
    }

    /// Appends the frames that one chunk becomes, if it says anything to a Gemini client. Tool calls come whole, with
    /// the finish reason; an error chunk becomes Google's error object.
    ///
    /// # Errors
    /// [`WireError::Json`] where it is not a chunk, [`WireError::Invalid`] where a tool call's arguments are not a JSON
    /// object, [`WireError::TooLarge`] where calls do not end.
    pub fn chunk(&mut self, chunk: &[u8], out: &mut BytesMut) -> Result<(), WireError> {
        let Chunk { choices, usage, error } = json::decode(chunk)?;
        if error.is_some() {
            let error = parse_error(chunk);
            let code = error.code.as_deref().and_then(|code| code.parse().ok());
            let code = code.filter(|code| (400..600).contains(code)).unwrap_or(500);
            self.frame(&error_body(code, status_name(code), &error.message), out);
            return Ok(());
        }
        self.usage = usage.or(self.usage.take());
        for (position, choice) in choices.into_iter().flatten().enumerate() {
            let index = choice.index.unwrap_or(position as u64);
            let logprobs = choice.logprobs.as_ref().and_then(logprobs::from_openai);
            let parts = self.parts(index, choice)?;
            if !parts.is_empty() || logprobs.is_some() {
                let mut candidate = candidate(index, parts);
                candidate.extend(logprobs.map(|logprobs| ("logprobsResult".to_owned(), logprobs)));
                let document = self.document(vec![candidate], None);
                self.frame(&document, out);
            }
        }
        Ok(())
    }

    /// Appends the frame of a document that Gemini itself wrote.
    pub fn own(&mut self, document: &[u8], out: &mut BytesMut) {
        self.frame(document, out);
    }

    /// Appends the last frame: the finish reasons and the usage. To be asked for only after a stream that ended well: a
    /// tool call without a finish reason after it is not in it.
    pub fn done(&mut self, out: &mut BytesMut) {
        let ended = std::mem::take(&mut self.choices);
        let candidates = ended.into_iter().map(|(index, pending)| {
            let mut candidate = candidate(index, vec![json!({ "text": "" })]);
            let reason = finish_reason(pending.finish.as_deref());
            candidate.insert("finishReason".to_owned(), json!(reason));
            candidate
        });
        let document = self.document(candidates.collect(), self.usage.as_ref());
        self.frame(&document, out);
        self.close(out);
    }

    /// Appends the frame of an error that ended the stream. `code` is the HTTP status that it would have had.
    pub fn failed(&mut self, out: &mut BytesMut, code: u16, message: &str) {
        self.frame(&error_body(code, status_name(code), message), out);
        self.close(out);
    }

    /// A complete answer for a client that did not want a stream. Thoughts are in it.
    ///
    /// # Errors
    /// [`WireError::Json`] where it is not a completion, [`WireError::Invalid`] where it has no choices or a tool
    /// call's arguments are not a JSON object.
    pub fn completion(body: &[u8], model: &str, request_id: &str) -> Result<Bytes, WireError> {
        Self::new(model.to_owned(), request_id.to_owned()).whole(body)
    }

    /// The same with or without thoughts, as this translation was told; `self` must have translated no chunks.
    ///
    /// # Errors
    /// As [`completion`](Self::completion).
    pub fn whole(mut self, body: &[u8]) -> Result<Bytes, WireError> {
        let Chunk { choices, usage, error } = json::decode(body)?;
        if error.is_some() {
            return Ok(error_body(500, status_name(500), &parse_error(body).message));
        }
        let choices = choices.unwrap_or_default();
        if choices.is_empty() {
            return Err(WireError::invalid("choices", "at least one choice", "none"));
        }
        let mut candidates = Vec::with_capacity(choices.len());
        for (position, mut choice) in choices.into_iter().enumerate() {
            let index = choice.index.unwrap_or(position as u64);
            let finish = choice.finish_reason.get_or_insert_with(|| "stop".to_owned()).clone();
            let logprobs = choice.logprobs.as_ref().and_then(logprobs::from_openai);
            let mut candidate = candidate(index, self.parts(index, choice)?);
            candidate.insert("finishReason".to_owned(), json!(finish_reason(Some(&finish))));
            candidate.extend(logprobs.map(|logprobs| ("logprobsResult".to_owned(), logprobs)));
            candidates.push(candidate);
        }
        Ok(self.document(candidates, usage.as_ref()))
    }

    /// The parts that a choice adds, in the order in which a model says them.
    fn parts(&mut self, index: u64, choice: Choice) -> Result<Vec<Value>, WireError> {
        let delta = choice.delta.or(choice.message).unwrap_or_default();
        let mut details = delta.reasoning_details.unwrap_or_default();
        details.retain(|detail| detail.format.as_deref() == Some(SIGNATURE_FORMAT));
        let mut parts = Vec::new();
        let thought = delta.reasoning_content.or(delta.reasoning).filter(|text| !text.is_empty());
        let signature = take(&mut details, |detail| detail.signature.clone());
        if (thought.is_some() && self.thoughts) || signature.is_some() {
            let text = thought.filter(|_| self.thoughts).unwrap_or_default();
            parts.push(signed(json!({ "text": text, "thought": true }), signature));
        }
        if let Some(text) = delta.content.or(delta.refusal).filter(|text| !text.is_empty()) {
            parts.push(signed(json!({ "text": text }), take(&mut details, data_of(SIGNED_CONTENT))));
        }
        for image in delta.images.into_iter().flatten() {
            if let Some(blob) = blob_of(&image) {
                let signature = take(&mut details, data_of(SIGNED_IMAGE));
                parts.push(signed(json!({ "inlineData": blob }), signature));
            }
        }
        if !self.choices.contains_key(&index) {
            self.held.add(0)?;
        }
        let pending = self.choices.entry(index).or_default();
        for detail in details {
            match (detail.id, detail.data) {
                (Some(id), Some(data)) if id != SIGNED_CONTENT && id != SIGNED_IMAGE => {
                    self.held.add(id.len() + data.len())?;
                    pending.signatures.push((id, data));
                }
                (_, Some(data)) => parts.push(json!({ "text": "", "thoughtSignature": data })),
                (_, None) => {}
            }
        }
        for (position, call) in delta.tool_calls.into_iter().flatten().enumerate() {
            self.held.add(call.len())?;
            pending.collect(position, call);
        }
        if let Some(reason) = choice.finish_reason {
            pending.finish = Some(reason);
            pending.flush(index, &mut parts)?;
        }
        Ok(parts)
    }

    fn document(&self, candidates: Vec<Map<String, Value>>, usage: Option<&Counts>) -> Bytes {
        let mut document = Map::new();
        document.insert("candidates".to_owned(), json!(candidates));
        if let Some(usage) = usage {
            document.insert("usageMetadata".to_owned(), usage.to_gemini());
        }
        document.insert("modelVersion".to_owned(), json!(self.model));
        document.insert("responseId".to_owned(), json!(self.id));
        json::encode(&document)
    }

    fn frame(&mut self, document: &[u8], out: &mut BytesMut) {
        let first = !std::mem::replace(&mut self.begun, true);
        match (self.framing, first) {
            (Framing::Sse, _) => out.put_slice(b"data: "),
            (Framing::Array, true) => out.put_slice(b"["),
            (Framing::Array, false) => out.put_slice(b",\r\n"),
        }
        out.put_slice(document);
        if self.framing == Framing::Sse {
            out.put_slice(b"\r\n\r\n");
        }
    }

    /// Appends what ends a stream of documents that were Gemini's own.
    pub fn close(&mut self, out: &mut BytesMut) {
        if self.framing == Framing::Array {
            out.put_slice(if self.begun { b"]" } else { b"[]" });
        }
    }
}

impl Pending {
    fn collect(&mut self, position: usize, delta: CallDelta) {
        let call = self.calls.entry(delta.index.unwrap_or(position as u64)).or_default();
        if let Some(id) = delta.id.filter(|id| !id.is_empty()) {
            call.id = id;
        }
        if let Some(function) = delta.function {
            if let Some(name) = function.name.filter(|name| !name.is_empty()) {
                call.name = name;
            }
            call.arguments.push_str(&function.arguments.unwrap_or_default());
        }
    }

    /// The calls collected so far, each with its signature.
    fn flush(&mut self, choice: u64, parts: &mut Vec<Value>) -> Result<(), WireError> {
        for (index, Call { id, name, arguments }) in std::mem::take(&mut self.calls) {
            let args = match arguments.trim() {
                "" => Value::Object(Map::new()),
                text => match serde_json::from_str::<Value>(text) {
                    Ok(object @ Value::Object(_)) => object,
                    _ => {
                        return Err(WireError::invalid(
                            format!("choices[{choice}].tool_calls[{index}].function.arguments"),
                            "a string that holds a JSON object",
                            format!("a string of {} bytes", text.len()),
                        ));
                    }
                },
            };
            let signed_at = self.signatures.iter().position(|(of, _)| *of == id);
            let signature = signed_at.map(|at| self.signatures.swap_remove(at).1);
            let call = json!({ "id": id, "name": name, "args": args });
            parts.push(signed(json!({ "functionCall": call }), signature));
        }
        Ok(())
    }
}

fn take(details: &mut Vec<Detail>, of: impl Fn(&Detail) -> Option<String>) -> Option<String> {
    let at = details.iter().position(|detail| of(detail).is_some())?;
    of(&details.remove(at))
}

fn data_of(id: &str) -> impl Fn(&Detail) -> Option<String> {
    move |detail| detail.data.clone().filter(|_| detail.id.as_deref() == Some(id))
}

fn signed(mut part: Value, signature: Option<String>) -> Value {
    if let (Some(signature), Value::Object(part)) = (signature, &mut part) {
        part.insert("thoughtSignature".to_owned(), json!(signature));
    }
    part
}

fn candidate(index: u64, parts: Vec<Value>) -> Map<String, Value> {
    let mut candidate = Map::new();
    candidate.insert("content".to_owned(), json!({ "role": "model", "parts": parts }));
    candidate.insert("index".to_owned(), json!(index));
    candidate
}

fn finish_reason(reason: Option<&str>) -> &'static str {
    match reason {
        None | Some("stop" | "tool_calls" | "function_call") => "STOP",
        Some("length") => "MAX_TOKENS",
        Some("content_filter") => "SAFETY",
        Some(_) => "OTHER",
    }
}

/// The payload of an image that a message carries as a `data:` URL.
fn blob_of(image: &Value) -> Option<Value> {
    let url = image.pointer("/image_url/url")?.as_str()?;
    let (media, data) = url.strip_prefix("data:")?.split_once(";base64,")?;
    Some(json!({ "mimeType": media, "data": data }))
}
