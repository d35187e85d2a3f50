//! Gemini's answer, as OpenAI's chunks or completion.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::answer::{self, Answer, Blob, Candidate, Counts, End, FunctionCall, Part, end_of};
use super::{SIGNATURE_FORMAT, SIGNED_CONTENT, SIGNED_IMAGE, facts, logprobs};
use crate::openai::{ChunkCollector, UpstreamError, Usage, parse_error};
use crate::{WireError, json};

/// Translates the documents of one streamed answer.
///
/// Thoughts become `reasoning_content`, signatures `reasoning_details`, images `images`, as OpenRouter writes them. What
/// else a model may send, like audio or code that Google ran, is an error: OpenAI's dialect has no words for it. A
/// blocked prompt becomes an answer that refuses, with the finish reason `content_filter`. Citations, grounding and
/// safety ratings are left out.
#[derive(Debug)]
pub struct ToOpenAi {
    id: String,
    model: String,
    created: u64,
    include_usage: bool,
    choices: BTreeMap<u64, Progress>,
    usage: Option<Counts>,
    failed: bool,
}

/// What came of one candidate.
#[derive(Debug, Default)]
struct Progress {
    started: bool,
    calls: usize,
    finish: Option<&'static str>,
}

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: &'a [Choice<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<UsageOut>,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u64,
    delta: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Value>,
    finish_reason: Option<&'a str>,
}

#[derive(Serialize)]
struct UsageOut {
    #[serde(flatten)]
    usage: Usage,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Serialize)]
struct CompletionDetails {
    reasoning_tokens: u64,
}

impl ToOpenAi {
    /// A translation whose chunks carry this `id`, `model` and `created` (seconds since 1970), and that ends with a
    /// usage chunk if asked to.
    pub fn new(id: String, model: String, created: u64, include_usage: bool) -> Self {
        let choices = BTreeMap::new();
        Self { id, model, created, include_usage, choices, usage: None, failed: false }
    }

    /// The chunks that one document of the stream becomes, of which none carries a finish reason: some models write one
    /// into every document, so which is the last is known at the end ([`finish`](Self::finish)). An error in the
    /// stream, a malformed call included, becomes a chunk with OpenAI's error object, which
    /// [`chunk_facts`](crate::openai::chunk_facts) reports.
    ///
    /// # Errors
    /// [`WireError::Json`] where it is not one of Gemini's, [`WireError::Invalid`] where a part of it has no
    /// counterpart.
    pub fn chunk(&mut self, data: &[u8]) -> Result<Vec<Bytes>, WireError> {
        let answer = answer::read(data)?;
        if answer.error.is_some() {
            return Ok(vec![self.error_chunk(&parse_error(data))]);
        }
        self.usage = answer.usage_metadata.or(self.usage);
        let mut chunks = Vec::new();
        if let Some(reason) = block_reason(&answer) {
            self.refuse(reason, &mut chunks);
        }
        for (position, candidate) in answer.candidates.into_iter().flatten().enumerate() {
            self.candidate(position, candidate, &mut chunks)?;
        }
        Ok(chunks)
    }

    /// Whether every candidate that has begun has had a finish reason; a stream that ends without it was cut.
    pub fn is_finished(&self) -> bool {
        !self.failed
            && !self.choices.is_empty()
            && self.choices.values().all(|progress| progress.finish.is_some())
    }

    /// The chunks that end the answer: the finish reason of every choice, then the usage if it was asked for. None of
    /// them where the stream was cut or failed.
    pub fn finish(&mut self) -> Vec<Bytes> {
        if !self.is_finished() {
            return Vec::new();
        }
        let ended = std::mem::take(&mut self.choices);
        let mut chunks = Vec::with_capacity(ended.len() + 1);
        for (index, progress) in ended {
            let finish = match progress.finish {
                Some("stop") | None if progress.calls > 0 => "tool_calls",
                Some(reason) => reason,
                None => "stop",
            };
            let delta = Map::new();
            let choice = Choice { index, delta, logprobs: None, finish_reason: Some(finish) };
            chunks.push(self.encode(&[choice], None));
        }
        if self.include_usage
            && let Some(counts) = self.usage
            && let Some(usage) = counts.usage()
        {
            let details = counts.thoughts().map(|reasoning_tokens| CompletionDetails { reasoning_tokens });
            chunks.push(self.encode(&[], Some(UsageOut { usage, completion_tokens_details: details })));
        }
        chunks
    }

