//! The cache as a Rust user calls it: values in, values out. Encoding happens on the caller's side, so that a caller that compresses
//! pays for it, and decoding where the value is wanted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use crate::envelope::{CacheValue, Decoded, Decoder, Encoder, EnvelopeError};
use crate::error::RedisServiceError;
use crate::op::{OnlyIf, Op, Reply};
use crate::resp::Command;
use crate::scripts::DELETE_IF_EQUAL;
use crate::service::{RedisService, Tier};
use crate::tier::in_flight::{Done, Outcome};

/// Longest key in bytes: beyond this a key is most likely a value in the wrong place.
const MAX_KEY: usize = 64 * 1024;

/// What the keys of this crate's own data begin with, after the prefix.
pub(crate) const RESERVED: &str = "~uat:";

/// Counters since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Reads that found a value, near or in Redis.
    pub hits: u64,
    /// Reads that found none.
    pub misses: u64,
    /// Reads that were answered by the near tier; among `hits` too.
    pub near_hits: u64,
    /// Values written.
    pub sets: u64,
    /// Bytes of the values written, as they are stored.
    pub bytes_stored: u64,
    /// Bytes of the values written, before compression.
    pub bytes_before_compression: u64,
    /// Connections made again after the first.
    pub reconnects: u64,
    /// Operations that were answered without Redis because it was away.
    pub fallback_ops: u64,
    /// Envelopes with a wrong checksum that were met.
    pub corrupt: u64,
}

/// The counters as they are counted.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    hits: AtomicU64,
    misses: AtomicU64,
    near_hits: AtomicU64,
    sets: AtomicU64,
    bytes_stored: AtomicU64,
    bytes_before: AtomicU64,
    corrupt: AtomicU64,
}

impl Tally {
    pub(crate) fn near_hit(&self) {
        self.near_hits.fetch_add(1, Ordering::Relaxed);
    }
}

/// Encodes and decodes, and counts.
pub(crate) struct Values {
    encoder: Encoder,
    decoder: Decoder,
    pub(crate) tally: Tally,
}

impl Values {
    pub(crate) fn new(encoder: Encoder, decoder: Decoder) -> Self {
        Self { encoder, decoder, tally: Tally::default() }
    }
}

/// How a value is written.
#[derive(Debug, Clone, Default)]
pub struct SetOptions {
    /// How long it lives; without end if absent. At least a millisecond.
    pub ttl: Option<Duration>,
    /// Whether the write depends on what is there.
    pub only_if: Option<OnlyIf>,
}

impl RedisService {
    /// The value of a key. A miss where Redis is away or too slow, and where the value is not readable.
    ///
    /// # Errors
    /// [`RedisServiceError::InvalidInput`] for the key; [`RedisServiceError::Conflict`] if the key holds a hash, a list or the like.
    pub async fn get(&self, key: &str) -> Result<Option<CacheValue>, RedisServiceError> {
        let key = checked_key(key)?;
        let outcome = self.run(Op::Get { key: key.clone(), timed: self.options.near_cache }).await;
        self.read_outcome(&key, outcome)
    }

    /// The values of some keys, in their order. One write to each server.
    ///
    /// # Errors
    /// As [`RedisService::get`].
    pub async fn mget(&self, keys: &[&str]) -> Result<Vec<Option<CacheValue>>, RedisServiceError> {
        let keys = keys.iter().map(|key| checked_key(key)).collect::<Result<Vec<_>, _>>()?;
        let outcomes = self
            .run_all(keys.iter().map(|key| Op::Get { key: key.clone(), timed: self.options.near_cache }))
            .await;
        keys.iter().zip(outcomes).map(|(key, outcome)| self.read_outcome(key, outcome)).collect()
    }

