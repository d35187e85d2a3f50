//! How a stream is written for clients of one dialect.

use bytes::BytesMut;
use llm_wire::sse;

use crate::error::ApiError;

/// Writes the parts of one streamed answer in the dialect of whoever asked. What is appended to `out` goes to the
/// client as it is.
pub(crate) trait Frames: Send {
    /// One chunk of the core, a document in OpenAI's shape.
    fn chunk(&mut self, out: &mut BytesMut, chunk: &[u8]) -> Result<(), ApiError>;

    /// One event of an endpoint that speaks the client's own dialect, with the framing that the endpoint gave it.
    fn own(&mut self, out: &mut BytesMut, event: &[u8]) -> Result<(), ApiError> {
        out.extend_from_slice(event);
        Ok(())
    }

    /// A stream that failed ends in an error, and in nothing that looks like a regular end.
    fn failed(&mut self, out: &mut BytesMut, error: &ApiError);

    /// The answer is whole.
    fn ended(&mut self, out: &mut BytesMut);

    /// The same after events of the client's own dialect, among which its end was.
    fn own_ended(&mut self, _out: &mut BytesMut) {}

    /// What tells proxies and clients that the connection lives; `None` where the dialect has nothing for that.
    fn keep_alive(&self) -> Option<&'static [u8]>;
}

/// Server-sent events with OpenAI's chunks.
pub(crate) struct OpenAiEvents;

impl Frames for OpenAiEvents {
    fn chunk(&mut self, out: &mut BytesMut, chunk: &[u8]) -> Result<(), ApiError> {
        sse::append_data_frame(out, chunk);
        Ok(())
    }

    fn failed(&mut self, out: &mut BytesMut, error: &ApiError) {
        out.extend_from_slice(b"event: error\n");
        sse::append_data_frame(out, &error.body().to_json());
    }

    fn ended(&mut self, out: &mut BytesMut) {
        sse::append_data_frame(out, sse::DONE);
    }

    fn keep_alive(&self) -> Option<&'static [u8]> {
        Some(b": keep-alive\n\n")
    }
}
