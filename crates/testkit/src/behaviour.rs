//! What the fake provider does with one request, as plain data.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What becomes of one request. In JSON the variant is the field `behaviour`, in snake_case.
///
/// "Before content" means: after the response head, and in the OpenAI dialect after the chunk that only names the role,
/// as real servers send it. For a request that asked for no stream, "after N chunks" means: after that share of the body.
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
}

impl Default for Behaviour {
    /// A short answer without delays.
    fn default() -> Self {
        Self::Answer(Answer::default())
    }
}

/// A correct answer and its pace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Answer {
    /// The whole text. Absent: `chunks` numbered words, in which a missing or doubled piece is easy to see.
    pub text: Option<String>,
    /// Content chunks that a stream is sent in. A text with fewer characters is sent in as many chunks as it has.
    pub chunks: usize,
    /// Time from the head and the role to the first content. Without a stream: part of the time before the answer.
    #[serde(rename = "first_token_delay_ms", with = "millis")]
    pub first_token_delay: Duration,
    /// Time between two content chunks. Without a stream the answer comes after the sum of them.
    #[serde(rename = "between_chunks_ms", with = "millis")]
    pub between_chunks: Duration,
}

impl Default for Answer {
    fn default() -> Self {
        // Twenty chunks leave room to cut "in the middle", after ten, as the fault tests do.
        Self::tokens(20)
    }
}

impl Answer {
    /// An answer of numbered words, one per chunk: `t0 t1 t2 ...`.
    #[must_use]
    pub fn tokens(chunks: usize) -> Self {
        Self { text: None, chunks, first_token_delay: Duration::ZERO, between_chunks: Duration::ZERO }
    }

    /// An answer of this text, one character per chunk at most.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        let chunks = text.split_whitespace().count().max(1);
        Self { text: Some(text), ..Self::tokens(chunks) }
    }

    /// The same answer in so many chunks.
    #[must_use]
    pub fn in_chunks(self, chunks: usize) -> Self {
        Self { chunks, ..self }
    }

    /// The same answer with this time before the first content.
    #[must_use]
    pub fn first_token_after(self, first_token_delay: Duration) -> Self {
        Self { first_token_delay, ..self }
    }

    /// The same answer with this time between its chunks.
    #[must_use]
    pub fn paced(self, between_chunks: Duration) -> Self {
        Self { between_chunks, ..self }
    }

    /// The text that a client must end up with.
    #[must_use]
    pub fn full_text(&self) -> String {
        self.pieces().concat()
    }

    /// The content of each chunk. Joined they are [`full_text`](Self::full_text); none is empty.
    #[must_use]
    pub fn pieces(&self) -> Vec<String> {
        let Some(text) = &self.text else {
            return (0..self.chunks)
                .map(|index| if index == 0 { "t0".to_owned() } else { format!(" t{index}") })
                .collect();
        };
        let characters: Vec<char> = text.chars().collect();
        let pieces = self.chunks.clamp(1, characters.len().max(1));
        (0..pieces)
            .map(|index| {
                let (from, to) = (index * characters.len() / pieces, (index + 1) * characters.len() / pieces);
                characters[from..to].iter().collect::<String>()
            })
            .filter(|piece| !piece.is_empty())
            .collect()
    }
}

/// The vectors that answer a request for embeddings: component `i` of a text's is the byte at `i` modulo its length, of
/// tokens the token there, divided by 256. So they are the same everywhere, exact, and different for different inputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Vectors {
    /// Components of each, unless the request says how many.
    pub dimensions: usize,
    /// Whether they are base64, whatever the request says. Absent: as it says.
    pub base64: Option<bool>,
    /// So many of them are left out, from the end.
    pub missing: usize,
}

impl Default for Vectors {
    fn default() -> Self {
        Self { dimensions: 8, base64: None, missing: 0 }
    }
}

/// Durations as whole milliseconds in JSON.
mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_pieces_of_a_text_join_to_the_text_and_none_is_empty(text in ".{0,80}", chunks in 0_usize..100) {
            let answer = Answer::text(text.clone()).in_chunks(chunks);
            let pieces = answer.pieces();
            prop_assert_eq!(pieces.concat(), text.clone());
            prop_assert!(pieces.iter().all(|piece| !piece.is_empty()));
            prop_assert!(pieces.len() <= chunks.max(1));
        }

        #[test]
        fn numbered_words_come_one_per_chunk(chunks in 0_usize..100) {
            let pieces = Answer::tokens(chunks).pieces();
            prop_assert_eq!(pieces.len(), chunks);
            prop_assert_eq!(pieces.concat().split_whitespace().count(), chunks);
        }
    }

    #[test]
    fn a_behaviour_survives_json_in_the_documented_form() {
        let json =
            r#"{"behaviour":"cut_after","chunks":10,"answer":{"text":"The sky is blue.","chunks":16}}"#;
        let parsed: Behaviour = serde_json::from_str(json).unwrap();
        let answer = Answer::text("The sky is blue.").in_chunks(16);
        assert_eq!(parsed, Behaviour::CutAfter { chunks: 10, answer });
        let again: Behaviour = serde_json::from_str(&serde_json::to_string(&parsed).unwrap()).unwrap();
        assert_eq!(again, parsed);
    }

    #[test]
    fn an_answer_may_be_written_with_only_what_differs() {
        let parsed: Behaviour =
            serde_json::from_str(r#"{"behaviour":"answer","chunks":5,"between_chunks_ms":7}"#).unwrap();
        assert_eq!(parsed, Behaviour::Answer(Answer::tokens(5).paced(Duration::from_millis(7))));
    }

    #[test]
    fn a_misspelt_field_is_refused() {
        assert!(serde_json::from_str::<Behaviour>(r#"{"behaviour":"answer","chunk":5}"#).is_err());
        assert!(
            serde_json::from_str::<Behaviour>(r#"{"behaviour":"stall_after","chunks":5,"x":1}"#).is_err()
        );
    }
}
