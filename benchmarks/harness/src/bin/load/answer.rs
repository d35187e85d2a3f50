//! Checking that an answer is the right one, and when its pieces came.
//!
//! Small on purpose and apart from the product's codecs: the judge shares nothing with the judged.

use std::borrow::Cow;
use std::time::Instant;

use bytes::BytesMut;
use memchr::memmem;
use serde::Deserialize;

/// The parts of a completion or a chunk that are checked.
#[derive(Deserialize)]
struct Document {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(alias = "message")]
    delta: Message,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
}

/// Whether a whole completion has this text. The error is a sentence.
pub(crate) fn check_completion(body: &[u8], expected: &str) -> Result<(), String> {
    let document: Option<Document> = serde_json::from_slice(body).ok();
    let text = document.and_then(|document| document.choices.into_iter().next()?.delta.content);
    if text.as_deref() == Some(expected) {
        return Ok(());
    }
    Err(format!("not the expected completion: {}", excerpt(body)))
}

/// A stream as it arrives.
#[derive(Default)]
pub(crate) struct Stream {
    buffer: BytesMut,
    text: String,
    finished: bool,
    done: bool,
    /// When each piece of content was complete.
    pub(crate) content_at: Vec<Instant>,
}

impl Stream {
    /// Takes bytes that arrived at `now`. The error is a sentence.
    pub(crate) fn push(&mut self, bytes: &[u8], now: Instant) -> Result<(), String> {
        self.buffer.extend_from_slice(bytes);
        while let Some(end) = memmem::find(&self.buffer, b"\n\n") {
            let event = self.buffer.split_to(end + 2);
            // Comments keep a connection alive and say nothing.
            let Some(data) = event.strip_prefix(b"data:") else { continue };
            self.event(data.trim_ascii(), now)?;
        }
        Ok(())
    }

    fn event(&mut self, data: &[u8], now: Instant) -> Result<(), String> {
        if data == b"[DONE]" {
            self.done = true;
            return Ok(());
        }
        let document: Document =
            serde_json::from_slice(data).map_err(|error| format!("{error} in {}", excerpt(data)))?;
        for choice in &document.choices {
            self.finished |= choice.finish_reason.is_some();
            if let Some(content) = choice.delta.content.as_deref().filter(|content| !content.is_empty()) {
                self.text.push_str(content);
                self.content_at.push(now);
            }
        }
        Ok(())
    }

    /// Whether the stream had this text, a finish reason and `[DONE]`. The error is a sentence.
    pub(crate) fn check(&self, expected: &str) -> Result<(), String> {
        if self.text != expected {
            return Err(format!(
                "the streamed text is not the expected one: {}",
                excerpt(self.text.as_bytes())
            ));
        }
        if !self.finished || !self.done {
            return Err(format!("finish reason seen: {}, [DONE] seen: {}", self.finished, self.done));
        }
        Ok(())
    }
}

/// The beginning of something unexpected.
fn excerpt(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(&bytes[..bytes.len().min(200)])
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n: ping\n\n\
        data: {\"choices\":[{\"delta\":{\"content\":\"a\\n\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"b\"}}]}\n\n\
        data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

    fn read(stream: &str, step: usize) -> Stream {
        let mut read = Stream::default();
        for bytes in stream.as_bytes().chunks(step) {
            read.push(bytes, Instant::now()).unwrap();
        }
        read
    }

    #[test]
    fn a_stream_is_the_same_in_any_pieces() {
        for step in 1..STREAM.len() {
            let stream = read(STREAM, step);
            stream.check("a\nb").unwrap();
            assert_eq!(stream.content_at.len(), 2, "the role is no content");
        }
    }

    #[test]
    fn a_stream_that_lacks_anything_is_wrong() {
        for missing in ["a\\n", "\"stop\"", "data: [DONE]"] {
            let replacement = if missing == "\"stop\"" { "null" } else { "" };
            assert!(
                read(&STREAM.replace(missing, replacement), 7).check("a\nb").is_err(),
                "without {missing}"
            );
        }
    }

    #[test]
    fn only_the_expected_text_is_a_right_completion() {
        let body = br#"{"choices":[{"message":{"content":"four"},"finish_reason":"stop"}]}"#;
        assert!(check_completion(body, "four").is_ok());
        assert!(check_completion(body, "five").is_err());
        assert!(check_completion(br#"{"error":{"message":"no"}}"#, "four").is_err());
    }
}
