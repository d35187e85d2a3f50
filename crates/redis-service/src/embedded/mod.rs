//! The embedded tier: the same operations without Redis, in the memory of the process. Pure: the clock is passed in.
//!
//! Keys are spread over shards. Everything that one operation does happens under its shard's lock, so that `increment`
//! and `only_if` are one step, as in Redis.

mod shard;
mod tags;
#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, RandomState};
use std::time::Instant;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use self::shard::{Held, Shard};
use self::tags::Tags;
use crate::envelope::MAX_SAFE_INTEGER;
use crate::error::RedisServiceError;
use crate::op::{OnlyIf, Op, Origin, Reply};
use crate::tier::in_flight::Outcome;

/// The least bytes that a shard has, since a value cannot be larger than its shard.
const MIN_SHARD_BYTES: u64 = 16 << 20;

/// More shards do not help: an operation holds a lock for less than a microsecond.
const MAX_SHARDS: u64 = 16;

/// Values in the memory of the process, bounded in bytes.
pub(crate) struct Embedded {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    /// Locked only while a shard is, or by itself; never the other way round.
    tags: Mutex<Tags>,
}

impl Embedded {
    /// A tier of at most `max_bytes` of keys, values and what they cost beside.
    pub(crate) fn new(max_bytes: u64) -> Self {
        let count = (max_bytes / MIN_SHARD_BYTES).clamp(1, MAX_SHARDS);
        Self {
            shards: (0..count).map(|_| Mutex::new(Shard::new(max_bytes / count))).collect(),
            hasher: RandomState::new(),
            tags: Mutex::default(),
        }
    }

    /// Carries out one operation.
    pub(crate) fn apply(&self, op: &Op, now: Instant) -> Outcome {
        let Some(key) = op.key() else {
            return Err(RedisServiceError::Unsupported {
                message: "command() needs a Redis: give redis-service a url".to_owned(),
            });
        };
        let mut shard = self.shard(key);
        let reply = match op {
            Op::Get { .. } => {
                let held = shard.get(key, now);
                Ok(Reply::Stored {
                    ttl: held.and_then(|held| held.left(now)),
                    stored: held.map(|held| held.stored.clone()),
                    origin: Origin::Embedded,
                })
            }
            Op::Has { .. } => Ok(Reply::Was(shard.peek(key, now).is_some())),
            Op::Ttl { .. } => Ok(Reply::Ttl(shard.peek(key, now).and_then(|held| held.left(now)))),
            Op::Set { stored, ttl, only_if, .. } => {
                let is_there = shard.peek(key, now).is_some();
                let wanted = match only_if {
                    None => true,
                    Some(OnlyIf::Absent) => !is_there,
                    Some(OnlyIf::Present) => is_there,
                };
                if wanted && !shard.fits(key, stored) {
                    // The old value is no longer true, whether or not the new one is kept.
                    shard.remove(key, now);
                    self.untag(&mut shard);
                    return Err(RedisServiceError::Storage {
                        message: format!(
                            "{} bytes do not fit into fallback.maxBytes; raise it",
                            stored.len()
                        ),
                    });
                }
                if wanted {
                    // Copied, because the caller's bytes may be a slice of something much longer.
                    let stored = Bytes::copy_from_slice(stored);
                    shard.put(key, stored, ttl.and_then(|ttl| now.checked_add(ttl)), now);
                }
                Ok(Reply::Was(wanted))
            }
            Op::Delete { .. } => Ok(Reply::Was(shard.remove(key, now))),
            Op::Expire { ttl, .. } => Ok(Reply::Was(shard.expire(key, now.checked_add(*ttl), now))),
            Op::Increment { by, ttl, .. } => {
                let (before, expires) = match shard.peek(key, now) {
                    None => (Some(0), None),
                    Some(held) => (integer(&held.stored), held.expires),
                };
                let is_safe = |sum: &i64| sum.unsigned_abs() <= MAX_SAFE_INTEGER.unsigned_abs();
                match before.map(|before| before.checked_add(*by).filter(is_safe)) {
                    None => Err(conflict(key, "expected an integer to add to, found another value")),
                    Some(None) => Err(conflict(key, "the sum would be no safe integer; nothing was changed")),
                    Some(Some(sum)) => {
                        let expires = expires.or_else(|| ttl.and_then(|ttl| now.checked_add(ttl)));
                        shard.put(key, sum.to_string().into(), expires, now);
                        Ok(Reply::Number(sum))
                    }
                }
            }
            // Has no key.
            Op::Raw(_) => Ok(op.nothing()),
        };
        shard.reclaim(now);
        self.untag(&mut shard);
        reply
    }

    /// All keys that begin with `prefix`, in no order.
    pub(crate) fn keys(&self, prefix: &[u8], now: Instant) -> Vec<Bytes> {
        self.shards.iter().flat_map(|shard| shard.lock().keys(prefix, now)).collect()
    }

    /// Makes the value under `key` one that these tags name; without a value it does nothing. The tags go with the
    /// value, and stay when it is written again.
    pub(crate) fn tag(&self, key: &Bytes, tags: &[Bytes]) {
        let mut shard = self.shard(key);
        if shard.add_tags(key, tags) {
            self.tags.lock().add(key, tags);
        }
        self.untag(&mut shard);
    }

    /// The keys that carry the tag, which after this none carries. To be deleted by the caller.
    pub(crate) fn take_tag(&self, tag: &[u8]) -> Vec<Bytes> {
        self.tags.lock().take(tag)
    }

    fn shard(&self, key: &[u8]) -> MutexGuard<'_, Shard> {
        // The remainder always fits.
        let index = (self.hasher.hash_one(key) % self.shards.len() as u64) as usize;
        self.shards[index].lock()
    }

    /// Forgets the tags of what the shard has lost.
    fn untag(&self, shard: &mut Shard) {
        let lost: Vec<(Bytes, Held)> = shard.take_untagged();
        if !lost.is_empty() {
            let mut tags = self.tags.lock();
            for (key, held) in lost {
                tags.remove(&key, &held.tags);
            }
        }
    }
}

/// What Redis takes for an integer: 64 bits in the only decimal spelling.
fn integer(stored: &[u8]) -> Option<i64> {
    let number: i64 = std::str::from_utf8(stored).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == stored).then_some(number)
}

fn conflict(key: &[u8], message: &str) -> RedisServiceError {
    RedisServiceError::Conflict {
        key: String::from_utf8_lossy(key).into_owned(),
        message: message.to_owned(),
    }
}
