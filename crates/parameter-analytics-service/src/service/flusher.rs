//! A thread that keeps what bandits learn.

use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::open::Open;
use super::{AnalyticsError, SharedBandit, lock};

/// What is lost at most when a process is killed, unless it calls `flush`.
const PERIOD: Duration = Duration::from_secs(1);

/// See the module documentation. It ends with its owner.
#[derive(Debug)]
pub(super) struct Flusher {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    is_stopped: Mutex<bool>,
    stopped: Condvar,
    trouble: Mutex<Option<String>>,
}

impl Flusher {
    pub(super) fn start(
        bandits: Arc<Open<SharedBandit>>,
        clock: fn() -> u64,
    ) -> Result<Self, AnalyticsError> {
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        let run = move || {
            loop {
                let is_stopped = lock(&own.is_stopped);
                let waited = own.stopped.wait_timeout_while(is_stopped, PERIOD, |is_stopped| !*is_stopped);
                if waited.map_or(true, |(is_stopped, _)| *is_stopped) {
                    return;
                }
                let flushed = bandits.all().into_iter().map(|bandit| bandit.flush(clock()));
                let failed = flushed.fold(None, |failed, flushed| flushed.err().or(failed));
                *lock(&own.trouble) = failed.map(|error| error.to_string());
            }
        };
        let thread = std::thread::Builder::new().name("uat-bandits".to_owned()).spawn(run);
        Ok(Self { shared, thread: Mutex::new(Some(thread.map_err(AnalyticsError::Thread)?)) })
    }

    pub(super) fn trouble(&self) -> Option<String> {
        lock(&self.shared.trouble).clone()
    }

    pub(super) fn is_stopped(&self) -> bool {
        *lock(&self.shared.is_stopped)
    }

    pub(super) fn stop(&self) {
        *lock(&self.shared.is_stopped) = true;
        self.shared.stopped.notify_all();
        if let Some(thread) = lock(&self.thread).take() {
            // It does not panic; if it did, there is nothing to do about it.
            let _ = thread.join();
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.stop();
    }
}
