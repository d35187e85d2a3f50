//! What a caller of the cache wants, what is sent for it, and what the replies mean. Pure.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::error::RedisServiceError;
use crate::resp::{Command, ServerError, Value};
use crate::resp::{put_bulk, put_bulk_parts, put_header};
use crate::scripts::INCREMENT;

/// Whether a write depends on what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnlyIf {
    /// Only if there is nothing under the key.
    Absent,
    /// Only if there is something under the key.
    Present,
}

/// One operation on one key. Keys are without the prefix; times to live are whole milliseconds.
#[derive(Debug, Clone)]
pub enum Op {
    /// Read a value; with `timed` also how long it lives.
    Get {
        /// The key.
        key: Bytes,
        /// Whether the remaining time to live is wanted, which is a second command.
        timed: bool,
    },
    /// Write a value.
    Set {
        /// The key.
        key: Bytes,
        /// The value as it is stored.
        stored: Bytes,
        /// How long it lives.
        ttl: Option<Duration>,
        /// Whether the write depends on what is there.
        only_if: Option<OnlyIf>,
    },
    /// Remove a value.
    Delete {
        /// The key.
        key: Bytes,
    },
    /// Whether there is a value.
    Has {
        /// The key.
        key: Bytes,
    },
    /// Give a value a new time to live.
    Expire {
        /// The key.
        key: Bytes,
        /// From now.
        ttl: Duration,
    },
    /// How long a value still lives.
    Ttl {
        /// The key.
        key: Bytes,
    },
    /// Add to an integer.
    Increment {
        /// The key.
        key: Bytes,
        /// How much.
        by: i64,
        /// From now, if the key has no time to live yet.
        ttl: Option<Duration>,
    },
    /// Anything else, as it is.
    Raw(Command),
}

/// What came of an [`Op`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Reply {
    /// Of `Get`.
    Stored {
        /// The value as it is stored.
        stored: Option<Bytes>,
        /// How long it lives; `None` without end, or where it was not asked for.
        ttl: Option<Duration>,
        /// Who said so.
        origin: Origin,
    },
    /// Of `Set`, `Delete`, `Has` and `Expire`: whether it was so.
    Was(bool),
    /// Of `Ttl`: `None` without a key or without an end.
    Ttl(Option<Duration>),
    /// Of `Increment`.
    Number(i64),
    /// Of `Raw`.
    Raw(Value),
    /// Of a read that Redis cannot answer, or did not in its time: a miss to the caller.
    Unavailable,
    /// The same, to an [`Inbox`](crate::Inbox): the late reply follows under the same number, or `Unavailable` if there is none.
    Overdue,
}

/// Who answered a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Redis: the value may be kept near, since an invalidation will tell when it changes.
    Redis,
    /// Redis, over a connection that tells of no changes: must not be kept near.
    Untracked,
    /// The process itself, while Redis is away: must not be kept near.
    Aside,
    /// The embedded tier.
    Embedded,
}

/// What an operation may do without Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A read: answered as a miss.
    Read,
    /// A write of the cache: kept aside and settled later.
    Write,
    /// Refused.
    Strict,
}

impl Op {
    /// The key without the prefix, by which a node is found; `None` where any node will do.
    pub(crate) fn key(&self) -> Option<&Bytes> {
        match self {
            Self::Get { key, .. }
            | Self::Set { key, .. }
            | Self::Delete { key }
            | Self::Has { key }
            | Self::Expire { key, .. }
            | Self::Ttl { key }
            | Self::Increment { key, .. } => Some(key),
            Self::Raw(_) => None,
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Get { .. } | Self::Has { .. } | Self::Ttl { .. } => Kind::Read,
            Self::Set { only_if: None, .. } | Self::Delete { .. } | Self::Expire { .. } => Kind::Write,
            Self::Set { .. } | Self::Increment { .. } | Self::Raw(_) => Kind::Strict,
        }
    }

