//! A chat's answer as a response: whole, or as its events.

use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};

use super::chunk::{Chunk, Usage};
use super::echo::{Document, Echo, Error, Said, Status};
use super::events::Events;
use super::output::Output;
use crate::openai::{ErrorBody, UpstreamError, parse_error};
use crate::{WireError, json};

/// Most bytes of chunks that one answer may have: its last events repeat all of it, so all of it is held. As much as
/// a [`ChunkCollector`](crate::openai::ChunkCollector) takes.
const MOST_BYTES: usize = 64 << 20;

/// Translates the chunks of one streamed answer into server-sent events, or a whole answer into a response.
///
/// The events come in the order, and with the numbers, that OpenAI's clients count on: an item begins, its parts begin,
/// grow and end, the item ends. A stream ends with `response.completed`, `response.incomplete` or `response.failed`.
#[derive(Debug)]
pub struct FromOpenAi {
    answer: Answer,
    output: Output,
    sequence: u64,
    begun: bool,
    over: bool,
    taken: usize,
}

/// What a response says beside its output.
#[derive(Debug)]
struct Answer {
    id: String,
    created_at: u64,
    echo: Echo,
    finish_reason: Option<String>,
    usage: Option<Usage>,
    service_tier: Option<String>,
}

impl FromOpenAi {
    /// An answer to the request of this id, begun at `created_at`, in seconds since 1970. The identifiers of the
    /// response and its items are made from the request's: `req_7` is answered by `resp_7`.
    pub fn new(request_id: &str, echo: Echo, created_at: u64) -> Self {
        let suffix = request_id.strip_prefix("req_").unwrap_or(request_id).to_owned();
        let answer = Answer {
            id: format!("resp_{suffix}"),
            created_at,
            echo,
            finish_reason: None,
            usage: None,
            service_tier: None,
        };
        Self { answer, output: Output::new(suffix), sequence: 0, begun: false, over: false, taken: 0 }
    }

    /// Appends the events that one chunk becomes. An error in it ends the response as failed.
    ///
    /// # Errors
    /// [`WireError::Json`] where it is not a chunk, [`WireError::Invalid`] where a call has no name when the answer
    /// ends, [`WireError::TooLarge`] where the chunks together exceed 64 MiB.
    pub fn chunk(&mut self, data: &[u8], out: &mut BytesMut) -> Result<(), WireError> {
        self.taken = self.taken.saturating_add(data.len());
        if self.taken > MOST_BYTES {
            return Err(WireError::TooLarge { what: "a streamed answer", limit: MOST_BYTES });
        }
        if self.over {
            return Ok(());
        }
        let chunk: Chunk = json::decode(data)?;
        if chunk.error.is_some() {
            let UpstreamError { message, code, kind, param, .. } = parse_error(data);
            let event = json!({ "code": code, "message": message, "param": param });
            let code = failure_code(code.as_deref(), kind.as_deref().unwrap_or_default());
            self.fail(&event, Error { code, message: &message }, out);
            return Ok(());
        }
        self.begin(out);
        let events = &mut Events::to(out, &mut self.sequence);
        self.answer.take(chunk, &mut self.output, events)
    }

    /// Appends the last event of an answer that is whole, for which a stream has to have ended well. `completed_at` is
    /// now, in seconds since 1970.
    pub fn done(&mut self, completed_at: u64, out: &mut BytesMut) {
        if self.over {
            return;
        }
        self.begin(out);
        self.over = true;
        let events = &mut Events::to(out, &mut self.sequence);
        let status = self.answer.status();
        self.output.finish(matches!(status, Status::Incomplete(_)), events);
        let name = match status {
            Status::Incomplete(_) => "response.incomplete",
            Status::InProgress | Status::Completed | Status::Failed => "response.completed",
        };
        events.lifecycle(
            name,
            &self.answer.document(&self.output.documents(), status, Some(completed_at), None),
        );
    }

    /// Appends the events of an answer that failed: what went wrong, and the response as far as it came.
    pub fn failed(&mut self, error: &ErrorBody, out: &mut BytesMut) {
        let ErrorBody { message, kind, param, code, uat_code, retryable } = error;
        let event = json!({
            "code": code, "message": message, "param": param, "uat_code": uat_code, "retryable": retryable,
        });
        let code = failure_code(code.as_deref(), kind);
        self.fail(&event, Error { code, message }, out);
    }

