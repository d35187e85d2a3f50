//! Lines of a stream that arrives in chunks, without copying those that lie in one chunk.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

/// What ends a line.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ends {
    /// Only LF; a CR before it is the reader's to strip.
    Lf,
    /// LF, CR LF, or CR alone, which server-sent events allow.
    LfOrCr,
}

/// A line is longer than the room that its reader had for it.
#[derive(Debug)]
pub(super) struct Overlong;

/// Every byte is looked at once: what holds no line end moves to `partial`, which is not searched again.
#[derive(Debug)]
pub(super) struct Lines {
    chunks: VecDeque<Bytes>,
    partial: BytesMut,
    ends: Ends,
    /// The last line ended in a CR that was the last byte seen: an LF that follows belongs to it.
    after_cr: bool,
}

impl Lines {
    pub(super) fn new(ends: Ends) -> Self {
        Self { chunks: VecDeque::new(), partial: BytesMut::new(), ends, after_cr: false }
    }

    pub(super) fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.chunks.push_back(chunk);
        }
    }

    /// The next whole line without its end, or `None` until more is pushed.
    pub(super) fn next_line(&mut self, room: usize) -> Result<Option<Bytes>, Overlong> {
        while let Some(mut chunk) = self.chunks.pop_front() {
            if std::mem::take(&mut self.after_cr) && chunk.first() == Some(&b'\n') {
                chunk.advance(1);
            }
            let end = match self.ends {
                Ends::Lf => memchr::memchr(b'\n', &chunk),
                Ends::LfOrCr => memchr::memchr2(b'\n', b'\r', &chunk),
            };
            if self.partial.len() + end.unwrap_or(chunk.len()) > room {
                return Err(Overlong);
            }
            let Some(end) = end else {
                self.partial.extend_from_slice(&chunk);
                continue;
            };
            let line = chunk.split_to(end);
            let ended_in_cr = chunk.first() == Some(&b'\r');
            chunk.advance(1);
            if ended_in_cr {
                match chunk.first() {
                    Some(b'\n') => chunk.advance(1),
                    Some(_) => {}
                    None => self.after_cr = true,
                }
            }
            if !chunk.is_empty() {
                self.chunks.push_front(chunk);
            }
            if self.partial.is_empty() {
                return Ok(Some(line));
            }
            self.partial.extend_from_slice(&line);
            return Ok(Some(self.partial.split().freeze()));
        }
        Ok(None)
    }

    /// What follows the last line end, once `next_line` has answered `None`.
    pub(super) fn into_rest(self) -> Bytes {
        self.partial.freeze()
    }

    /// Bytes that were pushed and not yet handed out.
    pub(super) fn buffered(&self) -> usize {
        self.partial.len() + self.chunks.iter().map(Bytes::len).sum::<usize>()
    }

    pub(super) fn clear(&mut self) {
        self.chunks = VecDeque::new();
        self.partial = BytesMut::new();
    }
}
