//! Sessions: data that belongs to an id which only its owner has.
//!
//! Sessions are no cache. While Redis is away every call is refused, unless `replay_writes` is set: then some writes are
//! taken into a [journal] on disk and brought to Redis later. Only the SHA-256 of an id is stored. A destroyed session
//! leaves a tombstone, on which late writes fail.

mod clock;
mod id;
mod journal;
mod known;
mod memory;
mod offline;
mod online;
mod redis;
mod replay;
mod row;
mod scripts;
mod store;

use std::time::Duration;

use bytes::Bytes;

use self::id::{Hash, is_handle, new_id};
use self::offline::not_found;
use self::online::refused;
use self::redis::Call;
use self::row::{Mode, NewRow, Row};
pub(crate) use self::store::Store;
use self::store::{Place, Way};
use crate::error::RedisServiceError;
use crate::service::RedisService;

/// Bytes of an id or the name of a user, at most: what keys may have.
const MAX_NAME: usize = 1024;

/// The longest time to live, ms: far beyond every life, and numbers stay exact in Lua.
const MAX_TTL_MS: u64 = 1 << 52;

/// How a session is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateOptions {
    /// By whom [`Sessions::list_for_user`] and [`Sessions::revoke_all`] find it.
    pub user_id: Option<String>,
    /// How long it lives; by default a day, as most web frameworks have it.
    pub ttl: Duration,
    /// Whether each read and write gives it the whole time again.
    pub rolling: bool,
    /// How long it lives at most, however often it is used.
    pub absolute_ttl: Option<Duration>,
}

impl Default for CreateOptions {
    fn default() -> Self {
        Self { user_id: None, ttl: Duration::from_secs(86_400), rolling: false, absolute_ttl: None }
    }
}

/// A session, as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Whoever has it has the session.
    pub id: String,
    /// Whose it is.
    pub user_id: Option<String>,
    /// A JSON object.
    pub data: Bytes,
    /// In ms since 1970.
    pub created_at_ms: u64,
    /// In ms since 1970.
    pub expires_at_ms: u64,
}

/// A session, as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionInfo {
    /// What [`Sessions::destroy`] takes in place of the id, which nobody but the owner knows.
    pub handle: String,
    /// Whose it is.
    pub user_id: Option<String>,
    /// A JSON object.
    pub data: Bytes,
    /// In ms since 1970.
    pub created_at_ms: u64,
    /// In ms since 1970.
    pub expires_at_ms: u64,
}

/// The sessions of a service.
///
/// Every method fails with [`RedisServiceError::Unavailable`] while Redis is away, unless it says otherwise, and with
/// [`RedisServiceError::InvalidInput`] for an empty or overlong name, a time to live of zero, or data that is no JSON
/// object.
#[derive(Clone, Copy)]
pub struct Sessions<'a> {
    store: &'a Store,
}

impl RedisService {
    /// The sessions of this service.
    pub fn sessions(&self) -> Sessions<'_> {
        Sessions { store: &self.sessions }
    }
}