    /// A whole answer, as the response that its events would have added up to.
    ///
    /// # Errors
    /// [`WireError::Json`] where it is not a completion, [`WireError::Invalid`] where it has no choices or a call has
    /// no name.
    pub fn completion(self, body: &[u8], completed_at: u64) -> Result<Bytes, WireError> {
        let Self { mut answer, mut output, mut sequence, .. } = self;
        let completion: Chunk = json::decode(body)?;
        if completion.error.is_some() {
            let UpstreamError { message, code, kind, .. } = parse_error(body);
            let code = failure_code(code.as_deref(), kind.as_deref().unwrap_or_default());
            let error = Error { code, message: &message };
            return Ok(json::encode(&answer.document(&[], Status::Failed, None, Some(error))));
        }
        if completion.choices.as_ref().is_none_or(Vec::is_empty) {
            return Err(WireError::invalid("choices", "at least one choice", "none"));
        }
        let nowhere = &mut Events::nowhere(&mut sequence);
        answer.take(completion, &mut output, nowhere)?;
        let status = answer.status();
        output.finish(matches!(status, Status::Incomplete(_)), nowhere);
        Ok(json::encode(&answer.document(&output.documents(), status, Some(completed_at), None)))
    }

    fn begin(&mut self, out: &mut BytesMut) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let events = &mut Events::to(out, &mut self.sequence);
        let document = self.answer.document(&[], Status::InProgress, None, None);
        events.lifecycle("response.created", &document);
        events.lifecycle("response.in_progress", &document);
    }

    fn fail(&mut self, event: &Value, error: Error<'_>, out: &mut BytesMut) {
        if self.over {
            return;
        }
        self.begin(out);
        self.over = true;
        self.output.abandon();
        let events = &mut Events::to(out, &mut self.sequence);
        events.emit("error", event);
        let output = self.output.documents();
        events
            .lifecycle("response.failed", &self.answer.document(&output, Status::Failed, None, Some(error)));
    }
}

impl Answer {
    fn take(&mut self, chunk: Chunk, output: &mut Output, events: &mut Events<'_>) -> Result<(), WireError> {
        if let Some(usage) = chunk.usage {
            self.usage = usage.usage().or(self.usage);
        }
        if chunk.service_tier.is_some() {
            self.service_tier = chunk.service_tier;
        }
        // A response is one choice.
        let choice = chunk.choices.unwrap_or_default().into_iter().find(|choice| choice.index == 0);
        let Some(choice) = choice else { return Ok(()) };
        let delta = choice.delta.or(choice.message).unwrap_or_default();
        let logprobs = choice.logprobs.and_then(|logprobs| logprobs.content).unwrap_or_default();
        output.delta(delta, logprobs, events);
        if let Some(reason) = choice.finish_reason {
            if let Some(index) = output.nameless() {
                let field = format!("choices[0].delta.tool_calls[{index}].function.name");
                return Err(WireError::invalid(field, "the name of a function", "nothing"));
            }
            self.finish_reason = Some(reason);
            output.finish(matches!(self.status(), Status::Incomplete(_)), events);
        }
        Ok(())
    }

    fn status(&self) -> Status {
        match self.finish_reason.as_deref() {
            Some("length") => Status::Incomplete("max_output_tokens"),
            Some("content_filter") => Status::Incomplete("content_filter"),
            _ => Status::Completed,
        }
    }

    fn document<'a>(
        &'a self,
        output: &'a [Value],
        status: Status,
        completed_at: Option<u64>,
        error: Option<Error<'a>>,
    ) -> Document<'a> {
        let said = Said {
            id: &self.id,
            created_at: self.created_at,
            status,
            completed_at: completed_at.filter(|_| status == Status::Completed),
            error,
            output,
            usage: self.usage,
            service_tier: self.service_tier.as_deref(),
        };
        Document::new(said, &self.echo)
    }
}

/// The nearest of the codes that a failed response may have.
fn failure_code(code: Option<&str>, kind: &str) -> &'static str {
    match (code, kind) {
        (Some("rate_limit_exceeded"), _) | (_, "rate_limit_error") => "rate_limit_exceeded",
        (_, "invalid_request_error") => "invalid_prompt",
        _ => "server_error",
    }
}