    /// Writes a value; whether it was written, which only `only_if` can prevent.
    ///
    /// # Errors
    /// [`RedisServiceError::InvalidInput`] for key, value and ttl; with `only_if` [`RedisServiceError::Unavailable`] while Redis is
    /// away; [`RedisServiceError::Storage`] if Redis refuses, for example because its memory is full.
    pub async fn set(
        &self,
        key: &str,
        value: &CacheValue,
        options: &SetOptions,
    ) -> Result<bool, RedisServiceError> {
        if options.ttl.is_some_and(|ttl| ttl < Duration::from_millis(1)) {
            return Err(RedisServiceError::invalid("ttl", "at least a millisecond", "less"));
        }
        let (key, stored) = (checked_key(key)?, self.encode(value)?);
        was(self.run(Op::Set { key, stored, ttl: options.ttl, only_if: options.only_if }).await)
    }

    /// Writes some values; not as one step.
    ///
    /// # Errors
    /// As [`RedisService::set`]: the first error, after all have been tried.
    pub async fn mset(
        &self,
        entries: &[(&str, CacheValue)],
        ttl: Option<Duration>,
    ) -> Result<(), RedisServiceError> {
        let mut ops = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            ops.push(Op::Set { key: checked_key(key)?, stored: self.encode(value)?, ttl, only_if: None });
        }
        self.run_all(ops).await.into_iter().try_for_each(|outcome| was(outcome).map(drop))
    }

    /// Removes values; how many there were.
    ///
    /// # Errors
    /// [`RedisServiceError::InvalidInput`] for a key.
    pub async fn delete(&self, keys: &[&str]) -> Result<u64, RedisServiceError> {
        let keys = keys.iter().map(|key| checked_key(key)).collect::<Result<Vec<_>, _>>()?;
        self.delete_all(keys.into_iter()).await
    }

    /// Whether there is a value.
    ///
    /// # Errors
    /// [`RedisServiceError::InvalidInput`] for the key.
    pub async fn has(&self, key: &str) -> Result<bool, RedisServiceError> {
        was(self.run(Op::Has { key: checked_key(key)? }).await)
    }

    /// Gives a value a new time to live; whether there was one, as far as can be seen while Redis is away.
    ///
    /// # Errors
    /// [`RedisServiceError::InvalidInput`] for the key.
    pub async fn expire(&self, key: &str, ttl: Duration) -> Result<bool, RedisServiceError> {
        was(self.run(Op::Expire { key: checked_key(key)?, ttl }).await)
    }

    /// How long a value still lives; `None` without a value or without an end.
    ///
    /// # Errors
    /// [`RedisServiceError::InvalidInput`] for the key.
    pub async fn ttl(&self, key: &str) -> Result<Option<Duration>, RedisServiceError> {
        match self.run(Op::Ttl { key: checked_key(key)? }).await? {
            Reply::Ttl(ttl) => Ok(ttl),
            _ => Ok(None),
        }
    }

    /// Adds to an integer, which is 0 if there is none; `ttl` applies if the key has none yet.
    ///
    /// # Errors
    /// [`RedisServiceError::Conflict`] if the value is no integer; [`RedisServiceError::Unavailable`] while Redis is away.
    pub async fn increment(
        &self,
        key: &str,
        by: i64,
        ttl: Option<Duration>,
    ) -> Result<i64, RedisServiceError> {
        match self.run(Op::Increment { key: checked_key(key)?, by, ttl }).await? {
            Reply::Number(sum) => Ok(sum),
            other => {
                Err(RedisServiceError::Internal { message: format!("increment was answered with {other:?}") })
            }
        }
    }

    /// The bytes to store for a value; counted as a write.
    ///
    /// # Errors
    /// [`RedisServiceError::InvalidInput`].
    pub fn encode(&self, value: &CacheValue) -> Result<Bytes, RedisServiceError> {
        let encoded = self.values.encoder.encode(value)?;
        let tally = &self.values.tally;
        tally.sets.fetch_add(1, Ordering::Relaxed);
        tally.bytes_stored.fetch_add(encoded.bytes.len() as u64, Ordering::Relaxed);
        tally.bytes_before.fetch_add(encoded.original_len as u64, Ordering::Relaxed);
        Ok(encoded.bytes)
    }

    /// The bytes of a value without compression: of messages, which are neither kept nor counted.
    ///
    /// # Errors
    /// [`RedisServiceError::InvalidInput`].
    pub fn encode_plain(&self, value: &CacheValue) -> Result<Bytes, RedisServiceError> {
        Ok(Encoder::default().encode(value)?.bytes)
    }

    /// The value that some bytes are, if they can be read.
    pub fn decode(&self, stored: &Bytes) -> Option<CacheValue> {
        match self.values.decoder.decode(stored) {
            Decoded::Value(value) | Decoded::Foreign(value) => Some(value),
            Decoded::Unknown | Decoded::Corrupt => None,
        }
    }

    /// What a read found, counted. A broken envelope is a miss, and is deleted in Redis if it still is the same.
    ///
    /// # Errors
    /// Those of the outcome.
    pub fn read_outcome(
        &self,
        key: &Bytes,
        outcome: Outcome,
    ) -> Result<Option<CacheValue>, RedisServiceError> {
        let tally = &self.values.tally;
        let stored = match outcome? {
            Reply::Stored { stored: Some(stored), .. } => stored,
            _ => {
                tally.misses.fetch_add(1, Ordering::Relaxed);
                return Ok(None);
            }
        };
        let value = match self.values.decoder.decode(&stored) {
            Decoded::Value(value) | Decoded::Foreign(value) => Some(value),
            Decoded::Unknown => None,
            Decoded::Corrupt => {
                tally.corrupt.fetch_add(1, Ordering::Relaxed);
                self.discard(key, &stored);
                None
            }
        };
        let counter = if value.is_some() { &tally.hits } else { &tally.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(value)
    }

    /// Counters since the start.
    pub fn stats(&self) -> Stats {
        let tally = &self.values.tally;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counts = match &self.tier {
            Tier::Redis(tier) => Some(&tier.counts),
            Tier::Embedded(_) => None,
        };
        Stats {
            hits: load(&tally.hits),
            misses: load(&tally.misses),
            near_hits: load(&tally.near_hits),
            sets: load(&tally.sets),
            bytes_stored: load(&tally.bytes_stored),
            bytes_before_compression: load(&tally.bytes_before),
            reconnects: counts.map_or(0, |counts| load(&counts.reconnects)),
            fallback_ops: counts.map_or(0, |counts| load(&counts.fallback_ops)),
            corrupt: load(&tally.corrupt),
        }
    }

    /// Deletes an unreadable value without waiting for it: the next reader tries again.
    fn discard(&self, key: &Bytes, stored: &Bytes) {
        if let Tier::Redis(tier) = &self.tier {
            if let Some(near) = &tier.near {
                near.forget(key);
            }
            let command =
                Command::new("EVAL").arg(DELETE_IF_EQUAL).arg("1").key(self.prefixed(key)).arg(stored);
            let done = Done::Call(Box::new(|outcome| {
                if let Err(error) = outcome {
                    tracing::debug!(%error, "a broken value could not be deleted");
                }
            }));
            tier.start([(Op::Raw(command), done)]);
        }
    }
}

/// The key, if it is one.
pub(crate) fn checked_key(key: &str) -> Result<Bytes, RedisServiceError> {
    if key.is_empty() {
        return Err(RedisServiceError::invalid("key", "a text that is not empty", "an empty one"));
    }
    if key.len() > MAX_KEY {
        return Err(RedisServiceError::invalid(
            "key",
            format!("at most {MAX_KEY} bytes"),
            format!("{} bytes", key.len()),
        ));
    }
    if key.starts_with(RESERVED) {
        return Err(RedisServiceError::invalid(
            "key",
            format!("a key that does not begin with {RESERVED}"),
            "one that does",
        ));
    }
    Ok(Bytes::copy_from_slice(key.as_bytes()))
}

/// Whether it was so.
pub(crate) fn was(outcome: Outcome) -> Result<bool, RedisServiceError> {
    Ok(matches!(outcome?, Reply::Was(true)))
}

impl From<EnvelopeError> for RedisServiceError {
    fn from(error: EnvelopeError) -> Self {
        match error {
            EnvelopeError::Compression { .. } => Self::config("compression", error.to_string()),
            _ => Self::invalid("value", "a value that fits", error.to_string()),
        }
    }
}
