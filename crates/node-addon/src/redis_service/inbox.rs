//! Where outcomes wait for the JavaScript thread, and what it needs to know at once.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use napi::Status;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use parking_lot::Mutex;
use redis_service::envelope::CacheValue;
use redis_service::{Inbox, Op, Origin, Outcome, RedisService as Core, RedisServiceError, Reply, Watcher};

/// Wakes the JavaScript thread; does not keep the process alive, which is up to the calls that wait.
pub(crate) type Wake = ThreadsafeFunction<(), (), (), Status, false, true>;

/// Changed keys that are named; beyond this everything counts as changed.
const MAX_CHANGED: usize = 10_000;

/// What came, decoded already: that is work of the thread that reads the socket.
pub(crate) enum Came {
    /// No value, key or time to live.
    Nothing,
    /// A value, how long it lives in ms (-1 without end), and whether it may be kept near.
    Value(CacheValue, f64, bool),
    /// A number.
    Number(f64),
    /// Whether it was so.
    Was(bool),
    /// Redis is away: a miss.
    Unavailable,
    /// The same, and the late answer follows.
    Overdue,
    /// It went wrong.
    Failed(RedisServiceError),
}

/// Outcomes, and the keys that have changed.
pub(crate) struct NodeInbox {
    outcomes: Mutex<Vec<(u32, Came)>>,
    changed: Mutex<Changed>,
    /// Grows with each change, at once: JavaScript compares it before it believes a value that it holds.
    version: Arc<AtomicU32>,
    /// Whether JavaScript has been woken and has not come yet.
    woken: AtomicBool,
    wake: Wake,
    core: Weak<OnceLock<Core>>,
}

#[derive(Default)]
struct Changed {
    keys: Vec<Bytes>,
    all: bool,
}

impl NodeInbox {
    pub(crate) fn new(wake: Wake, core: Weak<OnceLock<Core>>) -> Self {
        Self {
            outcomes: Mutex::default(),
            changed: Mutex::default(),
            version: Arc::default(),
            woken: AtomicBool::new(false),
            wake,
            core,
        }
    }

    pub(crate) fn version(&self) -> Arc<AtomicU32> {
        Arc::clone(&self.version)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.outcomes.lock().is_empty()
    }

    /// Something that is known at once.
    pub(crate) fn put_at_once(&self, number: u32, came: Came) {
        self.outcomes.lock().push((number, came));
    }

    /// What has come since.
    pub(crate) fn take(&self) -> Vec<(u32, Came)> {
        self.woken.store(false, Ordering::Release);
        std::mem::take(&mut *self.outcomes.lock())
    }

    /// The keys that have changed since; `None`: all of them.
    pub(crate) fn take_changed(&self) -> Option<Vec<Bytes>> {
        let Changed { keys, all } = std::mem::take(&mut *self.changed.lock());
        (!all).then_some(keys)
    }

    fn read(&self, op: &Op, outcome: Outcome) -> Came {
        let (ttl, keepable) = match &outcome {
            Ok(Reply::Stored { ttl, origin, .. }) => (
                ttl.map_or(-1.0, |ttl| ttl.as_secs_f64() * 1e3),
                matches!(origin, Origin::Redis | Origin::Embedded),
            ),
            Ok(Reply::Was(was)) => return Came::Was(*was),
            Ok(Reply::Number(number)) => return Came::Number(*number as f64),
            Ok(Reply::Ttl(None)) => return Came::Nothing,
            Ok(Reply::Ttl(Some(ttl))) => return Came::Number(ttl.as_secs_f64() * 1e3),
            Ok(Reply::Overdue) => return Came::Overdue,
            Err(error) => return Came::Failed(error.clone()),
            Ok(_) => (-1.0, false),
        };
        let is_unavailable = matches!(outcome, Ok(Reply::Unavailable));
        let core = self.core.upgrade();
        let (Some(core), Op::Get { key, .. }) = (core.as_ref().and_then(|core| core.get()), op) else {
            return Came::Unavailable;
        };
        match core.read_outcome(key, outcome) {
            Ok(Some(value)) => Came::Value(value, ttl, keepable),
            Ok(None) if is_unavailable => Came::Unavailable,
            Ok(None) => Came::Nothing,
            Err(error) => Came::Failed(error),
        }
    }
}

impl Inbox for NodeInbox {
    fn put(&self, number: u32, op: &Op, outcome: Outcome) {
        let came = self.read(op, outcome);
        self.outcomes.lock().push((number, came));
    }
}

impl Watcher for NodeInbox {
    fn changed(&self, keys: Vec<Bytes>) {
        let mut changed = self.changed.lock();
        if changed.keys.len() + keys.len() > MAX_CHANGED {
            *changed = Changed { keys: Vec::new(), all: true };
        } else if !changed.all {
            changed.keys.extend(keys);
        }
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    fn flush(&self) {
        *self.changed.lock() = Changed { keys: Vec::new(), all: true };
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    fn batch_end(&self) {
        if !self.is_empty() && !self.woken.swap(true, Ordering::AcqRel) {
            // Fails only while the environment is being torn down, when nobody waits any more.
            self.wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
        }
    }
}
