//! Where outcomes wait for the JavaScript thread, and what it needs to know at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use bytes::Bytes;
use napi::Status;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use parking_lot::Mutex;
use redis_service::{Inbox, Outcome, Watcher};

/// Wakes the JavaScript thread; does not keep the process alive, which is up to the calls that wait.
pub(crate) type Wake = ThreadsafeFunction<(), (), (), Status, false, true>;

/// Changed keys that are named; beyond this everything counts as changed.
const MAX_CHANGED: usize = 10_000;

/// Outcomes, and the keys that have changed.
pub(crate) struct NodeInbox {
    outcomes: Mutex<Vec<(u32, Outcome)>>,
    changed: Mutex<Changed>,
    /// Grows with each change, at once: JavaScript compares it before it believes a value that it holds.
    version: Arc<AtomicU32>,
    /// Whether JavaScript has been woken and has not come yet.
    woken: AtomicBool,
    wake: Wake,
}

#[derive(Default)]
struct Changed {
    keys: Vec<Bytes>,
    all: bool,
}

impl NodeInbox {
    pub(crate) fn new(wake: Wake) -> Self {
        Self {
            outcomes: Mutex::default(),
            changed: Mutex::default(),
            version: Arc::default(),
            woken: AtomicBool::new(false),
            wake,
        }
    }

    pub(crate) fn version(&self) -> Arc<AtomicU32> {
        Arc::clone(&self.version)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.outcomes.lock().is_empty()
    }

    /// What has come since.
    pub(crate) fn take(&self) -> Vec<(u32, Outcome)> {
        self.woken.store(false, Ordering::Release);
        std::mem::take(&mut *self.outcomes.lock())
    }

    /// The keys that have changed since; `None`: all of them.
    pub(crate) fn take_changed(&self) -> Option<Vec<Bytes>> {
        let Changed { keys, all } = std::mem::take(&mut *self.changed.lock());
        (!all).then_some(keys)
    }
}

impl Inbox for NodeInbox {
    fn put(&self, number: u32, outcome: Outcome) {
        self.outcomes.lock().push((number, outcome));
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
