//! A stream in another dialect, as OpenAI's chunks.

use std::collections::VecDeque;

use bytes::Bytes;
use llm_wire::WireError;
use llm_wire::openai::chunk_facts;

use super::{Decoder, Piece};

/// What one dialect does: its framing, and what each of its events or lines is in OpenAI's shape.
pub(super) trait ToChunks: Send + 'static {
    fn push(&mut self, bytes: Bytes);

    /// The chunks that the next event becomes; `None`: more bytes are needed.
    fn next_chunks(&mut self) -> Option<Result<Vec<Bytes>, WireError>>;

    /// Whether the endpoint said that this was all.
    fn is_done(&self) -> bool {
        false
    }

    /// The end of the body was reached: the chunks that only then can be written.
    fn end(&mut self) -> Vec<Bytes> {
        Vec::new()
    }
}

/// Gives the chunks one by one.
pub(super) struct Translation<T> {
    stream: T,
    ready: VecDeque<Bytes>,
}

impl<T: ToChunks> Translation<T> {
    pub(super) fn of(stream: T) -> Box<dyn Decoder> {
        Box::new(Self { stream, ready: VecDeque::new() })
    }
}

impl<T: ToChunks> Decoder for Translation<T> {
    fn push(&mut self, bytes: Bytes) {
        self.stream.push(bytes);
    }

    fn next_piece(&mut self) -> Option<Result<Piece, WireError>> {
        loop {
            if let Some(data) = self.ready.pop_front() {
                return Some(chunk_facts(&data).map(|facts| Piece::Chunk { data, facts }));
            }
            if self.stream.is_done() {
                return Some(Ok(Piece::Done));
            }
            match self.stream.next_chunks()? {
                Ok(chunks) => self.ready.extend(chunks),
                Err(error) => return Some(Err(error)),
            }
        }
    }

    fn end(&mut self) {
        self.ready.extend(self.stream.end());
    }
}
