//! `RedisService` for JavaScript. Operations on keys cross in batches ([`batch`], [`inbox`]); everything else is a promise.

mod batch;
mod calls;
mod inbox;
mod sessions;
mod status;
mod subscription;
mod value;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use napi::bindgen_prelude::{Array, Float64Array, Function, PromiseRaw, Uint8Array, Uint32Array};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Status};
use napi_derive::napi;
use redis_service::{CodecName, Done, Inbox, Options, RedisService as Core, Watcher};

use self::inbox::{Came, NodeInbox};
use self::status::{RedisStats, RedisStatus};
use crate::error::Crossing;

/// Operations of a tick up to which the answers are waited for on the spot: with more the event loop has other work meanwhile.
const FEW: u32 = 2;

/// What JavaScript passes; the wrapper has filled in the defaults.
#[napi(object)]
pub struct RedisOptions {
    /// The address; absent for the embedded tier.
    pub url: Option<String>,
    /// See `Options` of the crate redis-service, as are the following.
    pub max_connections: u32,
    /// Goes before every key.
    pub key_prefix: String,
    /// Whether JavaScript keeps values that it reads, so that it wants to know what changes.
    pub near_cache: bool,
    /// `zstd` or `lz4`; absent: values are not compressed.
    pub codec: Option<String>,
    /// Shorter values are stored as they are.
    pub compress_min_bytes: f64,
    /// Of zstd.
    pub compression_level: i32,
    /// Of zstd, in place of the one that ships.
    pub dictionary: Option<Uint8Array>,
    /// Whether writes of sessions are taken while Redis is away.
    pub replay_writes: bool,
    /// How many.
    pub max_replay: Option<f64>,
    /// Bytes kept while Redis is away.
    pub fallback_max_bytes: f64,
    /// Milliseconds.
    pub connect_timeout_ms: f64,
    /// Milliseconds.
    pub command_timeout_ms: f64,
    /// Milliseconds.
    pub read_budget_ms: f64,
}

/// The service of the core.
#[napi]
pub struct RedisService {
    core: Arc<OnceLock<Core>>,
    inbox: Arc<NodeInbox>,
    on_mode: Arc<ModeListener>,
}

/// Tells JavaScript of a mode; does not keep the process alive.
type ModeListener = ThreadsafeFunction<RedisStatus, (), RedisStatus, Status, false, true>;

#[napi]
impl RedisService {
    /// `wake` is called, from the event loop, when outcomes have come: then call `drain`; `on_mode` with each mode that begins after
    /// `open`.
    #[napi(constructor, catch_unwind)]
    pub fn new(wake: Function<'_, (), ()>, on_mode: Function<'_, RedisStatus, ()>) -> napi::Result<Self> {
        let wake = wake.build_threadsafe_function::<()>().weak::<true>().build()?;
        let core = Arc::default();
        let inbox = Arc::new(NodeInbox::new(wake, Arc::downgrade(&core)));
        let on_mode = Arc::new(on_mode.build_threadsafe_function::<RedisStatus>().weak::<true>().build()?);
        Ok(Self { core, inbox, on_mode })
    }

