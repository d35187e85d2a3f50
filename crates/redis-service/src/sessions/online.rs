//! What sessions are over Redis: the list of each user, and which step comes first, so that neither a crash nor a race
//! leaves a session that `revoke_all` does not find.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use quick_cache::sync::Cache;

use super::id::Hash;
use super::known::{Known, Ticket};
use super::offline::{not_found, was_destroyed};
use super::redis::{Call, Table};
use super::row::{Mode, NewRow, Refusal, Row};
use crate::error::RedisServiceError;

/// A session that rolls on is listed anew when this has passed; lists outlive their sessions by a day.
const RELIST_AFTER: Duration = Duration::from_secs(600);

/// Rolling sessions whose listing is remembered; others are listed at each read, which costs one command more.
const RELISTED: usize = 16_384;

/// An id without a session is struck off a list when it was found so twice, this far apart: a session is listed before it is
/// written, and a write takes no longer than the timeouts of a few commands.
const STRIKE_AFTER: Duration = Duration::from_secs(60);

/// Ids that wait to be struck off, at most; more are found again later.
const STRIKES: usize = 4096;

/// Times that `revoke_all` reads the list again, since what it destroys may just have been regenerated. Each turn means
/// that somebody else made a session of the user meanwhile.
const REVOKE_TURNS: usize = 64;

/// See the module.
pub(crate) struct Online {
    pub(crate) table: Table,
    relisted: Cache<Hash, Instant>,
    /// When a listed id was first found without a session.
    strikes: Mutex<HashMap<Hash, Instant>>,
}

impl Online {
    pub(crate) fn new(table: Table) -> Self {
        Self { table, relisted: Cache::new(RELISTED), strikes: Mutex::default() }
    }

    pub(crate) async fn write(
        &self,
        call: Call,
        known: Option<&Known>,
        hash: &Hash,
        mode: Mode,
        new: &NewRow,
    ) -> Result<Row, RedisServiceError> {
        let ticket = known.map(|known| known.writes(hash));
        // For a crash after the write, and for `revoke_all`: it leaves a tombstone, on which the write fails.
        self.list(call, hash, new.user.as_deref(), new.ttl).await?;
        let row = self.table.write(call, hash, mode, new).await?.map_err(refused)?;
        // Another program may have struck it off before it was there.
        self.list(call, hash, new.user.as_deref(), new.ttl).await?;
        keep(known, hash, &row, ticket);
        Ok(row)
    }

    pub(crate) async fn update(
        &self,
        known: Option<&Known>,
        hash: &Hash,
        data: &Bytes,
    ) -> Result<Row, RedisServiceError> {
        let call = Call("update");
        let ticket = known.map(|known| known.writes(hash));
        let row = self.table.update(call, hash, data).await?.map_err(|_| not_found())?;
        self.relist(call, hash, &row).await?;
        keep(known, hash, &row, ticket);
        Ok(row)
    }

    pub(crate) async fn get(
        &self,
        known: Option<&Known>,
        hash: &Hash,
    ) -> Result<Option<Row>, RedisServiceError> {
        let call = Call("get");
        let ticket = known.map(|known| known.reads(hash));
        let row = self.table.read(call, hash, true).await?;
        if let Some(row) = &row {
            self.relist(call, hash, row).await?;
            keep(known, hash, row, ticket);
        }
        Ok(row)
    }

    pub(crate) async fn touch(
        &self,
        hash: &Hash,
        ttl: Option<u64>,
    ) -> Result<Option<Row>, RedisServiceError> {
        let call = Call("touch");
        let row = self.table.touch(call, hash, ttl).await?;
        if let Some(row) = &row {
            self.list(call, hash, row.user.as_deref(), row.ttl).await?;
        }
        Ok(row)
    }

    pub(crate) async fn regenerate(
        &self,
        known: Option<&Known>,
        old: &Hash,
        new: &Hash,
    ) -> Result<Row, RedisServiceError> {
        let call = Call("regenerate");
        let before = self.table.read(call, old, false).await?.ok_or_else(not_found)?;
        let row = self.write(call, known, new, Mode::New, &NewRow::successor_of(&before)).await?;
        if self.destroy(call, known, old).await? {
            return Ok(row);
        }
        // Somebody else ended it meanwhile: what was ended does not live on under a new id.
        self.destroy(call, known, new).await?;
        Err(not_found())
    }

