//! Where the sessions of a service are, and which way a call goes: to Redis, to the journal, or to memory.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::clock::Clock;
use super::id::hex;
use super::journal::Journal;
use super::known::Known;
use super::memory::Memory;
use super::offline::{Offline, unavailable};
use super::online::Online;
use super::redis::Table;
use crate::envelope::{CacheValue, Compression, Decoded, Decoder, Encoder};
use crate::error::RedisServiceError;
use crate::options::Options;
use crate::service::Tier;
use crate::status::Mode;
use crate::tier::RedisTier;

/// Until a replay that Redis has refused is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// See the module.
pub(crate) struct Store {
    pub(crate) place: Place,
    encoder: Encoder,
    decoder: Decoder,
    clock: Clock,
    /// Ends the task that replays.
    stop: CancellationToken,
    tasks: TaskTracker,
}

pub(crate) enum Place {
    Memory(Mutex<Memory>),
    Redis { online: Arc<Online>, offline: Option<Arc<Offline>> },
}

/// Where a call goes.
pub(crate) enum Way<'a> {
    Memory(&'a Mutex<Memory>),
    /// With what is to be remembered for an outage, if anything is.
    Redis(&'a Online, Option<&'a Known>),
    Journal(&'a Offline),
}

impl Store {
    /// Opens the journal, if there is to be one. Blocks; wants a tokio runtime.
    pub(crate) fn open(options: &Options, tier: &Tier) -> Result<Self, RedisServiceError> {
        let encoder = Encoder::new(options.enable_compression.then(Compression::default))
            .map_err(|error| RedisServiceError::Internal { message: error.to_string() })?;
        let (clock, stop, tasks) = (Clock::start(), CancellationToken::new(), TaskTracker::new());
        let place = match tier {
            Tier::Embedded(_) => Place::Memory(Mutex::new(Memory::new(options.fallback_max_bytes))),
            Tier::Redis(tier) => {
                let online = Arc::new(Online::new(Table { tier: Arc::clone(tier) }));
                let offline = match options.replay_writes {
                    false => None,
                    true => Some(Arc::new(open_journal(options, clock.now())?)),
                };
                if let Some(offline) = &offline {
                    let wake = Arc::clone(&offline.wake);
                    tier.board.listen(Arc::new(move |_| wake.notify_one()));
                    let replaying = replay_when_possible(Arc::clone(&online), Arc::clone(offline), clock);
                    let stopped = stop.clone().cancelled_owned();
                    tasks.spawn(async move {
                        tokio::select! {
                            () = stopped => {}
                            () = replaying => {}
                        }
                    });
                }
                Place::Redis { online, offline }
            }
        };
        tasks.close();
        Ok(Self { place, encoder, decoder: Decoder::default(), clock, stop, tasks })
    }

    /// Ms since 1970.
    pub(crate) fn now(&self) -> u64 {
        self.clock.now()
    }

    /// Session writes that are not in Redis yet.
    pub(crate) fn pending(&self) -> usize {
        match &self.place {
            Place::Redis { offline: Some(offline), .. } => offline.pending(),
            _ => 0,
        }
    }

    /// Which way a call goes now. Redis is asked only when all that was taken without it is there.
    pub(crate) async fn way(&self) -> Result<Way<'_>, RedisServiceError> {
        if self.stop.is_cancelled() {
            return Err(RedisServiceError::Closed);
        }
        match &self.place {
            Place::Memory(memory) => Ok(Way::Memory(memory)),
            Place::Redis { online, offline: None } => Ok(Way::Redis(online, None)),
            Place::Redis { online, offline: Some(offline) } => {
                let is_back = || mode(&online.table.tier) == Mode::Redis;
                if is_back()
                    && offline.pending() > 0
                    && let Err(error) = offline.replay(&online.table, || self.now()).await
                    && is_back()
                {
                    return Err(error);
                }
                if is_back() && offline.pending() == 0 {
                    Ok(Way::Redis(online, Some(&offline.known)))
                } else {
                    Ok(Way::Journal(offline))
                }
            }
        }
    }

    /// Data as it is stored.
    pub(crate) fn encode(&self, data: &[u8]) -> Result<Bytes, RedisServiceError> {
        let wrong = |got: String| RedisServiceError::invalid("data", "a JSON object", got);
        serde_json::from_slice::<serde::de::IgnoredAny>(data).map_err(|error| wrong(error.to_string()))?;
        if !data.trim_ascii_start().starts_with(b"{") {
            return Err(wrong("other JSON".to_owned()));
        }
        let encoded = self.encoder.encode(&CacheValue::Json(Bytes::copy_from_slice(data)));
        encoded.map(|encoded| encoded.bytes).map_err(|error| wrong(error.to_string()))
    }

    /// The JSON, also where another program wrote it as plain text.
    pub(crate) fn decode(&self, stored: &Bytes) -> Result<Bytes, RedisServiceError> {
        match self.decoder.decode(stored) {
            Decoded::Value(CacheValue::Json(data)) | Decoded::Foreign(CacheValue::Text(data)) => Ok(data),
            Decoded::Unknown => Err(RedisServiceError::Unsupported {
                message: "a newer version has written this session; update this program".to_owned(),
            }),
            _ => Err(RedisServiceError::Conflict {
                key: "the session".to_owned(),
                message: "its data cannot be read; destroy() it".to_owned(),
            }),
        }
    }

    /// That a call cannot be done without Redis.
    pub(crate) fn needs_redis(&self, operation: &'static str) -> RedisServiceError {
        let reason = match &self.place {
            Place::Redis { online, .. } => online.table.tier.board.last_error(),
            Place::Memory(_) => None,
        };
        unavailable(operation, reason.unwrap_or_else(|| "it is not connected yet".to_owned()))
    }

    /// Ends the task that replays. What it was about to do is in the journal.
    pub(crate) async fn close(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn mode(tier: &RedisTier) -> Mode {
    tier.board.mode()
}

/// Brings the journal to Redis as soon as that is back, so that other processes see it.
async fn replay_when_possible(online: Arc<Online>, offline: Arc<Offline>, clock: Clock) {
    loop {
        while mode(&online.table.tier) == Mode::Redis && offline.pending() > 0 {
            if let Err(error) = offline.replay(&online.table, || clock.now()).await {
                tracing::warn!(%error, pending = offline.pending(), "session writes could not be replayed yet");
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
        offline.wake.notified().await;
    }
}

fn open_journal(options: &Options, now: u64) -> Result<Offline, RedisServiceError> {
    let wrong = |message: String| RedisServiceError::config("journalDir", message);
    let folder = match &options.journal_dir {
        Some(folder) => folder.clone(),
        None => default_folder().ok_or_else(|| {
            wrong(
                "replayWrites needs a folder for its journal: set journalDir, XDG_STATE_HOME or HOME"
                    .to_owned(),
            )
        })?,
    };
    // Which Redis it is for, without giving the password away in the name of a file.
    let whose = [options.url.as_deref().unwrap_or_default(), "\0", &options.key_prefix].concat();
    let purpose = &hex(&Sha256::digest(whose.as_bytes()))[..16];
    let (journal, backlog) = Journal::open(&folder, purpose, options.max_replay, now)
        .map_err(|error| wrong(format!("{}: {error}", folder.display())))?;
    Ok(Offline {
        journal,
        backlog: Mutex::new(backlog),
        known: Known::default(),
        replaying: tokio::sync::Mutex::default(),
        wake: Arc::new(Notify::new()),
        conflicts: std::sync::atomic::AtomicU64::new(0),
    })
}

fn default_folder() -> Option<PathBuf> {
    let state = match std::env::var_os("XDG_STATE_HOME").filter(|state| !state.is_empty()) {
        Some(state) => PathBuf::from(state),
        None => PathBuf::from(std::env::var_os("HOME").filter(|home| !home.is_empty())?).join(".local/state"),
    };
    Some(state.join("uat").join("redis-journal"))
}