impl Sessions<'_> {
    /// Makes a session with a new id. Taken into the journal while Redis is away.
    ///
    /// # Errors
    /// [`RedisServiceError::Conflict`] if [`Sessions::revoke_all`] came in between.
    pub async fn create(&self, data: &[u8], options: CreateOptions) -> Result<Session, RedisServiceError> {
        let new = self.new_row(data, options)?;
        let id = new_id()?;
        let row = self.write(&id, Mode::New, new).await?;
        self.session(id, row)
    }

    /// Makes or replaces the session of an id that the caller has chosen. Taken into the journal while Redis is away; a
    /// session that this process has not seen is then taken for a new one.
    ///
    /// # Errors
    /// [`RedisServiceError::Conflict`] if the session was destroyed.
    pub async fn put(
        &self,
        id: &str,
        data: &[u8],
        options: CreateOptions,
    ) -> Result<Session, RedisServiceError> {
        check_name("id", id)?;
        if is_handle(id) {
            return Err(RedisServiceError::invalid(
                "id",
                "an id that does not look like a handle",
                "a handle",
            ));
        }
        let new = self.new_row(data, options)?;
        let row = self.write(id, Mode::Upsert, new).await?;
        self.session(id.to_owned(), row)
    }

    /// The session, if there is one. While Redis is away only those are known that were written since.
    ///
    /// # Errors
    /// [`RedisServiceError::Conflict`] or [`RedisServiceError::Unsupported`] if its data cannot be read.
    pub async fn get(&self, id: &str) -> Result<Option<Session>, RedisServiceError> {
        check_name("id", id)?;
        let hash = Hash::of(id);
        let row = match self.store.way().await? {
            Way::Memory(memory) => memory.lock().read(&hash, true, self.store.now()),
            Way::Redis(online, known) => online.get(known, &hash).await?,
            Way::Journal(offline) => offline.get(&hash, self.store.now()).await?,
        };
        row.map(|row| self.session(id.to_owned(), row)).transpose()
    }

    /// Replaces the data. Taken into the journal while Redis is away, if this process has seen the session.
    ///
    /// # Errors
    /// [`RedisServiceError::NotFound`] if it was destroyed, has expired, or never was.
    pub async fn update(&self, id: &str, data: &[u8]) -> Result<Session, RedisServiceError> {
        check_name("id", id)?;
        let data = self.store.encode(data)?;
        let hash = Hash::of(id);
        let row = match self.store.way().await? {
            Way::Memory(memory) => {
                memory.lock().update(&hash, data, self.store.now())?.map_err(|_| not_found())?
            }
            Way::Redis(online, known) => online.update(known, &hash, &data).await?,
            Way::Journal(offline) => offline.update(&hash, data, self.store.now()).await?,
        };
        self.session(id.to_owned(), row)
    }

    /// Gives the session a new id, so that whoever had slipped its user the old one has nothing. Taken into the journal
    /// while Redis is away, if this process has seen the session.
    ///
    /// # Errors
    /// [`RedisServiceError::NotFound`] if it was destroyed, has expired, or never was.
    pub async fn regenerate(&self, id: &str) -> Result<Session, RedisServiceError> {
        check_name("id", id)?;
        let new = new_id()?;
        let (from, to) = (Hash::of(id), Hash::of(&new));
        let row = match self.store.way().await? {
            Way::Memory(memory) => {
                memory.lock().regenerate(&from, &to, self.store.now())?.map_err(refused)?
            }
            Way::Redis(online, known) => online.regenerate(known, &from, &to).await?,
            Way::Journal(offline) => offline.regenerate(&from, &to, self.store.now()).await?,
        };
        self.session(new, row)
    }

    /// Ends a session, by its id or its handle; whether there was one. Taken into the journal while Redis is away; then
    /// a session that this process has not seen counts as one that was.
    ///
    /// # Errors
    /// None but those of all methods.
    pub async fn destroy(&self, id_or_handle: &str) -> Result<bool, RedisServiceError> {
        check_name("idOrHandle", id_or_handle)?;
        let hash = Hash::of_id_or_handle(id_or_handle);
        match self.store.way().await? {
            Way::Memory(memory) => Ok(memory.lock().destroy(&hash, self.store.now()).existed),
            Way::Redis(online, known) => online.destroy(Call("destroy"), known, &hash).await,
            Way::Journal(offline) => offline.destroy(&hash, self.store.now()).await,
        }
    }

    /// Gives a session its whole time to live again, or another one; whether there is one.
    ///
    /// # Errors
    /// None but those of all methods; the journal does not take it.
    pub async fn touch(&self, id: &str, ttl: Option<Duration>) -> Result<bool, RedisServiceError> {
        check_name("id", id)?;
        let ttl = ttl.map(|ttl| check_ttl("ttl", ttl)).transpose()?;
        let hash = Hash::of(id);
        let row = match self.store.way().await? {
            Way::Memory(memory) => memory.lock().touch(&hash, ttl, self.store.now()),
            Way::Redis(online, _) => online.touch(&hash, ttl).await?,
            Way::Journal(_) => return Err(self.store.needs_redis("touch")),
        };
        Ok(row.is_some())
    }

    /// The sessions of a user, in no order.
    ///
    /// # Errors
    /// None but those of all methods; the journal is not asked.
    pub async fn list_for_user(&self, user_id: &str) -> Result<Vec<SessionInfo>, RedisServiceError> {
        check_name("userId", user_id)?;
        let rows = match self.store.way().await? {
            Way::Memory(memory) => memory.lock().list(user_id, self.store.now()),
            Way::Redis(online, _) => online.list_for_user(user_id).await?,
            Way::Journal(_) => return Err(self.store.needs_redis("list_for_user")),
        };
        let infos = rows.into_iter().map(|(hash, row)| {
            let Session { user_id, data, created_at_ms, expires_at_ms, .. } =
                self.session(String::new(), row)?;
            Ok(SessionInfo { handle: hash.handle(), user_id, data, created_at_ms, expires_at_ms })
        });
        infos.collect()
    }

    /// Ends all sessions of a user; how many there were. When it returns none lives that was made before it was called.
    ///
    /// # Errors
    /// None but those of all methods; the journal does not take it.
    pub async fn revoke_all(&self, user_id: &str) -> Result<usize, RedisServiceError> {
        check_name("userId", user_id)?;
        match self.store.way().await? {
            Way::Memory(memory) => Ok(memory.lock().revoke_all(user_id, self.store.now())),
            Way::Redis(online, known) => online.revoke_all(known, user_id).await,
            Way::Journal(_) => Err(self.store.needs_redis("revoke_all")),
        }
    }

    /// Writes of the time without Redis that were dropped, since the start, because somebody else had written or
    /// destroyed the session since.
    pub fn replay_conflicts(&self) -> u64 {
        match &self.store.place {
            Place::Redis { offline: Some(offline), .. } => {
                offline.conflicts.load(std::sync::atomic::Ordering::Relaxed)
            }
            _ => 0,
        }
    }

    async fn write(&self, id: &str, mode: Mode, new: NewRow) -> Result<Row, RedisServiceError> {
        let hash = Hash::of(id);
        match self.store.way().await? {
            Way::Memory(memory) => memory.lock().write(&hash, mode, new, self.store.now())?.map_err(refused),
            Way::Redis(online, known) => {
                let call = Call(if mode == Mode::New { "create" } else { "put" });
                online.write(call, known, &hash, mode, &new).await
            }
            Way::Journal(offline) => match mode {
                Mode::New => offline.create(&hash, new, self.store.now()).await,
                Mode::Upsert => offline.put(&hash, new, self.store.now()).await,
            },
        }
    }

    fn new_row(&self, data: &[u8], options: CreateOptions) -> Result<NewRow, RedisServiceError> {
        let CreateOptions { user_id, ttl, rolling, absolute_ttl } = options;
        if let Some(user) = &user_id {
            check_name("options.userId", user)?;
        }
        Ok(NewRow {
            data: self.store.encode(data)?,
            user: user_id,
            ttl: check_ttl("options.ttl", ttl)?,
            rolling,
            absolute_ttl: absolute_ttl.map(|ttl| check_ttl("options.absoluteTtl", ttl)).transpose()?,
            ends_at: 0,
            created_at: None,
        })
    }

    fn session(&self, id: String, row: Row) -> Result<Session, RedisServiceError> {
        Ok(Session {
            id,
            user_id: row.user,
            data: self.store.decode(&row.data)?,
            created_at_ms: row.created_at,
            expires_at_ms: row.expires_at,
        })
    }
}

fn check_name(field: &str, name: &str) -> Result<(), RedisServiceError> {
    if name.is_empty() || name.len() > MAX_NAME {
        let got = format!("{} bytes", name.len());
        return Err(RedisServiceError::invalid(field, format!("1 to {MAX_NAME} bytes"), got));
    }
    Ok(())
}

/// In ms.
fn check_ttl(field: &str, ttl: Duration) -> Result<u64, RedisServiceError> {
    match u64::try_from(ttl.as_millis()) {
        Ok(ms) if (1..=MAX_TTL_MS).contains(&ms) => Ok(ms),
        _ => {
            let expected = format!("1 to {MAX_TTL_MS} ms");
            Err(RedisServiceError::invalid(field, expected, format!("{ttl:?}")))
        }
    }
}
