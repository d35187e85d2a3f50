//! What the fake provider does with one request, as plain data.

mod answer;
mod millis;
mod parts;
mod vectors;

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

pub use answer::{Answer, Continuation, Tokens, ToolCall};
pub(crate) use parts::Part;
pub use vectors::Vectors;

/// What becomes of one request. In JSON the variant is the field `behaviour`, in snake_case.
///
/// "Before content" means: after the response head, and in the dialects whose stream opens with an event of its own (the
/// role in OpenAI's, `message_start` in Anthropic's) after that, as real servers send it. For a request that asked for no
/// stream, "after N chunks" means: after that share of the body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "behaviour", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Behaviour {
    /// A correct answer; to a request for embeddings, the vectors of [`Vectors::default`] after the first token's delay.
    Answer(Answer),
    /// The vectors of a request for embeddings, in a shape of its own. A chat request gets `null`.
    Vectors(Vectors),
    /// A status with these headers. Without a body the dialect's own error object is sent.
    Status {
        /// The HTTP status, such as 503 or 429.
        code: u16,
        /// Additional headers, such as `("retry-after", "1")`.
        #[serde(default)]
        headers: Vec<(String, String)>,
        /// The body, in place of the dialect's error object.
        #[serde(default)]
        body: Option<String>,
    },
    /// Reads the request and never answers.
    Hang,
    /// Reads the request and closes.
    CloseBeforeResponse,
    /// Sends the head and no content, then closes.
    CloseBeforeContent,
    /// Sends an error where the first content was expected, under status 200, and then ends properly.
    SseErrorBeforeContent,
    /// Closes the socket in the middle of the answer.
    CutAfter {
        /// Content chunks sent before.
        chunks: usize,
        /// The answer that is cut.
        #[serde(default)]
        answer: Answer,
    },
    /// Resets the connection (RST instead of FIN) in the middle of the answer; over a Unix socket it closes.
    ResetAfter {
        /// Content chunks sent before.
        chunks: usize,
        /// The answer that is cut.
        #[serde(default)]
        answer: Answer,
    },
    /// Ends the HTTP body properly in the middle of the answer: no finish reason, no `[DONE]`. The framing is right, so
    /// that only a client that knows the dialect notices.
    EndAfter {
        /// Content chunks sent before.
        chunks: usize,
        /// The answer that is shortened.
        #[serde(default)]
        answer: Answer,
    },
    /// Sends nothing more after some chunks, and leaves the connection open.
    StallAfter {
        /// Content chunks sent before.
        chunks: usize,
        /// The answer that stalls.
        #[serde(default)]
        answer: Answer,
    },
    /// Sends an error event after some chunks, and then ends properly without `[DONE]`.
    ErrorEventAfter {
        /// Content chunks sent before.
        chunks: usize,
        /// The answer that fails.
        #[serde(default)]
        answer: Answer,
    },
    /// Status 200 with an error object as its whole body, stream or not.
    ErrorInside200,
    /// Status 200 with the right content type, and a body that is not of the dialect.
    Garbage,
    /// Bytes that are not HTTP at all.
    NotHttp,
    /// A correct answer whose body arrives in small pieces that respect no boundary of events or characters.
    SlowDrip {
        /// Bytes in each piece.
        bytes_per: usize,
        /// Time between two pieces.
        #[serde(rename = "every_ms", with = "millis")]
        every: Duration,
        /// The answer.
        #[serde(default)]
        answer: Answer,
    },
    /// A correct answer in which one content chunk is sent again. Without a stream: two documents, one after the other.
    DuplicateChunk {
        /// Number of the chunk, from 0.
        chunk: usize,
        /// How often it is sent beyond the first time.
        #[serde(default = "once")]
        times: usize,
        /// The answer.
        #[serde(default)]
        answer: Answer,
    },
    /// A correct answer whose end (finish reason, usage, last event) is sent twice.
    DuplicateEnd {
        /// The answer.
        #[serde(default)]
        answer: Answer,
    },
    /// The finish reason first, then the content, then the rest of the end. A whole answer is correct.
    FinishFirst {
        /// The answer.
        #[serde(default)]
        answer: Answer,
    },
    /// A correct answer but that one content chunk comes after the next. A whole answer is correct.
    SwapChunks {
        /// Number of the chunk that comes late, from 0.
        chunk: usize,
        /// The answer.
        #[serde(default)]
        answer: Answer,
    },
    /// A content chunk whose text is no UTF-8 in the middle of a correct answer; a whole answer has it at its end.
    InvalidUtf8After {
        /// Content chunks sent before.
        chunks: usize,
        /// The answer.
        #[serde(default)]
        answer: Answer,
    },
    /// An event that is no JSON in the middle of a correct answer; a whole answer breaks off half-way.
    WrongJsonAfter {
        /// Content chunks sent before.
        chunks: usize,
        /// The answer.
        #[serde(default)]
        answer: Answer,
    },
    /// Events that say nothing, for ever, where the first content was expected. For a request that asked for no stream:
    /// white space, which JSON allows before a document.
    EndlessPreamble {
        /// What they are.
        #[serde(default)]
        events: Preamble,
        /// Time between two of them.
        #[serde(rename = "every_ms", with = "millis", default)]
        every: Duration,
    },
    /// One event (or a whole body) whose text has about so many bytes and no end, made while it is sent; then a close.
    HugeBody {
        /// Bytes sent, rounded up to whole blocks of 64 KiB.
        bytes: u64,
    },
    /// Correct content chunks, about so many bytes of them, without a finish; then a close. A whole answer is a
    /// [`HugeBody`](Self::HugeBody).
    EndlessContent {
        /// Bytes sent, rounded up to whole chunks.
        bytes: u64,
    },
    /// A status line and headers without end.
    EndlessHead,
    /// One more header of so many bytes.
    HugeHead {
        /// Bytes of the header's value.
        bytes: usize,
        /// What is sent so.
        #[serde(default)]
        then: Box<Behaviour>,
    },
    /// Something under another content type.
    ContentType {
        /// The type; empty: no such header.
        content_type: String,
        /// What is sent so.
        #[serde(default)]
        then: Box<Behaviour>,
    },
    /// Something whose `content-length` is wrong; then the connection is closed. What would have been chunked is sent
    /// with a length instead.
    ContentLength {
        /// Bytes that the header says beyond the truth: more, and the body ends early; fewer, and bytes follow it.
        off_by: i64,
        /// What is sent so.
        #[serde(default)]
        then: Box<Behaviour>,
    },
    /// Interim responses that nobody asked for, such as `100 Continue`, before the real one.
    Interim {
        /// Their status: 100, 102 or 103.
        #[serde(default = "continue_code")]
        code: u16,
        /// How many there are.
        #[serde(default = "once")]
        times: usize,
        /// What follows.
        #[serde(default)]
        then: Box<Behaviour>,
    },
    /// Something after a time in which not even a head is sent.
    Delayed {
        /// That time.
        #[serde(rename = "by_ms", with = "millis")]
        by: Duration,
        /// What is sent then.
        #[serde(default)]
        then: Box<Behaviour>,
    },
    /// A status whose `Retry-After` is a date, counted from the moment of the answer in whole seconds, rounded up.
    RetryAtDate {
        /// The HTTP status.
        #[serde(default = "too_many")]
        code: u16,
        /// Seconds from now; negative: a date that has passed.
        after_s: i64,
    },
}

