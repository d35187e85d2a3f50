//! `RedisService` for JavaScript. Operations on keys cross in batches ([`batch`], [`inbox`]); everything else is a promise.

mod batch;
mod inbox;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use napi::Env;
use napi::bindgen_prelude::{Array, Float64Array, Function, PromiseRaw, Uint8Array, Uint32Array};
use napi_derive::napi;
use redis_service::{Done, Inbox, Options, Origin, Outcome, RedisService as Core, Reply, Watcher};

use self::inbox::NodeInbox;
use crate::error::Crossing;

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
}

#[napi]
impl RedisService {
    /// `wake` is called, from the event loop, when outcomes have come: then call `drain`.
    #[napi(constructor, catch_unwind)]
    pub fn new(wake: Function<'_, (), ()>) -> napi::Result<Self> {
        let wake = wake.build_threadsafe_function::<()>().weak::<true>().build()?;
        Ok(Self { core: Arc::default(), inbox: Arc::new(NodeInbox::new(wake)) })
    }

    /// Connects.
    #[napi(catch_unwind)]
    pub fn open<'env>(&self, env: &'env Env, options: RedisOptions) -> napi::Result<PromiseRaw<'env, ()>> {
        let (core, inbox) = (Arc::clone(&self.core), Arc::clone(&self.inbox));
        let options = Options {
            url: options.url,
            max_connections: options.max_connections as usize,
            key_prefix: options.key_prefix,
            near_cache: options.near_cache,
            fallback_max_bytes: options.fallback_max_bytes as u64,
            connect_timeout_ms: options.connect_timeout_ms as u64,
            command_timeout_ms: options.command_timeout_ms as u64,
            read_budget_ms: options.read_budget_ms as u64,
            ..Options::default()
        };
        env.spawn_future(async move {
            let opened = Core::connect(options, Some(inbox as Arc<dyn Watcher>)).await.map_err(Crossing::from)?;
            core.set(opened).map_err(|_| Crossing::internal("a redis-service was opened twice"))?;
            Ok(())
        })
    }

    /// Starts the operations of a tick; whether some have been answered already.
    #[napi(catch_unwind)]
    pub fn submit(&self, numbers: &[f64], count: u32, keys: String, payloads: Array<'_>) -> napi::Result<bool> {
        let core = self.core()?;
        let numbers = numbers.get(..count as usize * batch::FIELDS).unwrap_or(numbers);
        let operations = batch::read_operations(numbers, keys, &payloads, |payloads, at| {
            let (_, bytes) = batch::read_payload(payloads, at)?;
            Ok(bytes)
        })?;
        let inbox = || Arc::clone(&self.inbox) as Arc<dyn Inbox>;
        core.start(operations.into_iter().map(|(number, op)| (op, Done::Inbox(inbox(), number))));
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
            let (kind, ttl) = put_value(&mut values, at, outcome)?;
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
        #[expect(unsafe_code, reason = "JavaScript reads a number that another thread writes, without a call for each read")]
        // SAFETY: the pointer is valid for one u32 as long as `version` lives, which the finalizer owns; JavaScript only
        // reads, and every write is atomic.
        unsafe {
            Uint32Array::with_external_data(pointer, 1, move |_, _| drop(version))
        }
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
        self.core.get().ok_or_else(|| Crossing::internal("a redis-service was used before it was open").into())
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

const NOTHING: u32 = 0;
const TEXT: u32 = 1;
const NUMBER: u32 = 3;
const BYTES: u32 = 4;
const TRUE: u32 = 5;
const FALSE: u32 = 6;
const ERROR: u32 = 7;
const UNAVAILABLE: u32 = 8;
/// Added where the value may be kept near.
const KEEPABLE: u32 = 16;

fn put_value(values: &mut Array<'_>, at: u32, outcome: Outcome) -> napi::Result<(u32, f64)> {
    let reply = match outcome {
        Ok(reply) => reply,
        Err(error) => {
            values.set(at, napi::Error::from(Crossing::from(error)).reason.clone())?;
            return Ok((ERROR, -1.0));
        }
    };
    Ok(match reply {
        Reply::Stored { stored: None, .. } => (NOTHING, -1.0),
        Reply::Stored { stored: Some(stored), ttl, origin } => {
            let kind = put_stored(values, at, &stored)?;
            let ttl = ttl.map_or(-1.0, |ttl| ttl.as_secs_f64() * 1e3);
            (kind + if origin == Origin::Redis { KEEPABLE } else { 0 }, ttl)
        }
        Reply::Was(true) => (TRUE, -1.0),
        Reply::Was(false) => (FALSE, -1.0),
        Reply::Ttl(None) => (NOTHING, -1.0),
        Reply::Ttl(Some(ttl)) => {
            values.set(at, ttl.as_secs_f64() * 1e3)?;
            (NUMBER, -1.0)
        }
        Reply::Number(number) => {
            values.set(at, number as f64)?;
            (NUMBER, -1.0)
        }
        Reply::Unavailable => (UNAVAILABLE, -1.0),
        Reply::Raw(_) => (NOTHING, -1.0),
        _ => (NOTHING, -1.0),
    })
}

fn put_stored(values: &mut Array<'_>, at: u32, stored: &Bytes) -> napi::Result<u32> {
    match std::str::from_utf8(stored) {
        Ok(text) => {
            values.set(at, text)?;
            Ok(TEXT)
        }
        Err(_) => {
            values.set(at, Uint8Array::from(stored.to_vec()))?;
            Ok(BYTES)
        }
    }
}