    /// Connects.
    #[napi(catch_unwind)]
    pub fn open<'env>(&self, env: &'env Env, options: RedisOptions) -> napi::Result<PromiseRaw<'env, ()>> {
        let (core, inbox, on_mode) =
            (Arc::clone(&self.core), Arc::clone(&self.inbox), Arc::clone(&self.on_mode));
        let defaults = Options::default();
        let options = Options {
            url: options.url,
            max_connections: options.max_connections as usize,
            key_prefix: options.key_prefix,
            near_cache: options.near_cache,
            enable_compression: options.codec.is_some(),
            codec: if options.codec.as_deref() == Some("lz4") { CodecName::Lz4 } else { CodecName::Zstd },
            compress_min_bytes: options.compress_min_bytes as usize,
            compression_level: options.compression_level,
            dictionary: options.dictionary.map(|dictionary| Bytes::copy_from_slice(&dictionary)),
            replay_writes: options.replay_writes,
            max_replay: options.max_replay.map_or(defaults.max_replay, |count| count as usize),
            fallback_max_bytes: options.fallback_max_bytes as u64,
            connect_timeout_ms: options.connect_timeout_ms as u64,
            command_timeout_ms: options.command_timeout_ms as u64,
            read_budget_ms: options.read_budget_ms as u64,
            ..defaults
        };
        env.spawn_future(async move {
            let opened =
                Core::connect(options, Some(inbox as Arc<dyn Watcher>)).await.map_err(Crossing::from)?;
            opened.on_mode(move |status| {
                on_mode.call(status.into(), ThreadsafeFunctionCallMode::NonBlocking);
            });
            core.set(opened).map_err(|_| Crossing::internal("a redis-service was opened twice"))?;
            Ok(())
        })
    }

    /// Starts the operations of a tick; whether some have been answered already.
    #[napi(catch_unwind)]
    pub fn submit(
        &self,
        numbers: &[f64],
        count: u32,
        keys: String,
        payloads: Array<'_>,
    ) -> napi::Result<bool> {
        let core = self.core()?;
        let numbers = numbers.get(..count as usize * batch::FIELDS).unwrap_or(numbers);
        let operations = batch::read_operations(core, numbers, keys, &payloads)?;
        core.start(operations.into_iter().filter_map(|(number, op)| match op {
            Ok(op) => Some((op, Done::Inbox(Arc::clone(&self.inbox) as Arc<dyn Inbox>, number))),
            Err(error) => {
                self.inbox.put_at_once(number, Came::Failed(error));
                None
            }
        }));
        if count <= FEW && self.inbox.is_empty() {
            core.read_soon();
        }
        Ok(!self.inbox.is_empty())
    }

    /// The outcomes that have come.
    #[napi(catch_unwind)]
    pub fn drain<'env>(&self, env: &'env Env) -> napi::Result<Drained<'env>> {
        let outcomes = self.inbox.take();
        let mut numbers = Vec::with_capacity(outcomes.len() * batch::FIELDS);
        let count = u32::try_from(outcomes.len()).unwrap_or(u32::MAX);
        let mut values = env.create_array(count)?;
        for (at, (number, outcome)) in (0..count).zip(outcomes) {
            let (kind, ttl) = batch::write_outcome(&mut values, at, outcome)?;
            numbers.extend([f64::from(number), f64::from(kind), ttl]);
        }
        Ok(Drained { numbers: numbers.into(), values })
    }

    /// The keys whose values have changed since the last call; `null` stands for all.
    #[napi(catch_unwind)]
    pub fn take_changed(&self) -> Option<Vec<String>> {
        let keys = self.inbox.take_changed()?;
        Some(keys.iter().map(|key| String::from_utf8_lossy(key).into_owned()).collect())
    }

    /// One number in shared memory that grows with each change.
    #[napi(catch_unwind)]
    pub fn changes(&self) -> Uint32Array {
        let version = self.inbox.version();
        let pointer = version.as_ptr();
        #[expect(
            unsafe_code,
            reason = "JavaScript reads a number that another thread writes, without a call for each read"
        )]
        // SAFETY: the pointer is valid for one u32 as long as `version` lives, which the finalizer owns; JavaScript only
        // reads, and every write is atomic.
        unsafe {
            Uint32Array::with_external_data(pointer, 1, move |_, _| drop(version))
        }
    }

    /// Where the service stands.
    #[napi(catch_unwind)]
    pub fn status(&self) -> napi::Result<RedisStatus> {
        Ok(self.core()?.status().into())
    }

    /// Counters since the start, without what JavaScript answered itself.
    #[napi(catch_unwind)]
    pub fn stats(&self) -> napi::Result<RedisStats> {
        Ok(self.core()?.stats().into())
    }

    /// Ends connections.
    #[napi(catch_unwind)]
    pub fn close<'env>(&self, env: &'env Env) -> napi::Result<PromiseRaw<'env, ()>> {
        let core = Arc::clone(&self.core);
        env.spawn_future(async move {
            if let Some(core) = core.get() {
                core.close().await;
            }
            Ok(())
        })
    }

    fn core(&self) -> napi::Result<&Core> {
        self.core
            .get()
            .ok_or_else(|| Crossing::internal("a redis-service was used before it was open").into())
    }
}

/// Outcomes as they cross: three numbers and a value each.
#[napi(object)]
pub struct Drained<'env> {
    /// Who waits, what came, and how long it lives in ms.
    pub numbers: Float64Array,
    /// The values.
    pub values: Array<'env>,
}

fn core_of(core: &OnceLock<Core>) -> napi::Result<&Core> {
    core.get().ok_or_else(|| Crossing::internal("a redis-service was used before it was open").into())
}