/// What an endless preamble is made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Preamble {
    /// Comments of the event stream, with which some servers keep a connection alive; blank lines between Ollama's.
    #[default]
    Comments,
    /// Events of the dialect without content: an empty delta, a ping.
    EmptyEvents,
}

fn once() -> usize {
    1
}

fn continue_code() -> u16 {
    100
}

fn too_many() -> u16 {
    429
}

impl Behaviour {
    /// A status without further headers, and the dialect's own error object as its body.
    #[must_use]
    pub fn status(code: u16) -> Self {
        Self::Status { code, headers: Vec::new(), body: None }
    }

    /// 429 with `Retry-After` in whole seconds.
    #[must_use]
    pub fn rate_limited(retry_after_s: u64) -> Self {
        let headers = vec![("retry-after".to_owned(), retry_after_s.to_string())];
        Self::Status { code: 429, headers, body: None }
    }

    /// 302 to another address.
    #[must_use]
    pub fn redirect(to: impl Into<String>) -> Self {
        Self::Status {
            code: 302,
            headers: vec![("location".to_owned(), to.into())],
            body: Some(String::new()),
        }
    }

    /// The same after a time in which not even a head is sent.
    #[must_use]
    pub fn delayed(self, by: Duration) -> Self {
        Self::Delayed { by, then: Box::new(self) }
    }

    /// The same with its dates written out as of `now`.
    pub(crate) fn at(self, now: SystemTime) -> Self {
        let (code, after_s) = match self {
            Self::RetryAtDate { code, after_s } => (code, after_s),
            Self::Delayed { by, then } => return Self::Delayed { by, then: Box::new(then.at(now)) },
            other => return other,
        };
        let by = Duration::from_secs(after_s.unsigned_abs());
        // A date has whole seconds: rounded up, or "in one second" could mean "now".
        let date = if after_s < 0 { now - by } else { now + by + Duration::from_millis(999) };
        let headers = vec![("retry-after".to_owned(), httpdate::fmt_http_date(date))];
        Self::Status { code, headers, body: None }
    }

    /// The answer that this is made of, if any.
    pub(crate) fn answer(&self) -> Option<&Answer> {
        match self {
            Self::Answer(answer)
            | Self::CutAfter { answer, .. }
            | Self::ResetAfter { answer, .. }
            | Self::EndAfter { answer, .. }
            | Self::StallAfter { answer, .. }
            | Self::ErrorEventAfter { answer, .. }
            | Self::SlowDrip { answer, .. }
            | Self::DuplicateChunk { answer, .. }
            | Self::DuplicateEnd { answer }
            | Self::FinishFirst { answer }
            | Self::SwapChunks { answer, .. }
            | Self::InvalidUtf8After { answer, .. }
            | Self::WrongJsonAfter { answer, .. } => Some(answer),
            Self::HugeHead { then, .. }
            | Self::ContentType { then, .. }
            | Self::ContentLength { then, .. }
            | Self::Interim { then, .. }
            | Self::Delayed { then, .. } => then.answer(),
            _ => None,
        }
    }
}

impl Default for Behaviour {
    /// A short answer without delays.
    fn default() -> Self {
        Self::Answer(Answer::default())
    }
}

#[cfg(test)]
mod tests;
