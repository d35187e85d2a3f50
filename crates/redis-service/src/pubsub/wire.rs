//! SUBSCRIBE, UNSUBSCRIBE and the like on their way.
//!
//! In RESP3 they are confirmed by pushes and have no reply, so each is followed by a PING, whose reply comes behind the
//! confirmations. A refusal is a reply of its own, before that of the PING.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::book::By;
use crate::connection::{Answer, Exchange, Overdue, PATIENT, Replies};
use crate::error::RedisServiceError;
use crate::resp::{Command, Value};

/// What the PING sends and gets back.
const MARK: &[u8] = b"uat-confirmed";

/// One such command, and who is told when it was confirmed (`None`) or refused.
pub(super) struct Wire {
    command: Command,
    answered: Box<dyn FnOnce(Option<RedisServiceError>) + Send>,
}

impl Wire {
    pub(super) fn subscribe(
        by: By,
        names: &[Bytes],
        answered: impl FnOnce(Option<RedisServiceError>) + Send + 'static,
    ) -> Box<Self> {
        let name = match by {
            By::Channel => "SUBSCRIBE",
            By::Pattern => "PSUBSCRIBE",
        };
        Box::new(Self { command: written(name, names), answered: Box::new(answered) })
    }

    pub(super) fn unsubscribe(by: By, names: &[Bytes]) -> Box<Self> {
        let name = match by {
            By::Channel => "UNSUBSCRIBE",
            By::Pattern => "PUNSUBSCRIBE",
        };
        // Messages that still come have no listener.
        Box::new(Self { command: written(name, names), answered: Box::new(|_| {}) })
    }
}

fn written(name: &str, names: &[Bytes]) -> Command {
    names.iter().fold(Command::new(name), |command, name| command.arg(name))
}

impl Exchange for Wire {
    fn encode(&self, out: &mut BytesMut) {
        self.command.encode(out);
        Command::new("PING").arg(MARK).encode(out);
    }

    fn wants_more(&self, got: &Replies) -> bool {
        got.len() < 2 && got.last().and_then(Value::as_bytes).is_none_or(|last| last != MARK)
    }

    fn gives_up_early(&self) -> bool {
        false
    }

    fn patience(&self) -> Duration {
        PATIENT
    }

    fn expire(&mut self, _why: Overdue) -> Option<Answer> {
        None
    }

    fn reply(self: Box<Self>, replies: Replies) {
        let refusal = replies.into_iter().find_map(|reply| match reply {
            Value::Error(error) => Some(error.into()),
            _ => None,
        });
        (self.answered)(refusal);
    }

    fn lost(self: Box<Self>, _why: &RedisServiceError) {
        // The next connection subscribes to all that is in the book.
    }
}
