//! The near tier of a Rust user: values in the process, never older than what Redis would say.
//!
//! Redis tells which of the keys that were read here have changed (client tracking). A value is kept only if nothing happened to
//! its key between the moment the read was sent and its reply: the [`Ticket`] that is drawn before the read carries the
//! generation of the key's shard and of the whole tier, and both must still be the same. A connection that ends starts a
//! new generation of the tier, and so nothing older is ever read.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// Shards of the generations: a change of one key makes fills of this share of all others fail that are under way, which is
/// rare and harmless.
const SHARDS: usize = 256;

/// The largest share of the tier that one value may take.
const MAX_SHARE: u64 = 16;

/// What an entry costs beside key and value, roughly.
const OVERHEAD: u64 = 96;

/// The right to keep what a read brings, if nothing happens in between.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticket {
    shard: usize,
    generation: u64,
    epoch: u64,
}

#[derive(Debug, Clone)]
struct Kept {
    stored: Bytes,
    expires: Option<Instant>,
}

#[derive(Clone)]
struct Weigh;

impl Weighter<Bytes, Kept> for Weigh {
    fn weight(&self, key: &Bytes, kept: &Kept) -> u64 {
        key.len() as u64 + kept.stored.len() as u64 + OVERHEAD
    }
}

/// Values in the process.
pub(crate) struct Near {
    cache: Cache<Bytes, Kept, Weigh>,
    /// The lock makes "the generation is the same" and "the value is kept" one step.
    generations: Vec<Mutex<u64>>,
    epoch: AtomicU64,
    hasher: RandomState,
    max_value: u64,
}

impl Near {
    pub(crate) fn new(max_bytes: u64) -> Self {
        // Values of about 1 KB are what the number of slots is sized for; it grows where they are smaller.
        let items = usize::try_from(max_bytes / 1024).unwrap_or(usize::MAX).max(64);
        Self {
            cache: Cache::with_weighter(items, max_bytes, Weigh),
            generations: (0..SHARDS).map(|_| Mutex::new(0)).collect(),
            epoch: AtomicU64::new(0),
            hasher: RandomState::new(),
            max_value: max_bytes / MAX_SHARE,
        }
    }

    /// The value, if it is there and has not expired.
    pub(crate) fn get(&self, key: &Bytes, now: Instant) -> Option<(Bytes, Option<Instant>)> {
        let kept = self.cache.get(key)?;
        kept.expires.is_none_or(|expires| expires > now).then_some((kept.stored, kept.expires))
    }

    /// Drawn before a read is sent.
    pub(crate) fn ticket(&self, key: &[u8]) -> Ticket {
        let shard = self.shard(key);
        Ticket {
            shard,
            generation: *self.generations[shard].lock(),
            epoch: self.epoch.load(Ordering::Acquire),
        }
    }

    /// Keeps what the read brought, unless something happened to the key since the ticket was drawn.
    pub(crate) fn keep(&self, key: &[u8], stored: &Bytes, expires: Option<Instant>, ticket: Ticket) {
        if stored.len() as u64 > self.max_value {
            return;
        }
        let generation = self.generations[ticket.shard].lock();
        if *generation == ticket.generation && self.epoch.load(Ordering::Acquire) == ticket.epoch {
            // Copied: a slice would hold the whole buffer of the connection.
            let kept = Kept { stored: Bytes::copy_from_slice(stored), expires };
            self.cache.insert(Bytes::copy_from_slice(key), kept);
        }
    }

    /// The key has changed, or is about to.
    pub(crate) fn forget(&self, key: &Bytes) {
        let mut generation = self.generations[self.shard(key)].lock();
        *generation += 1;
        self.cache.remove(key);
    }

    /// Nothing that was read so far counts any more.
    pub(crate) fn flush(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        // Whoever holds a shard's lock now has compared before; the value it inserts is cleared here or was refused.
        for generation in &self.generations {
            *generation.lock() += 1;
        }
        self.cache.clear();
    }

    fn shard(&self, key: &[u8]) -> usize {
        // The remainder always fits.
        (self.hasher.hash_one(key) % SHARDS as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near() -> Near {
        Near::new(1 << 20)
    }

    #[track_caller]
    fn check(near: &Near, key: &'static str, expected: Option<&'static str>) {
        let got = near.get(&Bytes::from_static(key.as_bytes()), Instant::now()).map(|(stored, _)| stored);
        assert_eq!(got, expected.map(|value| Bytes::from_static(value.as_bytes())));
    }

    #[test]
    fn a_value_is_kept_until_its_key_changes() {
        let near = near();
        let ticket = near.ticket(b"k");
        near.keep(b"k", &Bytes::from_static(b"v"), None, ticket);
        check(&near, "k", Some("v"));
        near.forget(&Bytes::from_static(b"k"));
        check(&near, "k", None);
    }

    #[test]
    fn a_change_between_a_read_and_its_reply_discards_the_reply() {
        let near = near();
        let ticket = near.ticket(b"k");
        near.forget(&Bytes::from_static(b"k"));
        near.keep(b"k", &Bytes::from_static(b"old"), None, ticket);
        check(&near, "k", None);
    }

    #[test]
    fn a_disconnect_between_a_read_and_its_reply_discards_the_reply() {
        let near = near();
        let ticket = near.ticket(b"k");
        near.flush();
        near.keep(b"k", &Bytes::from_static(b"old"), None, ticket);
        check(&near, "k", None);
    }

    #[test]
    fn an_expired_value_is_not_given_out() {
        let near = near();
        let now = Instant::now();
        near.keep(b"k", &Bytes::from_static(b"v"), Some(now), near.ticket(b"k"));
        assert!(near.get(&Bytes::from_static(b"k"), now).is_none());
    }
}
