//! Sessions in the memory of the process, where no Redis is configured. Never evicted: what does not fit is refused. Pure:
//! the clock, ms since 1970, is passed in.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use bytes::Bytes;

use super::id::Hash;
use super::row::{Destroyed, Mode, NewRow, Refusal, Row, TOMBSTONE_MS, end};
use crate::error::RedisServiceError;

/// What a session costs beside its data and its user: hash, places in the tables and among the expiries.
const OVERHEAD: u64 = 500;

enum Kept {
    Row(Row),
    /// Destroyed, and known to be until then.
    Tombstone(u64),
}

impl Kept {
    fn ends(&self) -> u64 {
        match self {
            Self::Row(row) => row.expires_at,
            Self::Tombstone(until) => *until,
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Row(row) => OVERHEAD + row.data.len() as u64 + row.user.as_ref().map_or(0, String::len) as u64,
            Self::Tombstone(_) => OVERHEAD,
        }
    }
}

/// See the module.
pub(crate) struct Memory {
    kept: HashMap<Hash, Kept>,
    users: HashMap<String, HashSet<Hash>>,
    /// One place for each that is kept, by the end it had when it got the place.
    expiries: BinaryHeap<Reverse<(u64, Hash)>>,
    bytes: u64,
    max_bytes: u64,
}

impl Memory {
    pub(crate) fn new(max_bytes: u64) -> Self {
        Self {
            kept: HashMap::new(),
            users: HashMap::new(),
            expiries: BinaryHeap::new(),
            bytes: 0,
            max_bytes,
        }
    }

    pub(crate) fn write(
        &mut self,
        hash: &Hash,
        mode: Mode,
        new: NewRow,
        now: u64,
    ) -> Result<Result<Row, Refusal>, RedisServiceError> {
        self.sweep(now);
        let before = match self.kept.get(hash) {
            Some(Kept::Tombstone(_)) => return Ok(Err(Refusal::Destroyed)),
            Some(Kept::Row(_)) if mode == Mode::New => return Ok(Err(Refusal::Exists)),
            Some(Kept::Row(row)) => Some((row.version, row.created_at)),
            None => None,
        };
        let ends_at = new.ends_at(now);
        let row = Row {
            version: before.map_or(1, |(version, _)| version + 1),
            created_at: new.created_at.or(before.map(|(_, created_at)| created_at)).unwrap_or(now),
            expires_at: end(now, new.ttl, ends_at),
            data: new.data,
            user: new.user,
            ttl: new.ttl,
            rolling: new.rolling,
            ends_at,
        };
        self.keep(hash, Kept::Row(row.clone()))?;
        Ok(Ok(row))
    }

    pub(crate) fn update(
        &mut self,
        hash: &Hash,
        data: Bytes,
        now: u64,
    ) -> Result<Result<Row, Refusal>, RedisServiceError> {
        self.sweep(now);
        let Some(Kept::Row(before)) = self.kept.get(hash) else {
            return Ok(Err(Refusal::Gone));
        };
        let mut row = Row { version: before.version + 1, data, ..before.clone() };
        if row.rolling {
            row.expires_at = end(now, row.ttl, row.ends_at);
        }
        self.keep(hash, Kept::Row(row.clone()))?;
        Ok(Ok(row))
    }

    pub(crate) fn read(&mut self, hash: &Hash, roll: bool, now: u64) -> Option<Row> {
        self.sweep(now);
        let Some(Kept::Row(row)) = self.kept.get_mut(hash) else {
            return None;
        };
        if roll && row.rolling {
            row.expires_at = end(now, row.ttl, row.ends_at);
        }
        Some(row.clone())
    }

    pub(crate) fn touch(&mut self, hash: &Hash, ttl: Option<u64>, now: u64) -> Option<Row> {
        self.sweep(now);
        let Some(Kept::Row(row)) = self.kept.get_mut(hash) else {
            return None;
        };
        row.ttl = ttl.unwrap_or(row.ttl);
        row.expires_at = end(now, row.ttl, row.ends_at);
        let (row, ends) = (row.clone(), row.expires_at);
        // A shorter time needs an earlier place; the later one is skipped.
        self.expiries.push(Reverse((ends, hash.clone())));
        self.trim();
        Some(row)
    }

    /// Leaves a tombstone also where nothing was, as long as there is room for one.
    pub(crate) fn destroy(&mut self, hash: &Hash, now: u64) -> Destroyed {
        self.sweep(now);
        let row = match self.kept.get(hash) {
            Some(Kept::Row(row)) => Some(row.user.clone()),
            _ => None,
        };
        if row.is_some() || self.bytes + OVERHEAD <= self.max_bytes {
            // Smaller than the row before, or there is room.
            self.place(hash, Kept::Tombstone(now.saturating_add(TOMBSTONE_MS)));
        }
        Destroyed { existed: row.is_some(), user: row.flatten() }
    }

