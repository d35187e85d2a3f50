//! What sessions do while Redis is away, if their writes may be replayed: decide upon what the journal and the memory of
//! this process know, refuse the rest, and acknowledge what is on disk.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::id::Hash;
use super::journal::record::{Effect, OfflineRow, Time};
use super::journal::{Chain, Chains, Journal, Refused};
use super::known::Known;
use super::row::{NewRow, Row};
use crate::error::RedisServiceError;

/// The journal and what belongs to it.
///
/// A session that the journal takes is no longer known from Redis: its version there is what the replay will make.
pub(crate) struct Offline {
    pub(crate) journal: Arc<Journal>,
    /// What other processes have left; to be replayed first.
    pub(crate) backlog: Mutex<Vec<Arc<Journal>>>,
    pub(crate) known: Known,
    /// Held by whoever replays.
    pub(crate) replaying: tokio::sync::Mutex<()>,
    /// Tells the task that replays that there is something to do.
    pub(crate) wake: Arc<Notify>,
    /// Writes that were not replayed because somebody else had written.
    pub(crate) conflicts: AtomicU64,
}

type Decision<T> = Result<(Vec<Effect>, T), Not>;

/// Why a call has no answer.
enum Not {
    Refused(Refused),
    Error(RedisServiceError),
}

impl From<Refused> for Not {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<RedisServiceError> for Not {
    fn from(error: RedisServiceError) -> Self {
        Self::Error(error)
    }
}

impl Offline {
    /// Writes that are not in Redis yet.
    pub(crate) fn pending(&self) -> usize {
        self.journal.entries() + self.backlog.lock().iter().map(|journal| journal.entries()).sum::<usize>()
    }

    pub(crate) async fn create(&self, hash: &Hash, new: NewRow, now: u64) -> Result<Row, RedisServiceError> {
        self.take("create", now, |_| {
            let row = whole(new, now, Time::Here(now), None);
            Ok((vec![effect(hash, None, Some(row.clone()))], seen(&row)))
        })
        .await
    }

    /// A session that this process does not know is taken for one that does not exist.
    pub(crate) async fn put(&self, hash: &Hash, new: NewRow, now: u64) -> Result<Row, RedisServiceError> {
        self.take("put", now, |chains| {
            let known = self.known.get(hash);
            let created = match (chains.get(hash), &known) {
                (Some(Chain { row: None, .. }), _) => return Err(was_destroyed().into()),
                (Some(Chain { row: Some(row), .. }), _) if row.expires_at > now => row.created,
                (None, Some(row)) => Time::Redis(row.created_at),
                _ => Time::Here(now),
            };
            let mut row = whole(new, now, created, None);
            // A session that was regenerated stays so.
            row.from = chains.get(hash).and_then(|chain| chain.from.clone());
            self.known.writes(hash);
            Ok((vec![effect(hash, known.map(|row| row.version), Some(row.clone()))], seen(&row)))
        })
        .await
    }

    pub(crate) async fn update(&self, hash: &Hash, data: Bytes, now: u64) -> Result<Row, RedisServiceError> {
        self.take("update", now, |chains| {
            let (base, before) = self.before("update", chains, hash, now)?;
            let mut row = OfflineRow { data, ..before };
            if row.rolling {
                row.expires_at = end(now, row.ttl, row.ends);
            }
            self.known.writes(hash);
            Ok((vec![effect(hash, base, Some(row.clone()))], seen(&row)))
        })
        .await
    }

    pub(crate) async fn regenerate(
        &self,
        old: &Hash,
        new: &Hash,
        now: u64,
    ) -> Result<Row, RedisServiceError> {
        self.take("regenerate", now, |chains| {
            let (base, before) = self.before("regenerate", chains, old, now)?;
            let row = OfflineRow {
                expires_at: end(now, before.ttl, before.ends),
                whole: true,
                from: Some(old.clone()),
                ..before
            };
            self.known.writes(old);
            Ok((vec![effect(new, None, Some(row.clone())), effect(old, base, None)], seen(&row)))
        })
        .await
    }

    /// Whether it existed, as far as this process knows: a session that it does not know is taken for one that did.
    pub(crate) async fn destroy(&self, hash: &Hash, now: u64) -> Result<bool, RedisServiceError> {
        self.take("destroy", now, |chains| {
            let known = self.known.get(hash);
            let existed = match (chains.get(hash), &known) {
                (Some(chain), _) => chain.row.as_ref().is_some_and(|row| row.expires_at > now),
                (None, Some(row)) => row.expires_at > now,
                (None, None) => true,
            };
            let base = known.map(|row| row.version);
            let is_new = chains.get(hash).is_none_or(|chain| chain.row.is_some());
            self.known.writes(hash);
            Ok((is_new.then(|| effect(hash, base, None)).into_iter().collect(), existed))
        })
        .await
    }

