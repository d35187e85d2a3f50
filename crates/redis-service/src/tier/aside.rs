//! What is written while Redis is away: the values, for as long as they fit, and the keys, all of them. Pure.
//!
//! When Redis is back each key is deleted there before it is read again, so that nobody is given what the writes of the
//! meantime have made untrue. A key is forgotten only when its deletion was acknowledged and nothing wrote it since.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use bytes::Bytes;

use crate::op::{Op, Origin, Reply};

/// What the maps cost for each key, roughly, beside the bytes of key and value.
const OVERHEAD: usize = 112;

/// The keys that were written while Redis was away.
#[derive(Debug)]
pub(crate) struct Aside {
    entries: HashMap<Bytes, Entry>,
    /// Keys with values in the order of their writing, so that the oldest value goes first; stale pairs are skipped.
    order: VecDeque<(Bytes, u64)>,
    bytes: usize,
    max_bytes: usize,
    writes: u64,
}

#[derive(Debug)]
struct Entry {
    held: Option<Held>,
    write: u64,
}

#[derive(Debug)]
struct Held {
    stored: Bytes,
    expires: Option<Instant>,
}

/// Why a write was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// There is no room for one key more.
    Full,
    /// It depends on what only Redis knows.
    NeedsRedis,
}

impl Aside {
    pub(crate) fn new(max_bytes: u64) -> Self {
        Self {
            entries: HashMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            max_bytes: usize::try_from(max_bytes).unwrap_or(usize::MAX),
            writes: 0,
        }
    }

    /// Keys that are to be settled.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Answers an operation without Redis.
    pub(crate) fn apply(&mut self, op: &Op, now: Instant) -> Result<Reply, NotTaken> {
        match op {
            Op::Get { key, .. } => Ok(self.live(key, now).map_or_else(
                || op.nothing(),
                |held| Reply::Stored {
                    stored: Some(held.stored.clone()),
                    ttl: held.left(now),
                    origin: Origin::Aside,
                },
            )),
            Op::Has { key } => Ok(Reply::Was(self.live(key, now).is_some())),
            Op::Ttl { key } => Ok(Reply::Ttl(self.live(key, now).and_then(|held| held.left(now)))),
            Op::Set { key, stored, ttl, only_if: None } => {
                let held = Held { stored: stored.clone(), expires: ttl.and_then(|ttl| now.checked_add(ttl)) };
                self.write(key, Some(held)).map(|()| Reply::Was(true))
            }
            Op::Delete { key } => {
                let was = self.live(key, now).is_some();
                self.write(key, None).map(|()| Reply::Was(was))
            }
            Op::Expire { key, ttl } => match self.live(key, now).map(|held| held.stored.clone()) {
                // How long it was to live is forgotten with the value, when Redis is back.
                None => self.write(key, None).map(|()| Reply::Was(false)),
                Some(stored) => self
                    .write(key, Some(Held { stored, expires: now.checked_add(*ttl) }))
                    .map(|()| Reply::Was(true)),
            },
            Op::Set { .. } | Op::Increment { .. } | Op::Raw(_) => Err(NotTaken::NeedsRedis),
        }
    }

    /// Keys to be deleted, at most `count`, each with the mark that [`Aside::settled`] wants back.
    pub(crate) fn unsettled(&self, count: usize, belongs: impl Fn(&[u8]) -> bool) -> Vec<(Bytes, u64)> {
        self.entries
            .iter()
            .filter(|(key, _)| belongs(key))
            .take(count)
            .map(|(key, entry)| (key.clone(), entry.write))
            .collect()
    }

    /// The key was deleted in Redis; forgotten unless something wrote it since.
    pub(crate) fn settled(&mut self, key: &[u8], mark: u64) {
        if self.entries.get(key).is_some_and(|entry| entry.write == mark) {
            self.remove(key);
        }
    }

    fn live(&self, key: &[u8], now: Instant) -> Option<&Held> {
        let held = self.entries.get(key)?.held.as_ref()?;
        held.expires.is_none_or(|expires| expires > now).then_some(held)
    }

