//! Blocks one after another: Anthropic's may not interleave, while OpenAI's calls of tools may.
//!
//! A call that has begun is written as it comes. Whatever else comes before it has ended is held, in the order in which
//! it began; and since nothing but the end of the answer says that a call has ended, it is held until then.

use std::collections::VecDeque;

use bytes::BytesMut;

use super::frames::{Block, Empty, Event, Piece};
use crate::WireError;

/// Most bytes that are held. Above what any model writes into its calls.
const MAX_HELD: usize = 16 << 20;
/// What a block that is held costs beside its text, in bytes, roughly.
const HELD_BLOCK: usize = 128;

/// What has been written, and what is held.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    next: u64,
    open: Option<Open>,
    held: VecDeque<Held>,
    held_bytes: usize,
}

#[derive(Debug, PartialEq, Eq)]
enum Open {
    Text,
    Thinking,
    Call(usize),
}

#[derive(Debug)]
enum Held {
    Text(String),
    Thinking { text: String, signature: Option<String> },
    Redacted(String),
    Call { call: usize, id: String, name: String, arguments: String },
}

impl Blocks {
    /// A piece of the text.
    pub(super) fn text(&mut self, piece: &str, out: &mut BytesMut) -> Result<(), WireError> {
        if self.is_held() {
            self.hold(piece.len())?;
            match self.held.back_mut() {
                Some(Held::Text(text)) => text.push_str(piece),
                _ => self.held.push_back(Held::Text(piece.to_owned())),
            }
            return Ok(());
        }
        self.switch(Open::Text, Block::Text { text: "" }, out);
        self.delta(Piece::Text { text: piece }, out);
        Ok(())
    }

    /// A piece of the thinking.
    pub(super) fn thinking(&mut self, piece: &str, out: &mut BytesMut) -> Result<(), WireError> {
        if self.is_held() {
            self.hold(piece.len())?;
            match self.held.back_mut() {
                Some(Held::Thinking { text, signature: None }) => text.push_str(piece),
                _ => self.held.push_back(Held::Thinking { text: piece.to_owned(), signature: None }),
            }
            return Ok(());
        }
        self.switch(Open::Thinking, Block::Thinking { thinking: "", signature: "" }, out);
        self.delta(Piece::Thinking { thinking: piece }, out);
        Ok(())
    }

    /// Whether a block of thinking goes on, to which a signature would belong.
    pub(super) fn is_thinking(&self) -> bool {
        match self.held.back() {
            Some(held) => matches!(held, Held::Thinking { signature: None, .. }),
            None => self.open == Some(Open::Thinking),
        }
    }

    /// The signature, which ends a block of thinking.
    pub(super) fn signature(&mut self, written: &str, out: &mut BytesMut) -> Result<(), WireError> {
        if self.is_held() {
            self.hold(written.len())?;
            let written = written.to_owned();
            match self.held.back_mut() {
                Some(Held::Thinking { signature: signature @ None, .. }) => *signature = Some(written),
                _ => self.held.push_back(Held::Thinking { text: String::new(), signature: Some(written) }),
            }
            return Ok(());
        }
        self.switch(Open::Thinking, Block::Thinking { thinking: "", signature: "" }, out);
        self.delta(Piece::Signature { signature: written }, out);
        self.close(out);
        Ok(())
    }

    /// Thinking that is redacted.
    pub(super) fn redacted(&mut self, data: &str, out: &mut BytesMut) -> Result<(), WireError> {
        if self.is_held() {
            self.hold(data.len())?;
            self.held.push_back(Held::Redacted(data.to_owned()));
            return Ok(());
        }
        self.close(out);
        self.start(Block::RedactedThinking { data }, out);
        self.stop(out);
        Ok(())
    }

    /// A call begins; `call` tells it from others.
    pub(super) fn call(
        &mut self,
        call: usize,
        id: &str,
        name: &str,
        out: &mut BytesMut,
    ) -> Result<(), WireError> {
        if self.is_held() {
            self.hold(id.len() + name.len())?;
            let (id, name) = (id.to_owned(), name.to_owned());
            self.held.push_back(Held::Call { call, id, name, arguments: String::new() });
            return Ok(());
        }
        self.switch(Open::Call(call), Block::ToolUse { id, name, input: Empty {} }, out);
        Ok(())
    }

    /// A piece of the arguments of a call that has begun.
    pub(super) fn arguments(
        &mut self,
        call: usize,
        piece: &str,
        out: &mut BytesMut,
    ) -> Result<(), WireError> {
        if self.open == Some(Open::Call(call)) {
            self.delta(Piece::InputJson { partial_json: piece }, out);
            return Ok(());
        }
        let held = self.held.iter_mut().find_map(|held| match held {
            Held::Call { call: of, arguments, .. } if *of == call => Some(arguments),
            _ => None,
        });
        let Some(arguments) = held else {
            let got = format!("a piece of call {call} after its end");
            return Err(WireError::invalid("choices[0].delta.tool_calls", "a call that goes on", got));
        };
        arguments.push_str(piece);
        self.hold(piece.len())
    }

    /// The answer has ended: what is held is written, each block whole.
    pub(super) fn finish(&mut self, out: &mut BytesMut) {
        self.close(out);
        self.held_bytes = 0;
        for held in std::mem::take(&mut self.held) {
            match held {
                Held::Text(text) => {
                    self.start(Block::Text { text: "" }, out);
                    self.delta(Piece::Text { text: &text }, out);
                }
                Held::Thinking { text, signature } => {
                    self.start(Block::Thinking { thinking: "", signature: "" }, out);
                    if !text.is_empty() {
                        self.delta(Piece::Thinking { thinking: &text }, out);
                    }
                    if let Some(signature) = signature {
                        self.delta(Piece::Signature { signature: &signature }, out);
                    }
                }
                Held::Redacted(data) => self.start(Block::RedactedThinking { data: &data }, out),
                Held::Call { id, name, arguments, .. } => {
                    self.start(Block::ToolUse { id: &id, name: &name, input: Empty {} }, out);
                    if !arguments.is_empty() {
                        self.delta(Piece::InputJson { partial_json: &arguments }, out);
                    }
                }
            }
            self.stop(out);
        }
    }

    fn is_held(&self) -> bool {
        matches!(self.open, Some(Open::Call(_)))
    }

    fn hold(&mut self, bytes: usize) -> Result<(), WireError> {
        self.held_bytes = self.held_bytes.saturating_add(bytes);
        if self.held_bytes + HELD_BLOCK * self.held.len() > MAX_HELD {
            return Err(WireError::TooLarge {
                what: "what follows an unfinished tool call",
                limit: MAX_HELD,
            });
        }
        Ok(())
    }

    fn switch(&mut self, to: Open, block: Block<'_>, out: &mut BytesMut) {
        if self.open.as_ref() != Some(&to) {
            self.close(out);
            self.start(block, out);
            self.open = Some(to);
        }
    }

    fn close(&mut self, out: &mut BytesMut) {
        if self.open.take().is_some() {
            self.stop(out);
        }
    }

    fn start(&self, content_block: Block<'_>, out: &mut BytesMut) {
        Event::ContentBlockStart { index: self.next, content_block }.append(out);
    }

    fn delta(&self, delta: Piece<'_>, out: &mut BytesMut) {
        Event::ContentBlockDelta { index: self.next, delta }.append(out);
    }

    fn stop(&mut self, out: &mut BytesMut) {
        Event::ContentBlockStop { index: self.next }.append(out);
        self.next += 1;
    }
}