    pub(crate) fn list(&mut self, user: &str, now: u64) -> Vec<(Hash, Row)> {
        self.sweep(now);
        let hashes = self.users.get(user).into_iter().flatten();
        hashes
            .filter_map(|hash| match self.kept.get(hash) {
                Some(Kept::Row(row)) => Some((hash.clone(), row.clone())),
                _ => None,
            })
            .collect()
    }

    /// Destroys all sessions of a user; how many there were.
    pub(crate) fn revoke_all(&mut self, user: &str, now: u64) -> usize {
        let listed = self.list(user, now);
        listed.iter().filter(|(hash, _)| self.destroy(hash, now).existed).count()
    }

    /// One step: what was destroyed meanwhile does not live on under the new id.
    pub(crate) fn regenerate(
        &mut self,
        old: &Hash,
        new: &Hash,
        now: u64,
    ) -> Result<Result<Row, Refusal>, RedisServiceError> {
        let Some(row) = self.read(old, false, now) else {
            return Ok(Err(Refusal::Gone));
        };
        let written = self.write(new, Mode::New, NewRow::successor_of(&row), now)?;
        if written.is_ok() {
            self.destroy(old, now);
        }
        Ok(written)
    }

    fn keep(&mut self, hash: &Hash, kept: Kept) -> Result<(), RedisServiceError> {
        let freed = self.kept.get(hash).map_or(0, Kept::bytes);
        if self.bytes - freed + kept.bytes() > self.max_bytes {
            return Err(RedisServiceError::Storage {
                message: format!(
                    "all {} bytes of fallback.maxBytes hold live sessions of this process; raise it, or give redis-service a url",
                    self.max_bytes
                ),
            });
        }
        self.place(hash, kept);
        Ok(())
    }

    fn place(&mut self, hash: &Hash, kept: Kept) {
        self.forget(hash);
        if let Kept::Row(Row { user: Some(user), .. }) = &kept {
            self.users.entry(user.clone()).or_default().insert(hash.clone());
        }
        self.bytes += kept.bytes();
        self.expiries.push(Reverse((kept.ends(), hash.clone())));
        self.kept.insert(hash.clone(), kept);
        self.trim();
    }

    fn forget(&mut self, hash: &Hash) {
        let Some(kept) = self.kept.remove(hash) else {
            return;
        };
        self.bytes -= kept.bytes();
        if let Kept::Row(Row { user: Some(user), .. }) = kept
            && let Some(hashes) = self.users.get_mut(&user)
        {
            hashes.remove(hash);
            if hashes.is_empty() {
                self.users.remove(&user);
            }
        }
    }

    /// Forgets what has expired.
    fn sweep(&mut self, now: u64) {
        while let Some(Reverse((due, _))) = self.expiries.peek()
            && *due <= now
            && let Some(Reverse((_, hash))) = self.expiries.pop()
        {
            match self.kept.get(&hash).map(Kept::ends) {
                Some(ends) if ends <= now => self.forget(&hash),
                // It was given more time.
                Some(ends) => self.expiries.push(Reverse((ends, hash))),
                None => {}
            }
        }
    }

    /// Keeps stale places from growing beyond what is kept.
    fn trim(&mut self) {
        if self.expiries.len() > 2 * self.kept.len() + 64 {
            self.expiries =
                self.kept.iter().map(|(hash, kept)| Reverse((kept.ends(), hash.clone()))).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(user: Option<&str>, ttl: u64) -> NewRow {
        NewRow {
            data: Bytes::from_static(b"{}"),
            user: user.map(str::to_owned),
            ttl,
            rolling: false,
            absolute_ttl: None,
            ends_at: 0,
            created_at: None,
        }
    }

    #[test]
    fn a_full_table_refuses_until_something_expires() {
        let mut memory = Memory::new(10 * (OVERHEAD + 2));
        let mut write = |n: u64, now: u64| memory.write(&Hash::of(&n.to_string()), Mode::New, row(None, 100), now);
        for n in 0..10 {
            write(n, n).unwrap().unwrap();
        }
        assert!(matches!(write(10, 99), Err(RedisServiceError::Storage { .. })));
        assert!(write(10, 100).unwrap().is_ok(), "the first has expired");
        assert!(write(11, 100).is_err());
    }

    #[test]
    fn what_expired_leaves_nothing_behind() {
        let mut memory = Memory::new(1 << 20);
        for n in 0..100_u64 {
            let hash = Hash::of(&n.to_string());
            memory.write(&hash, Mode::New, row(Some("u"), 10), n).unwrap().unwrap();
            memory.touch(&hash, Some(5), n);
            memory.destroy(&Hash::of("never"), n);
        }
        assert!(memory.expiries.len() <= 2 * memory.kept.len() + 64);
        memory.sweep(u64::MAX);
        assert_eq!((memory.bytes, memory.kept.len(), memory.users.len(), memory.expiries.len()), (0, 0, 0, 0));
    }
}
