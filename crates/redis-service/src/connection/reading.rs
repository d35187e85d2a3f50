//! Reading a connection: by the driver, or by a caller who has just written and waits a moment for the answer.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;

use super::connect::Transport;
use super::link::{Exchange, Link, Phase, Replies};
use crate::error::RedisServiceError;
use crate::resp::{Scanner, Value, parse_frame};

/// Bytes asked of a socket at once: few where replies are few and small, since the buffer is cleared before, and more the
/// more there is.
const READ_AT_ONCE: std::ops::RangeInclusive<usize> = 16 * 1024..=1024 * 1024;

/// Room made ahead for a long value; what its length announces beyond this is made as it comes.
const MAX_AHEAD: usize = 64 << 20;

/// A connection that is read. Whoever holds its lock gives out what he reads before he lets go, so that replies, invalidations and
/// the end of the connection come in order whoever reads.
pub(crate) struct Connection {
    pub(super) link: Arc<Link>,
    pub(super) transport: Transport,
    buffer: BytesMut,
    scanner: Scanner,
    pub(super) pings: bool,
    /// Bytes asked for at the next read.
    read_size: usize,
    /// The socket was full; it tells when it no longer is.
    pub(super) wants_room: bool,
    /// What a caller found wrong while reading; the driver ends the connection.
    pub(super) failure: Option<RedisServiceError>,
    /// Nobody reads it any more.
    pub(super) ended: bool,
}

impl Connection {
    pub(super) fn new(link: Arc<Link>, transport: Transport, leftover: BytesMut, pings: bool) -> Self {
        Self {
            link,
            transport,
            buffer: leftover,
            scanner: Scanner::default(),
            pings,
            read_size: *READ_AT_ONCE.start(),
            wants_room: false,
            failure: None,
            ended: false,
        }
    }

    /// Reads until there is nothing more, and gives out what is complete. `to_the_end`: an end may lie behind the data, of which
    /// there will be no further event. An error ends the connection.
    pub(super) fn read(&mut self, to_the_end: bool) -> Result<(), RedisServiceError> {
        loop {
            if self.ended {
                return Ok(());
            }
            let filled = self.buffer.len();
            let wanted = self.read_size;
            self.buffer.reserve(self.scanner.missing(filled).min(MAX_AHEAD));
            self.buffer.resize(filled + wanted, 0);
            let read = self.transport.read(&mut self.buffer[filled..]);
            self.buffer.truncate(filled + read.as_ref().map_or(0, |count| *count));
            let count = match read {
                Ok(0) => return Err(lost(&self.link.name, "closed the connection")),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(lost(&self.link.name, &error.to_string())),
            };
            self.give_out()?;
            // A short read emptied the socket; what comes after it makes a new event. TLS hands out one record at a time.
            if count < wanted && !matches!(self.transport, Transport::Tls(..)) && !to_the_end {
                if count < wanted / 4 {
                    self.read_size = (wanted / 2).max(*READ_AT_ONCE.start());
                }
                return Ok(());
            }
            self.read_size = (wanted * 2).min(*READ_AT_ONCE.end());
        }
    }

    /// Gives the complete frames of the buffer to whom they belong.
    fn give_out(&mut self) -> Result<(), RedisServiceError> {
        let now = Instant::now();
        let link = Arc::clone(&self.link);
        let owner = link.owner.upgrade();
        let mut answered: Vec<(Box<dyn Exchange>, Replies)> = Vec::new();
        let mut values = Vec::new();
        let broken = |error: &dyn std::fmt::Display| lost(&link.name, &error.to_string());
        // What was understood before the stream broke is still given out.
        let mut failure = None;
        loop {
            match self.scanner.frame(&self.buffer) {
                Ok(None) => break,
                Ok(Some(length)) => match parse_frame(&self.buffer.split_to(length).freeze()) {
                    Ok(value) => values.push(value),
                    Err(error) => failure = Some(broken(&error)),
                },
                Err(error) => failure = Some(broken(&error)),
            }
            if failure.is_some() {
                break;
            }
        }
        let was_silent = {
            let mut state = link.state.lock();
            state.heard = Some(now);
            let mut pushes = Vec::new();
            for value in values {
                if let Value::Push(push) = value {
                    // In order with the replies: an invalidation after a reply concerns what the reply said.
                    pushes.push((answered.len(), push));
                    continue;
                }
                let Some(front) = state.waiting.front_mut() else {
                    failure = Some(broken(&"answered what nobody asked"));
                    break;
                };
                front.got.push(value);
                front.left -= 1;
                if front.left == 0 && front.exchange.wants_more(&front.got) {
                    front.left = 1;
                }
                if front.left == 0
                    && let Some(done) = state.waiting.pop_front()
                {
                    answered.push((done.exchange, done.got));
                }
            }
            if state.waiting.is_empty() {
                state.next_deadline = None;
            }
            let was_silent = state.phase == Phase::Silent;
            if was_silent {
                state.phase = Phase::Settling;
            }
            drop(state);
            let mut pushes = pushes.into_iter().peekable();
            for (place, (exchange, replies)) in answered.into_iter().enumerate() {
                while let Some((_, push)) = pushes.next_if(|(before, _)| *before <= place) {
                    if let Some(owner) = &owner {
                        owner.push(&link, push);
                    }
                }
                exchange.reply(replies);
            }
            for (_, push) in pushes {
                if let Some(owner) = &owner {
                    owner.push(&link, push);
                }
            }
            was_silent
        };
        if let Some(owner) = owner {
            owner.batch_end();
            if was_silent && failure.is_none() {
                owner.ready(&link);
            }
        }
        failure.map_or(Ok(()), Err)
    }
}

pub(super) fn lost(name: &str, what: &str) -> RedisServiceError {
    RedisServiceError::Unavailable { operation: "the command".to_owned(), reason: format!("{name} {what}") }
}
