//! What a translation between dialects gives, and what it had to leave behind.

use bytes::Bytes;

/// A request in another dialect, and what of the original it does not say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Translated {
    /// The document.
    pub body: Bytes,
    /// Fields that the other dialect lacks and that do not change what the answer means, like `seed` or
    /// `messages[].content[].cache_control`. Whatever does change it is refused instead.
    pub dropped: Vec<String>,
}

impl Translated {
    /// A translation that says everything.
    pub fn whole(body: Bytes) -> Self {
        Self { body, dropped: Vec::new() }
    }
}

/// A dialect other than OpenAI's in which a client asked, and in which an endpoint may be asked without translation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Spoken {
    /// Anthropic's messages.
    Anthropic,
    /// Gemini's `generateContent`.
    Gemini,
}

/// The document that a client sent in another dialect than OpenAI's.
#[derive(Clone, PartialEq, Eq)]
pub struct Original {
    /// How it is written.
    pub dialect: Spoken,
    /// Its bytes, as they came.
    pub body: Bytes,
}

impl std::fmt::Debug for Original {
    /// Without the body: prompts do not belong in logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Original")
            .field("dialect", &self.dialect)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}
