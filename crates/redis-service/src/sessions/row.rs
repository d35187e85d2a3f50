//! A session as it is stored, wherever that is.

use bytes::Bytes;

/// As docs/redis-format.md has it, ms: long enough for any write that was under way.
pub(crate) const TOMBSTONE_MS: u64 = 86_400_000;

/// A session. Times are ms since 1970 by the clock of where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) version: u64,
    /// Encoded like a value.
    pub(crate) data: Bytes,
    pub(crate) user: Option<String>,
    pub(crate) created_at: u64,
    /// In ms.
    pub(crate) ttl: u64,
    pub(crate) rolling: bool,
    /// 0 for never.
    pub(crate) ends_at: u64,
    pub(crate) expires_at: u64,
}

/// A whole session to be written.
#[derive(Debug, Clone)]
pub(crate) struct NewRow {
    pub(crate) data: Bytes,
    pub(crate) user: Option<String>,
    pub(crate) ttl: u64,
    pub(crate) rolling: bool,
    /// From now on, ms; `None`: see `ends_at`.
    pub(crate) absolute_ttl: Option<u64>,
    /// 0 for never.
    pub(crate) ends_at: u64,
    /// `None`: now, or as it was.
    pub(crate) created_at: Option<u64>,
}

impl NewRow {
    /// The same session under another id.
    pub(crate) fn successor_of(row: &Row) -> Self {
        Self {
            data: row.data.clone(),
            user: row.user.clone(),
            ttl: row.ttl,
            rolling: row.rolling,
            absolute_ttl: None,
            ends_at: row.ends_at,
            created_at: Some(row.created_at),
        }
    }

    /// When it ends in any case, if it is written now.
    pub(crate) fn ends_at(&self, now: u64) -> u64 {
        self.absolute_ttl.map_or(self.ends_at, |ttl| now.saturating_add(ttl))
    }
}

/// When a session ends that lives `ttl` from now on, at most until `ends_at`.
pub(crate) fn end(now: u64, ttl: u64, ends_at: u64) -> u64 {
    let rolled = now.saturating_add(ttl);
    if ends_at == 0 { rolled } else { rolled.min(ends_at) }
}

/// Which writes of whole sessions are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Nothing may be there.
    New,
    /// Anything but a tombstone may.
    Upsert,
}

/// Why nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is a session already.
    Exists,
    /// There is none.
    Gone,
    /// There is a tombstone.
    Destroyed,
}

/// What was there before it was destroyed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Destroyed {
    pub(crate) existed: bool,
    pub(crate) user: Option<String>,
}