    /// The completion that an answer without streaming becomes; an error in it becomes OpenAI's error object.
    ///
    /// # Errors
    /// As [`chunk`](Self::chunk); [`WireError::Invalid`] where it has neither candidates nor the reason why there are
    /// none.
    pub fn completion(body: &[u8], id: &str, model: &str, created: u64) -> Result<Bytes, WireError> {
        let mut translation = Self::new(id.to_owned(), model.to_owned(), created, true);
        let mut chunks = translation.chunk(body)?;
        if translation.failed {
            return Ok(chunks.pop().unwrap_or_default());
        }
        if translation.choices.is_empty() {
            return Err(WireError::invalid("candidates", "at least one candidate", "none"));
        }
        for progress in translation.choices.values_mut() {
            // A whole body ends where the model did, whether it says so or not.
            progress.finish.get_or_insert("stop");
        }
        chunks.append(&mut translation.finish());
        // Its parts were all in memory before: no limit of its own.
        let mut collector = ChunkCollector::with_limit(usize::MAX);
        for chunk in &chunks {
            collector.push(chunk)?;
        }
        Ok(collector.finish())
    }

    fn candidate(
        &mut self,
        position: usize,
        candidate: Candidate,
        chunks: &mut Vec<Bytes>,
    ) -> Result<(), WireError> {
        let index = candidate.index.unwrap_or(position as u64);
        self.start(index, chunks);
        let parts = candidate.content.and_then(|content| content.parts).unwrap_or_default();
        for (place, part) in parts.into_iter().enumerate() {
            let at = format!("candidates[{position}].content.parts[{place}]");
            let first_call = self.choices.get(&index).map_or(0, |progress| progress.calls);
            let delta = self.delta(index, first_call, part, &at)?;
            if !delta.is_empty() {
                chunks.push(self.one(index, delta, None));
            }
        }
        if let Some(result) = candidate.logprobs_result {
            chunks.push(self.one(index, Map::new(), Some(logprobs::to_openai(&result))));
        }
        let Some(reason) = candidate.finish_reason else { return Ok(()) };
        match end_of(&reason) {
            End::Finished(reason) => self.choices.entry(index).or_default().finish = Some(reason),
            End::Failed => {
                let error = facts::failed(&reason, candidate.finish_message.as_deref());
                chunks.push(self.error_chunk(&error));
            }
        }
        Ok(())
    }

    fn start(&mut self, index: u64, chunks: &mut Vec<Bytes>) {
        if !std::mem::replace(&mut self.choices.entry(index).or_default().started, true) {
            let delta = [("role", json!("assistant")), ("content", json!(""))];
            let delta = delta.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            chunks.push(self.one(index, delta, None));
        }
    }

    fn refuse(&mut self, reason: &str, chunks: &mut Vec<Bytes>) {
        self.start(0, chunks);
        let refusal = format!("Gemini blocked the prompt: {reason}");
        chunks.push(self.one(0, Map::from_iter([("refusal".to_owned(), json!(refusal))]), None));
        self.choices.entry(0).or_default().finish = Some("content_filter");
    }