    fn write(&mut self, key: &Bytes, held: Option<Held>) -> Result<(), NotTaken> {
        let cost = key.len() + OVERHEAD;
        let known = self.entries.contains_key(key);
        while !known && self.bytes + cost > self.max_bytes {
            if !self.drop_oldest_value() {
                return Err(NotTaken::Full);
            }
        }
        self.remove(key);
        self.writes += 1;
        let write = self.writes;
        self.bytes += cost;
        // Copied, because the caller's bytes may be a slice of something much longer.
        let key = Bytes::copy_from_slice(key);
        let held = held.map(|held| Held { stored: Bytes::copy_from_slice(&held.stored), ..held });
        if let Some(held) = &held {
            self.bytes += held.stored.len();
            self.order.push_back((key.clone(), write));
        }
        self.entries.insert(key, Entry { held, write });
        while self.bytes > self.max_bytes && self.drop_oldest_value() {}
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) {
        if let Some((key, entry)) = self.entries.remove_entry(key) {
            self.bytes -= key.len() + OVERHEAD + entry.held.map_or(0, |held| held.stored.len());
        }
    }

    /// Makes room; the key stays. Whether there was a value left.
    fn drop_oldest_value(&mut self) -> bool {
        while let Some((key, write)) = self.order.pop_front() {
            if let Some(entry) = self.entries.get_mut(&key)
                && entry.write == write
                && let Some(held) = entry.held.take()
            {
                self.bytes -= held.stored.len();
                return true;
            }
        }
        false
    }
}

impl Held {
    fn left(&self, now: Instant) -> Option<std::time::Duration> {
        self.expires.map(|expires| expires.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn set(key: &str, value: &str, ttl: Option<Duration>) -> Op {
        Op::Set {
            key: Bytes::copy_from_slice(key.as_bytes()),
            stored: Bytes::copy_from_slice(value.as_bytes()),
            ttl,
            only_if: None,
        }
    }

    fn get(aside: &mut Aside, key: &str, now: Instant) -> Option<String> {
        let op = Op::Get { key: Bytes::copy_from_slice(key.as_bytes()), timed: false };
        match aside.apply(&op, now).unwrap() {
            Reply::Stored { stored, .. } => stored.map(|stored| String::from_utf8(stored.to_vec()).unwrap()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_was_written_is_read_until_it_expires() {
        let (mut aside, now) = (Aside::new(10_000), Instant::now());
        aside.apply(&set("k", "v", Some(Duration::from_secs(1))), now).unwrap();
        assert_eq!(get(&mut aside, "k", now).as_deref(), Some("v"));
        assert_eq!(get(&mut aside, "k", now + Duration::from_secs(1)), None);
        assert_eq!(aside.len(), 1, "the key is settled although its value has expired");
    }

    #[test]
    fn values_make_room_and_keys_never_do() {
        let (mut aside, now) = (Aside::new(1000), Instant::now());
        for n in 0..7 {
            aside.apply(&set(&format!("k{n}"), &"v".repeat(100), None), now).unwrap();
        }
        assert_eq!(get(&mut aside, "k0", now), None);
        assert!(get(&mut aside, "k6", now).is_some());
        assert_eq!(aside.unsettled(100, |_| true).len(), 7);
        let refused = (7..100).find_map(|n| aside.apply(&set(&format!("k{n}"), "v", None), now).err());
        assert_eq!(refused, Some(NotTaken::Full));
        assert!(aside.bytes <= 1000);
        assert!(aside.apply(&set("k1", "v", None), now).is_ok(), "a key that is known is written again");
    }

    #[test]
    fn a_key_that_was_written_again_is_settled_again() {
        let (mut aside, now) = (Aside::new(10_000), Instant::now());
        aside.apply(&set("k", "1", None), now).unwrap();
        let (key, mark) = aside.unsettled(1, |_| true).remove(0);
        aside.apply(&set("k", "2", None), now).unwrap();
        aside.settled(&key, mark);
        assert_eq!(get(&mut aside, "k", now).as_deref(), Some("2"));
        let (key, mark) = aside.unsettled(1, |_| true).remove(0);
        aside.settled(&key, mark);
        assert_eq!((aside.len(), aside.bytes), (0, 0));
    }

    #[test]
    fn what_only_redis_knows_is_refused() {
        let (mut aside, now) = (Aside::new(10_000), Instant::now());
        let key = Bytes::from_static(b"n");
        assert_eq!(
            aside.apply(&Op::Increment { key: key.clone(), by: 1, ttl: None }, now),
            Err(NotTaken::NeedsRedis)
        );
    }
}
