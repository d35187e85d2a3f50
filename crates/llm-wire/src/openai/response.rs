//! What a complete answer says.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::chunk::{Usage, UsageView, decode_object, upstream_error};
use super::error::UpstreamError;
use crate::WireError;

/// What a complete body with status 200 says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResponseFacts {
    /// The usage, where the upstream counts.
    pub usage: Option<Usage>,
    /// The upstream reports an error in spite of the status.
    pub error: Option<UpstreamError>,
    /// The finish reason of the first choice.
    pub finish_reason: Option<String>,
}

/// Reads a complete answer.
///
/// # Errors
/// [`WireError::Json`] where it is not a JSON object; [`WireError::Invalid`] where it has neither choices nor an error.
pub fn response_facts(body: &[u8]) -> Result<ResponseFacts, WireError> {
    let response: ResponseView<'_> = decode_object(body)?;
    let error = upstream_error(response.error, response.object.as_deref(), body)?;
    let choices = response.choices.unwrap_or_default();
    if choices.is_empty() && error.is_none() {
        return Err(WireError::invalid("choices", "at least one choice", "none"));
    }
    let first = choices.into_iter().next();
    Ok(ResponseFacts {
        usage: response.usage.and_then(UsageView::usage),
        error,
        finish_reason: first.and_then(|choice| choice.finish_reason).map(Cow::into_owned),
    })
}

#[derive(Deserialize)]
struct ResponseView<'a> {
    #[serde(borrow, default)]
    object: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    choices: Option<Vec<ChoiceView<'a>>>,
    #[serde(default)]
    usage: Option<UsageView>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ChoiceView<'a> {
    #[serde(borrow, default)]
    finish_reason: Option<Cow<'a, str>>,
}
