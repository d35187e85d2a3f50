//! A part of the keys with their values: what is rarely used goes first when there is no more room, and what has
//! expired goes soon after, read or not.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quick_cache::unsync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, Weighter};

/// What an entry costs beside key and value, roughly, with its place among the expiries.
const OVERHEAD: u64 = 160;

/// What a tag of an entry costs beside its bytes: a place in two tables.
const TAG_OVERHEAD: u64 = 64;

/// Expired entries removed at each operation: each operation adds one at most, so this many keep up and none is slow.
const RECLAIMED_AT_ONCE: usize = 8;

/// A value.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) stored: Bytes,
    pub(super) expires: Option<Instant>,
    pub(super) tags: Vec<Bytes>,
}

impl Held {
    /// How long it lives; `None` without end.
    pub(super) fn left(&self, now: Instant) -> Option<Duration> {
        self.expires.map(|expires| expires.saturating_duration_since(now))
    }

    fn lives(&self, now: Instant) -> bool {
        self.expires.is_none_or(|expires| expires > now)
    }
}

#[derive(Clone)]
struct Weigh;

impl Weighter<Bytes, Held> for Weigh {
    fn weight(&self, key: &Bytes, held: &Held) -> u64 {
        let tags: u64 = held.tags.iter().map(|tag| tag.len() as u64 + TAG_OVERHEAD).sum();
        key.len() as u64 + held.stored.len() as u64 + OVERHEAD + tags
    }
}

/// Collects what makes room for others.
#[derive(Clone)]
struct Evicted;

impl Lifecycle<Bytes, Held> for Evicted {
    type RequestState = Vec<(Bytes, Held)>;

    fn on_evict(&self, evicted: &mut Self::RequestState, key: Bytes, held: Held) {
        evicted.push((key, held));
    }
}

/// See the module.
pub(super) struct Shard {
    cache: Cache<Bytes, Held, Weigh, DefaultHashBuilder, Evicted>,
    /// When entries expire, the next first; those that were written again since are skipped.
    expiries: BinaryHeap<Reverse<(Instant, Bytes)>>,
    /// Entries with tags that are gone.
    untagged: Vec<(Bytes, Held)>,
}

impl Shard {
    pub(super) fn new(max_bytes: u64) -> Self {
        // Values of about 1 KB are what the number of slots is sized for; it grows where they are smaller.
        let items = usize::try_from(max_bytes / 1024).unwrap_or(usize::MAX).max(64);
        Self {
            cache: Cache::with(items, max_bytes, Weigh, DefaultHashBuilder::default(), Evicted),
            expiries: BinaryHeap::new(),
            untagged: Vec::new(),
        }
    }

    /// Whether a value can be held at all, once everything else has made room.
    pub(super) fn fits(&self, key: &[u8], stored: &[u8]) -> bool {
        key.len() as u64 + stored.len() as u64 + OVERHEAD <= self.cache.capacity()
    }

    /// The value, which counts as used.
    pub(super) fn get(&self, key: &Bytes, now: Instant) -> Option<&Held> {
        self.cache.get(key).filter(|held| held.lives(now))
    }

    /// The value, which does not count as used.
    pub(super) fn peek(&self, key: &Bytes, now: Instant) -> Option<&Held> {
        self.cache.peek(key).filter(|held| held.lives(now))
    }

    /// Writes a value. The tags of the one before stay, unless that had expired.
    pub(super) fn put(&mut self, key: &Bytes, stored: Bytes, expires: Option<Instant>, now: Instant) {
        let tags = match self.cache.peek(key) {
            Some(before) if before.lives(now) => before.tags.clone(),
            _ => {
                self.remove(key, now);
                Vec::new()
            }
        };
        let key = Bytes::copy_from_slice(key);
        self.note_expiry(&key, expires);
        self.insert(key, Held { stored, expires, tags });
    }

    /// Whether there was a value that had not expired.
    pub(super) fn remove(&mut self, key: &Bytes, now: Instant) -> bool {
        match self.cache.remove(key) {
            None => false,
            Some((key, held)) => {
                let lived = held.lives(now);
                self.lost(key, held);
                lived
            }
        }
    }

    /// Gives a value another end. Whether there is one.
    pub(super) fn expire(&mut self, key: &Bytes, expires: Option<Instant>, now: Instant) -> bool {
        match self.cache.peek_mut(key) {
            Some(mut held) if held.lives(now) => held.expires = expires,
            _ => return false,
        }
        let key = Bytes::copy_from_slice(key);
        self.note_expiry(&key, expires);
        true
    }

    /// Whether there is a value to carry them.
    pub(super) fn add_tags(&mut self, key: &Bytes, tags: &[Bytes]) -> bool {
        let Some(held) = self.cache.peek(key) else {
            return false;
        };
        let mut held = held.clone();
        for tag in tags {
            if !held.tags.contains(tag) {
                held.tags.push(Bytes::copy_from_slice(tag));
            }
        }
        self.insert(Bytes::copy_from_slice(key), held);
        self.cache.peek(key).is_some()
    }

    /// The keys that begin with `prefix`.
    pub(super) fn keys(&self, prefix: &[u8], now: Instant) -> Vec<Bytes> {
        let keys = self.cache.iter().filter(|(key, held)| key.starts_with(prefix) && held.lives(now));
        keys.map(|(key, _)| key.clone()).collect()
    }

    /// Removes some of what has expired.
    pub(super) fn reclaim(&mut self, now: Instant) {
        for _ in 0..RECLAIMED_AT_ONCE {
            match self.expiries.peek() {
                Some(Reverse((expires, _))) if *expires <= now => {}
                _ => break,
            }
            let Some(Reverse((_, key))) = self.expiries.pop() else {
                break;
            };
            if self.cache.peek(&key).is_some_and(|held| !held.lives(now)) {
                self.remove(&key, now);
            }
        }
    }

    /// Entries with tags that went since the last call.
    pub(super) fn take_untagged(&mut self) -> Vec<(Bytes, Held)> {
        std::mem::take(&mut self.untagged)
    }

    /// Bytes of all entries.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> u64 {
        self.cache.weight()
    }

    /// Places among the expiries, stale ones included.
    #[cfg(test)]
    pub(super) fn expiries(&self) -> usize {
        self.expiries.len()
    }

    fn insert(&mut self, key: Bytes, held: Held) {
        let mut evicted = Vec::new();
        self.cache.insert_with_lifecycle(key, held, &mut evicted);
        for (key, held) in evicted {
            // What was written over is among them, too; its tags have gone over to what is there now.
            if self.cache.peek(&key).is_none() {
                self.lost(key, held);
            }
        }
    }

    fn lost(&mut self, key: Bytes, held: Held) {
        if !held.tags.is_empty() {
            self.untagged.push((key, held));
        }
    }

    fn note_expiry(&mut self, key: &Bytes, expires: Option<Instant>) {
        let Some(expires) = expires else {
            return;
        };
        self.expiries.push(Reverse((expires, key.clone())));
        // Keys that are written again and again leave stale places; made anew when most are.
        if self.expiries.len() > 2 * self.cache.len() + 64 {
            let live =
                self.cache.iter().filter_map(|(key, held)| Some(Reverse((held.expires?, key.clone()))));
            let mut live: BinaryHeap<_> = live.collect();
            // The entry that this is for is written next.
            live.push(Reverse((expires, key.clone())));
            self.expiries = live;
        }
    }
}