    /// Only what the journal holds is answered; Redis may know better of the others.
    pub(crate) async fn get(&self, hash: &Hash, now: u64) -> Result<Option<Row>, RedisServiceError> {
        self.take("get", now, |chains| match chains.get(hash) {
            None => Err(unknown("get").into()),
            Some(chain) => Ok((Vec::new(), chain.row.as_ref().filter(|row| row.expires_at > now).map(seen))),
        })
        .await
    }

    /// The session to build upon, and its version in Redis.
    fn before(
        &self,
        operation: &'static str,
        chains: &Chains,
        hash: &Hash,
        now: u64,
    ) -> Result<(Option<u64>, OfflineRow), RedisServiceError> {
        let known = self.known.get(hash);
        let base = known.as_ref().map(|row| row.version);
        let row = match chains.get(hash) {
            Some(chain) => chain.row.clone().ok_or_else(not_found)?,
            None => known.map(of_redis).ok_or_else(|| unknown(operation))?,
        };
        if row.expires_at <= now {
            return Err(not_found());
        }
        Ok((base, row))
    }

    async fn take<T>(
        &self,
        operation: &'static str,
        now: u64,
        decide: impl FnOnce(&Chains) -> Decision<T>,
    ) -> Result<T, RedisServiceError> {
        let taken = match self.journal.accept(now, decide) {
            // What was read is only told when it is on disk, too.
            Ok((number, answer)) => self.journal.durable(number).await.map(|()| answer).map_err(Not::from),
            Err(not) => Err(not),
        };
        // Redis may have come back meanwhile.
        self.wake.notify_one();
        taken.map_err(|not| match not {
            Not::Error(error) => error,
            Not::Refused(Refused::Full) => unavailable(
                operation,
                "Redis is away, and the journal is full (fallback.maxReplay, or 64 MiB)".to_owned(),
            ),
            Not::Refused(Refused::Disk(error)) => {
                unavailable(operation, format!("Redis is away, and the journal took no write: {error}"))
            }
        })
    }
}

fn effect(hash: &Hash, base: Option<u64>, row: Option<OfflineRow>) -> Effect {
    Effect { hash: hash.clone(), base, row }
}

/// All of a session that is written now.
fn whole(new: NewRow, now: u64, created: Time, from: Option<Hash>) -> OfflineRow {
    let ends = match (new.absolute_ttl, new.ends_at) {
        (Some(ttl), _) => Some(Time::Here(now.saturating_add(ttl))),
        (None, 0) => None,
        (None, at) => Some(Time::Redis(at)),
    };
    OfflineRow {
        expires_at: end(now, new.ttl, ends),
        data: new.data,
        user: new.user,
        ttl: new.ttl,
        rolling: new.rolling,
        created,
        ends,
        whole: true,
        from,
    }
}

/// What is known from Redis. Its clock counts as ours here; the replay goes by its own again.
fn of_redis(row: Row) -> OfflineRow {
    OfflineRow {
        data: row.data,
        user: row.user,
        ttl: row.ttl,
        rolling: row.rolling,
        created: Time::Redis(row.created_at),
        ends: (row.ends_at != 0).then_some(Time::Redis(row.ends_at)),
        expires_at: row.expires_at,
        whole: false,
        from: None,
    }
}

/// As the caller sees it. Its version is nobody's business until it is in Redis.
fn seen(row: &OfflineRow) -> Row {
    Row {
        version: 0,
        data: row.data.clone(),
        user: row.user.clone(),
        created_at: row.created.ms(),
        ttl: row.ttl,
        rolling: row.rolling,
        ends_at: row.ends.map_or(0, Time::ms),
        expires_at: row.expires_at,
    }
}

fn end(now: u64, ttl: u64, ends: Option<Time>) -> u64 {
    super::row::end(now, ttl, ends.map_or(0, Time::ms))
}

pub(crate) fn not_found() -> RedisServiceError {
    RedisServiceError::NotFound { what: "the session".to_owned() }
}

pub(crate) fn was_destroyed() -> RedisServiceError {
    RedisServiceError::Conflict {
        key: "the session".to_owned(),
        message: "it was destroyed, and its id is not used again; make a new one".to_owned(),
    }
}

fn unknown(operation: &'static str) -> RedisServiceError {
    unavailable(operation, "Redis is away, and this process does not know the session".to_owned())
}

pub(crate) fn unavailable(operation: &'static str, reason: String) -> RedisServiceError {
    RedisServiceError::Unavailable { operation: format!("sessions.{operation}"), reason }
}
