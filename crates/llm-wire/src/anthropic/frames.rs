//! The events of a stream, written with their framing.

use bytes::{BufMut, BytesMut};
use serde::Serialize;

use super::error;
use super::usage::AnthropicUsage;

/// One event: its name, and a document whose `type` is the name again.
#[expect(
    clippy::expect_used,
    reason = "writing to memory cannot fail, and no document here has keys other than strings"
)]
pub(super) fn append(out: &mut BytesMut, name: &str, document: &impl Serialize) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    serde_json::to_writer(out.writer(), document).expect("a document is written to memory");
    out.extend_from_slice(b"\n\n");
}

pub(super) fn error(out: &mut BytesMut, kind: &str, message: &str) {
    append(out, "error", &error::document(kind, message));
}

pub(super) fn ping(out: &mut BytesMut) {
    out.extend_from_slice(b"event: ping\ndata: {\"type\":\"ping\"}\n\n");
}

/// The members of an event after its `type`.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Event<'a> {
    MessageStart { message: MessageStart<'a> },
    ContentBlockStart { index: u64, content_block: Block<'a> },
    ContentBlockDelta { index: u64, delta: Piece<'a> },
    ContentBlockStop { index: u64 },
    MessageDelta { delta: Stop<'a>, usage: AnthropicUsage },
    MessageStop,
}

impl Event<'_> {
    pub(super) fn append(&self, out: &mut BytesMut) {
        let name = match self {
            Self::MessageStart { .. } => "message_start",
            Self::ContentBlockStart { .. } => "content_block_start",
            Self::ContentBlockDelta { .. } => "content_block_delta",
            Self::ContentBlockStop { .. } => "content_block_stop",
            Self::MessageDelta { .. } => "message_delta",
            Self::MessageStop => "message_stop",
        };
        append(out, name, self);
    }
}

/// A message of which nothing has been said.
#[derive(Serialize)]
pub(super) struct MessageStart<'a> {
    pub(super) id: &'a str,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) role: &'static str,
    pub(super) model: &'a str,
    pub(super) content: [(); 0],
    pub(super) stop_reason: Option<&'a str>,
    pub(super) stop_sequence: Option<&'a str>,
    pub(super) usage: AnthropicUsage,
}

/// A block as it starts.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block<'a> {
    Text { text: &'a str },
    Thinking { thinking: &'a str, signature: &'a str },
    RedactedThinking { data: &'a str },
    ToolUse { id: &'a str, name: &'a str, input: Empty },
}

/// `{}`: the input of a call before its pieces.
#[derive(Serialize)]
pub(super) struct Empty {}

/// A piece of a block.
#[derive(Serialize)]
#[serde(tag = "type")]
pub(super) enum Piece<'a> {
    #[serde(rename = "text_delta")]
    Text { text: &'a str },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: &'a str },
    #[serde(rename = "signature_delta")]
    Signature { signature: &'a str },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: &'a str },
}

/// Why the message ended.
#[derive(Serialize)]
pub(super) struct Stop<'a> {
    pub(super) stop_reason: &'a str,
    pub(super) stop_sequence: Option<&'a str>,
}