    /// For messages.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Get { .. } => "get",
            Self::Set { .. } => "set",
            Self::Delete { .. } => "delete",
            Self::Has { .. } => "has",
            Self::Expire { .. } => "expire",
            Self::Ttl { .. } => "ttl",
            Self::Increment { .. } => "increment",
            Self::Raw(_) => "command",
        }
    }

    pub(crate) fn replies(&self) -> usize {
        if matches!(self, Self::Get { timed: true, .. }) { 2 } else { 1 }
    }

    /// Whether it changes what is stored under its key.
    pub(crate) fn writes(&self) -> bool {
        self.kind() != Kind::Read
    }

    /// Appends the frames.
    pub(crate) fn encode(&self, prefix: &[u8], out: &mut BytesMut) {
        match self {
            Self::Get { key, timed } => {
                out.extend_from_slice(b"*2\r\n$3\r\nGET\r\n");
                put_bulk_parts(out, prefix, key);
                if *timed {
                    out.extend_from_slice(b"*2\r\n$4\r\nPTTL\r\n");
                    put_bulk_parts(out, prefix, key);
                }
            }
            Self::Set { key, stored, ttl, only_if } => {
                put_header(out, b'*', 3 + 2 * usize::from(ttl.is_some()) + usize::from(only_if.is_some()));
                out.extend_from_slice(b"$3\r\nSET\r\n");
                put_bulk_parts(out, prefix, key);
                put_bulk(out, stored);
                if let Some(ttl) = ttl {
                    out.extend_from_slice(b"$2\r\nPX\r\n");
                    put_millis(out, *ttl);
                }
                match only_if {
                    None => {}
                    Some(OnlyIf::Absent) => out.extend_from_slice(b"$2\r\nNX\r\n"),
                    Some(OnlyIf::Present) => out.extend_from_slice(b"$2\r\nXX\r\n"),
                }
            }
            Self::Delete { key } => one_key(out, b"*2\r\n$6\r\nUNLINK\r\n", prefix, key),
            Self::Has { key } => one_key(out, b"*2\r\n$6\r\nEXISTS\r\n", prefix, key),
            Self::Ttl { key } => one_key(out, b"*2\r\n$4\r\nPTTL\r\n", prefix, key),
            Self::Expire { key, ttl } => {
                one_key(out, b"*3\r\n$7\r\nPEXPIRE\r\n", prefix, key);
                put_millis(out, *ttl);
            }
            Self::Increment { key, by, ttl } => {
                out.extend_from_slice(b"*6\r\n$4\r\nEVAL\r\n");
                put_bulk(out, INCREMENT.as_bytes());
                out.extend_from_slice(b"$1\r\n1\r\n");
                put_bulk_parts(out, prefix, key);
                put_bulk(out, by.to_string().as_bytes());
                match ttl {
                    None => put_bulk(out, b""),
                    Some(ttl) => put_millis(out, *ttl),
                }
            }
            Self::Raw(command) => command.encode(out),
        }
    }

    /// What the replies mean.
    pub(crate) fn read(&self, replies: Vec<Value>) -> Result<Reply, RedisServiceError> {
        let mut replies = replies.into_iter();
        let mut next = || replies.next().unwrap_or(Value::Null);
        let first = next();
        if let Self::Raw(_) = self {
            return Ok(Reply::Raw(first.ok().map_err(|error| self.refused(error))?));
        }
        let first = first.ok().map_err(|error| self.refused(error))?;
        Ok(match self {
            Self::Get { .. } => Reply::Stored {
                stored: first.as_bytes().cloned(),
                ttl: remaining(next().as_integer()),
                origin: Origin::Redis,
            },
            Self::Set { .. } => Reply::Was(first != Value::Null),
            Self::Delete { .. } | Self::Has { .. } | Self::Expire { .. } => {
                Reply::Was(first.as_integer() == Some(1))
            }
            Self::Ttl { .. } => Reply::Ttl(remaining(first.as_integer())),
            Self::Increment { .. } => {
                Reply::Number(first.as_integer().ok_or_else(|| RedisServiceError::Internal {
                    message: "INCRBY answered with something other than an integer".to_owned(),
                })?)
            }
            Self::Raw(_) => Reply::Raw(first),
        })
    }

    /// What a refusal means to the caller.
    fn refused(&self, error: ServerError) -> RedisServiceError {
        let (text, code) = (&error.text, error.code());
        let name = |key: &Bytes| String::from_utf8_lossy(key).into_owned();
        match (self, code) {
            (Self::Increment { key, .. }, _) if text.contains("not an integer") || code == "WRONGTYPE" => {
                RedisServiceError::Conflict {
                    key: name(key),
                    message: format!("expected an integer to add to; Redis said: {error}"),
                }
            }
            (Self::Increment { key, .. }, _) if code == "UNSAFE" || text.contains("overflow") => {
                RedisServiceError::Conflict {
                    key: name(key),
                    message: "the sum would be no safe integer; nothing was changed".to_owned(),
                }
            }
            (_, "WRONGTYPE") => RedisServiceError::Conflict {
                key: self.key().map(name).unwrap_or_default(),
                message: format!("expected a value of the cache; Redis said: {error}"),
            },
            _ => error.into(),
        }
    }

    /// The answer where there is nothing, or nothing can be known.
    pub(crate) fn nothing(&self) -> Reply {
        match self {
            Self::Get { .. } => Reply::Stored { stored: None, ttl: None, origin: Origin::Aside },
            Self::Ttl { .. } => Reply::Ttl(None),
            _ => Reply::Was(false),
        }
    }
}

fn one_key(out: &mut BytesMut, head: &[u8], prefix: &[u8], key: &[u8]) {
    out.extend_from_slice(head);
    put_bulk_parts(out, prefix, key);
}

fn put_millis(out: &mut BytesMut, ttl: Duration) {
    // Redis refuses 0, and takes no more than an i64 holds.
    let millis = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX / 4).clamp(1, i64::MAX / 4);
    put_bulk(out, millis.to_string().as_bytes());
}

/// Redis says -1 for "without end" and -2 for "no such key".
fn remaining(millis: Option<i64>) -> Option<Duration> {
    millis.and_then(|millis| u64::try_from(millis).ok()).map(Duration::from_millis)
}
