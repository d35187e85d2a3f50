use std::fmt;
use std::sync::Arc;

use llm_wire::WireError;
use serde::Deserialize;

use crate::errors::RuntimeError;

/// What a caller wants added to its request, and where its session's memory lies.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ContextAsk {
    /// The session whose latest exchanges are added, and whose memory gets this one.
    #[serde(rename = "session_id")]
    pub session: Option<Arc<str>>,
    /// Texts that are searched for what the request is about.
    pub documents: Vec<Document>,
    /// The most that is added, tokens; what the configuration allows is not exceeded.
    pub max_tokens: Option<u64>,
}

/// A text of the caller's.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// What reports call it.
    pub id: Arc<str>,
    /// What it says.
    pub text: Arc<str>,
}

impl fmt::Debug for Document {
    /// Without the text: what belongs to prompts does not belong in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The longest id of a session, bytes: as long as that of a request, twice.
const LONGEST_SESSION: usize = 256;

impl ContextAsk {
    /// Reads the member `context` of a request's body.
    ///
    /// # Errors
    /// `UAT_INVALID_INPUT` with the path of what is wrong in it.
    pub fn from_json(json: &[u8]) -> Result<Self, RuntimeError> {
        const EXPECTED: &str = "{\"session_id\": TEXT, \"documents\": [{\"id\": TEXT, \"text\": TEXT}], \"max_tokens\": NUMBER}, of \
                                which each may be missing";
        // To serde a list may be a struct whose members have lost their names.
        if json.trim_ascii_start().starts_with(b"[") {
            return Err(invalid("context".to_owned(), EXPECTED, "a list".to_owned()));
        }
        let mut reader = serde_json::Deserializer::from_slice(json);
        let read: Result<Option<Self>, _> = serde_path_to_error::deserialize(&mut reader);
        let ask = read.map_err(|error| {
            let path = error.path().to_string();
            let field = if path == "." { "context".to_owned() } else { format!("context.{path}") };
            invalid(field, EXPECTED, error.inner().to_string())
        })?;
        Ok(ask.unwrap_or_default())
    }

    /// # Errors
    /// `UAT_INVALID_INPUT` naming what cannot be.
    pub(super) fn check(&self) -> Result<(), RuntimeError> {
        if let Some(session) = &self.session
            && !(1..=LONGEST_SESSION).contains(&session.trim().len())
        {
            let expected = format!("the id of a session, 1 to {LONGEST_SESSION} bytes");
            return Err(invalid(
                "context.session_id".into(),
                &expected,
                format!("{} bytes", session.trim().len()),
            ));
        }
        if let Some(index) = self.documents.iter().position(|document| document.id.trim().is_empty()) {
            return Err(invalid(
                format!("context.documents[{index}].id"),
                "what reports call it",
                "nothing".into(),
            ));
        }
        match self.max_tokens {
            Some(0) => Err(invalid("context.max_tokens".into(), "a number above 0", "0".into())),
            _ => Ok(()),
        }
    }
}

fn invalid(field: String, expected: &str, got: String) -> RuntimeError {
    RuntimeError::Input(WireError::Invalid { field, expected: expected.to_owned(), got })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named_with_its_path() {
        let ask =
            ContextAsk::from_json(br#"{"session_id":"s","documents":[{"id":"a","text":"b"}]}"#).unwrap();
        assert_eq!((ask.session.as_deref(), ask.documents.len()), (Some("s"), 1));
        assert_eq!(ContextAsk::from_json(b"null").unwrap(), ContextAsk::default());
        for (json, words) in [
            (r#"{"sesion_id":"s"}"#, "context.sesion_id"),
            (r#"{"documents":[{"id":"a"}]}"#, "context.documents[0]"),
            (r#"{"documents":[{"id":"a","text":7}]}"#, "context.documents[0].text"),
            (r#"{"max_tokens":-1}"#, "context.max_tokens"),
            (r#"[]"#, "context"),
        ] {
            let error = ContextAsk::from_json(json.as_bytes()).unwrap_err();
            assert!(
                error.to_string().contains(words) && error.code() == "UAT_INVALID_INPUT",
                "{json}: {error}"
            );
        }
        let empty = ContextAsk { session: Some(" ".into()), ..ContextAsk::default() };
        assert!(empty.check().unwrap_err().to_string().contains("context.session_id"));
    }
}