    pub(crate) async fn destroy(
        &self,
        call: Call,
        known: Option<&Known>,
        hash: &Hash,
    ) -> Result<bool, RedisServiceError> {
        if let Some(known) = known {
            known.writes(hash);
        }
        let destroyed = self.table.destroy(call, hash).await?;
        if let Some(user) = &destroyed.user {
            self.table.unlist(call, user, std::slice::from_ref(hash)).await?;
        }
        Ok(destroyed.existed)
    }

    pub(crate) async fn list_for_user(&self, user: &str) -> Result<Vec<(Hash, Row)>, RedisServiceError> {
        let call = Call("list_for_user");
        let hashes = self.table.listed(call, user).await?;
        let rows = self.table.read_all(call, &hashes).await?;
        let (mut listed, mut gone) = (Vec::new(), Vec::new());
        for (hash, row) in hashes.into_iter().zip(rows) {
            match row {
                // Not one that has been given to another user since.
                Some(row) if row.user.as_deref() == Some(user) => listed.push((hash, row)),
                _ => gone.push(hash),
            }
        }
        let strike = self.strikes(gone, &listed, Instant::now());
        self.table.unlist(call, user, &strike).await?;
        Ok(listed)
    }

    pub(crate) async fn revoke_all(
        &self,
        known: Option<&Known>,
        user: &str,
    ) -> Result<usize, RedisServiceError> {
        let call = Call("revoke_all");
        let (mut count, mut seen) = (0, HashSet::new());
        for _ in 0..REVOKE_TURNS {
            let mut hashes = self.table.listed(call, user).await?;
            hashes.retain(|hash| seen.insert(hash.clone()));
            if hashes.is_empty() {
                return Ok(count);
            }
            let rows = self.table.read_all(call, &hashes).await?;
            // What is not there may be about to be written: it gets a tombstone. What is another user's stays.
            let hashes: Vec<Hash> = hashes
                .into_iter()
                .zip(rows)
                .filter(|(_, row)| row.as_ref().is_none_or(|row| row.user.as_deref() == Some(user)))
                .map(|(hash, _)| hash)
                .collect();
            for hash in &hashes {
                if let Some(known) = known {
                    known.writes(hash);
                }
            }
            let destroyed = self.table.destroy_all(call, &hashes).await?;
            count += destroyed.iter().filter(|destroyed| destroyed.existed).count();
            self.table.unlist(call, user, &hashes).await?;
        }
        Err(RedisServiceError::Overloaded {
            message: "revoke_all: new sessions of the user are made faster than they can be destroyed"
                .to_owned(),
        })
    }

    /// Those that may be struck off.
    fn strikes(&self, gone: Vec<Hash>, listed: &[(Hash, Row)], now: Instant) -> Vec<Hash> {
        let mut strikes = self.strikes.lock();
        for (hash, _) in listed {
            strikes.remove(hash);
        }
        let mut due = Vec::new();
        for hash in gone {
            match strikes.get(&hash) {
                Some(first) if now.duration_since(*first) >= STRIKE_AFTER => {
                    strikes.remove(&hash);
                    due.push(hash);
                }
                Some(_) => {}
                None if strikes.len() < STRIKES => {
                    strikes.insert(hash, now);
                }
                None => strikes.retain(|_, first| now.duration_since(*first) < 10 * STRIKE_AFTER),
            }
        }
        due
    }

    async fn relist(&self, call: Call, hash: &Hash, row: &Row) -> Result<(), RedisServiceError> {
        let is_due = || self.relisted.get(hash).is_none_or(|last| last.elapsed() >= RELIST_AFTER);
        if row.rolling && row.user.is_some() && is_due() {
            self.list(call, hash, row.user.as_deref(), row.ttl).await?;
        }
        Ok(())
    }

    async fn list(
        &self,
        call: Call,
        hash: &Hash,
        user: Option<&str>,
        ttl: u64,
    ) -> Result<(), RedisServiceError> {
        if let Some(user) = user {
            self.table.list(call, user, hash, ttl).await?;
            self.relisted.insert(hash.clone(), Instant::now());
        }
        Ok(())
    }
}

fn keep(known: Option<&Known>, hash: &Hash, row: &Row, ticket: Option<Ticket>) {
    if let (Some(known), Some(ticket)) = (known, ticket) {
        known.keep(hash, row, ticket);
    }
}

pub(crate) fn refused(refusal: Refusal) -> RedisServiceError {
    match refusal {
        Refusal::Gone => not_found(),
        Refusal::Destroyed => was_destroyed(),
        Refusal::Exists => RedisServiceError::Conflict {
            key: "the session".to_owned(),
            message: "there is one of this id already".to_owned(),
        },
    }
}
