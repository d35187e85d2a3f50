//! What an answer says, where it is passed on to a Gemini client as it is.

use super::answer::{self, Answer, End, Part, end_of};
use crate::WireError;
use crate::openai::{ChunkFacts, ResponseFacts, UpstreamError, parse_error};

/// Reads one document of a stream. The usage so far is in every chunk, and some models write a finish reason into every
/// chunk, too: the stream is complete when it ends after one that has it. A blocked prompt is finished, not an error.
///
/// # Errors
/// [`WireError::Json`] where it is not one of Gemini's.
pub fn chunk_facts(data: &[u8]) -> Result<ChunkFacts, WireError> {
    let answer = answer::read(data)?;
    let candidates = answer.candidates.as_deref().unwrap_or_default();
    let has_parts = candidates.iter().any(|candidate| {
        let parts = candidate.content.as_ref().and_then(|content| content.parts.as_deref());
        parts.unwrap_or_default().iter().any(says_something)
    });
    let finished = blocked(&answer) || candidates.iter().any(|candidate| candidate.finish_reason.is_some());
    Ok(ChunkFacts {
        has_content: has_parts || finished,
        finished,
        usage: answer.usage_metadata.and_then(answer::Counts::usage),
        error: error_of(&answer, data),
        text: None,
    })
}

/// Reads a complete answer. The finish reason is in OpenAI's words.
///
/// # Errors
/// [`WireError::Json`] where it is not one of Gemini's; [`WireError::Invalid`] where it has neither candidates nor the
/// reason why there are none.
pub fn response_facts(body: &[u8]) -> Result<ResponseFacts, WireError> {
    let answer = answer::read(body)?;
    let error = error_of(&answer, body);
    let blocked = blocked(&answer);
    let candidates = answer.candidates.as_deref().unwrap_or_default();
    if candidates.is_empty() && error.is_none() && !blocked {
        return Err(WireError::invalid("candidates", "at least one candidate", "none"));
    }
    let called = candidates.first().is_some_and(|first| {
        let parts = first.content.as_ref().and_then(|content| content.parts.as_deref());
        parts.unwrap_or_default().iter().any(|part| part.function_call.is_some())
    });
    let reason = candidates.first().and_then(|first| first.finish_reason.as_deref());
    let finish_reason = match reason.map(end_of) {
        Some(End::Finished("stop")) if called => Some("tool_calls"),
        Some(End::Finished(reason)) => Some(reason),
        Some(End::Failed) => None,
        None => blocked.then_some("content_filter"),
    };
    Ok(ResponseFacts {
        usage: answer.usage_metadata.and_then(answer::Counts::usage),
        error,
        finish_reason: finish_reason.map(str::to_owned),
    })
}

fn says_something(part: &Part) -> bool {
    part.text.as_ref().is_some_and(|text| !text.is_empty())
        || part.function_call.is_some()
        || part.inline_data.is_some()
        || !part.other.is_empty()
}

fn blocked(answer: &Answer) -> bool {
    answer.prompt_feedback.as_ref().is_some_and(|feedback| feedback.block_reason.is_some())
}

fn error_of(answer: &Answer, document: &[u8]) -> Option<UpstreamError> {
    if answer.error.is_some() {
        return Some(parse_error(document));
    }
    answer.candidates.iter().flatten().find_map(|candidate| {
        let reason = candidate.finish_reason.as_deref()?;
        (end_of(reason) == End::Failed).then(|| failed(reason, candidate.finish_message.as_deref()))
    })
}

/// The error of an answer that ended with this reason.
pub(super) fn failed(reason: &str, message: Option<&str>) -> UpstreamError {
    let told = message.map_or_else(String::new, |message| format!(": {message}"));
    UpstreamError {
        message: format!("the model's answer ended with {reason}{told}"),
        code: Some(reason.to_owned()),
        kind: Some("upstream_error".to_owned()),
        ..UpstreamError::default()
    }
}
