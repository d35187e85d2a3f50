//! The service as Rust users and the Node addon see it: one set of operations over whichever tier there is.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::dedicated::Dedicated;
use crate::embedded::Embedded;
use crate::envelope::{Decoder, Dictionary, Encoder};
use crate::error::RedisServiceError;
use crate::flight::{ComputeError, Flights};
use crate::op::{Op, Origin, Reply};
use crate::options::Options;
use crate::pubsub::PubSub;
use crate::resp::{Command, Value};
use crate::sessions::Store;
use crate::status::{Mode, Status, now_ms};
use crate::tier::in_flight::{Done, Outcome};
use crate::tier::{RedisTier, Watcher};
use crate::values::Values;

/// A cache, sessions and pub/sub. Cheap to share; closing or dropping the last one ends its connections.
pub struct RedisService {
    /// Before the tier, whose connections its task uses.
    pub(crate) sessions: Store,
    pub(crate) pubsub: PubSub,
    /// None without Redis.
    pub(crate) dedicated: Option<Dedicated>,
    pub(crate) flights: Flights<Result<Bytes, ComputeError>>,
    pub(crate) tier: Tier,
    pub(crate) options: Options,
    pub(crate) values: Values,
    /// When it was made, in ms since 1970.
    since_ms: u64,
}

/// Who carries operations out.
#[derive(Clone)]
pub(crate) enum Tier {
    Redis(Arc<RedisTier>),
    Embedded(Arc<Embedded>),
}

impl RedisService {
    /// Sets the service up. A server that is away is no error: then the mode is [`Mode::Fallback`] until it is there.
    ///
    /// `watcher` is for values that are kept outside the core; with one, the near tier of the core stays off.
    ///
    /// # Errors
    /// [`RedisServiceError::Config`] for a wrong option, an address that cannot be read, or an unknown host, [`RedisServiceError::Unauthorized`] for a
    /// refused login: waiting mends neither.
    pub async fn connect(
        options: Options,
        watcher: Option<Arc<dyn Watcher>>,
    ) -> Result<Self, RedisServiceError> {
        let options = options.with_url()?;
        let compression = options.enable_compression.then(|| options.compression()).transpose()?;
        // What was written with the caller's dictionary is read also where compression is off.
        let dictionary = options.dictionary.as_deref().map(Dictionary::new).transpose()?;
        let decoder = Decoder::new(dictionary);
        let values = Values::new(Encoder::new(compression)?, decoder.clone());
        let tier = match options.address()? {
            None => Tier::Embedded(Arc::new(Embedded::new(options.fallback_max_bytes))),
            Some(address) => {
                let tier = RedisTier::new(options.clone(), address, decoder, watcher)?;
                let connecting = Arc::clone(&tier);
                // Names and handshakes block.
                tokio::task::spawn_blocking(move || connecting.connect_first())
                    .await
                    .map_err(|error| RedisServiceError::Internal { message: error.to_string() })??;
                Tier::Redis(tier)
            }
        };
        let (of, over) = (options.clone(), tier.clone());
        // A journal is read from disk.
        let sessions = tokio::task::spawn_blocking(move || Store::open(&of, &over))
            .await
            .map_err(|error| RedisServiceError::Internal { message: error.to_string() })??;
        let dedicated = match &tier {
            Tier::Redis(tier) => Some(Dedicated::new(Arc::clone(tier))),
            Tier::Embedded(_) => None,
        };
        Ok(Self {
            pubsub: PubSub::new(&tier),
            dedicated,
            flights: Flights::default(),
            sessions,
            tier,
            options,
            values,
            since_ms: now_ms(),
        })
    }

    /// Starts operations, in order. Each answers through its [`Done`], some before this returns.
    pub fn start(&self, batch: impl IntoIterator<Item = (Op, Done)>) {
        match &self.tier {
            Tier::Redis(tier) => tier.start(batch),
            Tier::Embedded(embedded) => {
                for (op, done) in batch {
                    done.answer(&op, embedded.apply(&op, Instant::now()));
                }
            }
        }
    }

    /// Waits a few microseconds for the answers of what was just started, where a server nearby is likely to give them: for callers
    /// whose thread cannot do anything else meanwhile, and is woken at some cost.
    pub fn read_soon(&self) {
        if let Tier::Redis(tier) = &self.tier {
            tier.read_soon();
        }
    }

    /// One operation, near values first.
    pub async fn run(&self, op: Op) -> Outcome {
        if let Some(outcome) = self.near_outcome(&op) {
            return outcome;
        }
        let (sender, receiver) = oneshot::channel();
        let done = Done::Call(Box::new(move |outcome| {
            // Nobody waits where the caller was dropped.
            let _ = sender.send(outcome);
        }));
        self.start([(op, done)]);
        receiver.await.unwrap_or(Err(RedisServiceError::Closed))
    }

    /// What the near tier knows of an operation.
    pub(crate) fn near_outcome(&self, op: &Op) -> Option<Outcome> {
        let (Tier::Redis(tier), Op::Get { key, .. }) = (&self.tier, op) else {
            return None;
        };
        let now = Instant::now();
        let (stored, expires) = tier.near.as_ref()?.get(key, now)?;
        self.values.tally.near_hit();
        let ttl = expires.map(|expires| expires.saturating_duration_since(now));
        Some(Ok(Reply::Stored { stored: Some(stored), ttl, origin: Origin::Redis }))
    }

    /// Any command, as it is.
    pub async fn call(&self, command: Command) -> Result<Value, RedisServiceError> {
        match self.run(Op::Raw(command)).await? {
            Reply::Raw(value) => Ok(value),
            other => {
                Err(RedisServiceError::Internal { message: format!("a command was answered with {other:?}") })
            }
        }
    }

    /// Where the service stands.
    pub fn status(&self) -> Status {
        match &self.tier {
            Tier::Redis(tier) => tier.board.status(tier.aside.lock().len() + self.sessions.pending()),
            Tier::Embedded(_) => {
                Status { mode: Mode::Embedded, since_ms: self.since_ms, pending_replays: 0, last_error: None }
            }
        }
    }

    /// Calls `listener` with each mode that begins, on whatever thread finds out. Must not block.
    pub fn on_mode(&self, listener: impl Fn(Status) + Send + Sync + 'static) {
        if let Tier::Redis(tier) = &self.tier {
            tier.board.listen(Arc::new(listener));
        }
    }

    /// The key as Redis knows it.
    pub fn prefixed(&self, key: &[u8]) -> Bytes {
        [self.options.key_prefix.as_bytes(), key].concat().into()
    }

    /// Ends connections and threads; what is under way is told that the service was closed.
    pub async fn close(&self) {
        self.sessions.close().await;
        if let Some(dedicated) = &self.dedicated {
            dedicated.close();
        }
        let pubsub = self.pubsub.clone();
        let tier = match &self.tier {
            Tier::Redis(tier) => Some(Arc::clone(tier)),
            Tier::Embedded(_) => None,
        };
        let ended = tokio::task::spawn_blocking(move || {
            pubsub.stop();
            if let Some(tier) = tier {
                tier.close();
            }
        });
        if ended.await.is_err() {
            tracing::error!("closing redis-service panicked; please report this");
        }
    }
}

impl Drop for RedisService {
    fn drop(&mut self) {
        self.pubsub.stop();
    }
}