    /// What one part adds to the answer.
    fn delta(
        &mut self,
        choice: u64,
        calls: usize,
        part: Part,
        at: &str,
    ) -> Result<Map<String, Value>, WireError> {
        let mut delta = Map::new();
        let mut details = Vec::new();
        let signature = part.thought_signature.filter(|signature| !signature.is_empty());
        let thought = part.thought == Some(true);
        match (part.text, part.function_call, part.inline_data) {
            (text, None, None) if thought => {
                let text = text.unwrap_or_default();
                details.extend(signature.map(|signature| {
                    json!({ "type": "reasoning.text", "text": text, "signature": signature, "format": SIGNATURE_FORMAT })
                }));
                if !text.is_empty() {
                    delta.insert("reasoning_content".to_owned(), json!(text));
                }
            }
            (_, Some(call), _) => {
                let call = self.call(choice, calls, call);
                let id = call.get("id").and_then(Value::as_str).map(str::to_owned);
                details.extend(signature.map(|signature| encrypted(id.as_deref(), &signature)));
                delta.insert("tool_calls".to_owned(), json!([call]));
            }
            (_, None, Some(blob)) => {
                delta.insert("images".to_owned(), json!([image(&blob, at)?]));
                details.extend(signature.map(|signature| encrypted(Some(SIGNED_IMAGE), &signature)));
            }
            (Some(text), None, None) => {
                let place = (!text.is_empty()).then_some(SIGNED_CONTENT);
                details.extend(signature.map(|signature| encrypted(place, &signature)));
                if !text.is_empty() {
                    delta.insert("content".to_owned(), json!(text));
                }
            }
            (None, None, None) => match (part.other.keys().next(), signature) {
                (Some(kind), _) => {
                    let expected = "a text, a thought, a function call or an image";
                    return Err(WireError::invalid(at, expected, kind.as_str()));
                }
                (None, signature) => details.extend(signature.map(|signature| encrypted(None, &signature))),
            },
        }
        if !details.is_empty() {
            delta.insert("reasoning_details".to_owned(), Value::Array(details));
        }
        Ok(delta)
    }

    /// A call in OpenAI's words. An identifier that Gemini leaves out is made from the answer's, so that it is unique in
    /// a conversation.
    fn call(&mut self, choice: u64, index: usize, call: FunctionCall) -> Value {
        self.choices.entry(choice).or_default().calls += 1;
        let id = call.id.filter(|id| !id.is_empty()).unwrap_or_else(|| match choice {
            0 => format!("call_{}_{index}", self.id),
            choice => format!("call_{}_{choice}_{index}", self.id),
        });
        let arguments = Value::Object(call.args.unwrap_or_default()).to_string();
        json!({ "index": index, "id": id, "type": "function", "function": { "name": call.name, "arguments": arguments } })
    }

    fn error_chunk(&mut self, error: &UpstreamError) -> Bytes {
        self.failed = true;
        json::encode(&json!({ "error": {
            "message": error.message,
            "type": error.kind.as_deref().unwrap_or("upstream_error"),
            "param": error.param,
            "code": error.code,
        } }))
    }

    fn one(&self, index: u64, delta: Map<String, Value>, logprobs: Option<Value>) -> Bytes {
        self.encode(&[Choice { index, delta, logprobs, finish_reason: None }], None)
    }

    fn encode(&self, choices: &[Choice<'_>], usage: Option<UsageOut>) -> Bytes {
        let Self { id, model, created, .. } = self;
        json::encode(&Chunk { id, object: "chat.completion.chunk", created: *created, model, choices, usage })
    }
}

fn block_reason(answer: &Answer) -> Option<&str> {
    answer.prompt_feedback.as_ref()?.block_reason.as_deref()
}

fn encrypted(id: Option<&str>, data: &str) -> Value {
    let mut detail = json!({ "type": "reasoning.encrypted", "data": data, "format": SIGNATURE_FORMAT });
    if let (Some(id), Value::Object(detail)) = (id, &mut detail) {
        detail.insert("id".to_owned(), json!(id));
    }
    detail
}

fn image(blob: &Blob, at: &str) -> Result<Value, WireError> {
    if !blob.mime_type.starts_with("image/") {
        let got = json::shown(&json!(blob.mime_type).to_string());
        return Err(WireError::invalid(format!("{at}.inlineData.mimeType"), "an image", got));
    }
    let url = format!("data:{};base64,{}", blob.mime_type, blob.data);
    Ok(json!({ "type": "image_url", "image_url": { "url": url } }))
}
