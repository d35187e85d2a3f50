//! Newline-delimited JSON: one document a line, as Ollama streams its answers.
//!
//! Written by hand because the codecs at hand (tokio-util's `LinesCodec`) tie framing to a reader and copy every line
//! into a `String`.

use bytes::Bytes;

use super::lines::{Ends, Lines};
use crate::WireError;

/// Cuts a byte stream into its non-blank lines.
#[derive(Debug)]
pub struct Decoder {
    lines: Lines,
    max_line_bytes: usize,
    failed: bool,
}

impl Decoder {
    /// A decoder that refuses lines longer than `max_line_bytes`.
    pub fn new(max_line_bytes: usize) -> Self {
        Self { lines: Lines::new(Ends::Lf), max_line_bytes, failed: false }
    }

    /// Takes the next bytes of the stream. After an error they are discarded.
    pub fn push(&mut self, chunk: Bytes) {
        if !self.failed {
            self.lines.push(chunk);
        }
    }

    /// The next line without its end, or `None` until more is pushed.
    ///
    /// # Errors
    /// [`WireError::TooLarge`], once, as soon as a line exceeds the bound, whether it has ended or not; after it there
    /// is nothing more.
    pub fn next_line(&mut self) -> Option<Result<Bytes, WireError>> {
        loop {
            match self.lines.next_line(self.max_line_bytes) {
                Ok(Some(line)) => match trimmed(line) {
                    Some(line) => return Some(Ok(line)),
                    None => continue,
                },
                Ok(None) => return None,
                Err(_) => {
                    self.failed = true;
                    self.lines.clear();
                    return Some(Err(WireError::TooLarge {
                        what: "a line of newline-delimited JSON",
                        limit: self.max_line_bytes,
                    }));
                }
            }
        }
    }

    /// The last line where it lacks its newline, once [`next_line`](Self::next_line) has answered `None`.
    pub fn finish(self) -> Option<Bytes> {
        trimmed(self.lines.into_rest())
    }

    /// Bytes held: lines not yet asked for, and the beginning of one that has not ended.
    pub fn buffered(&self) -> usize {
        self.lines.buffered()
    }
}

/// A line without the CR before its end; `None` where it is blank.
fn trimmed(mut line: Bytes) -> Option<Bytes> {
    if line.last() == Some(&b'\r') {
        line.truncate(line.len() - 1);
    }
    (!line.trim_ascii().is_empty()).then_some(line)
}
