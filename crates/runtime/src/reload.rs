//! Another configuration takes the place of the one that counts: whole, or not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::config::{ConfigErrors, UatConfig};
use crate::errors::RuntimeError;
use crate::wiring::Wiring;
use crate::{Runtime, blocking, since_1970};

/// What has become of the attempts to take over another configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reloads {
    /// Attempts since the start.
    pub total: u64,
    /// Those that were refused; the former configuration went on.
    pub failed: u64,
    /// Whether the last attempt was one of those.
    pub last_failed: bool,
    /// When the configuration that counts was taken over: ms since 1970.
    pub last_success_ms: u64,
}

/// Kept beside the wiring, which is exchanged.
#[derive(Debug)]
pub(crate) struct Counts {
    total: AtomicU64,
    failed: AtomicU64,
    last_failed: AtomicBool,
    last_success_ms: AtomicU64,
}

impl Counts {
    /// The first configuration counts as taken over, and as no reload.
    pub(crate) fn starting() -> Self {
        Self {
            total: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            last_failed: AtomicBool::new(false),
            last_success_ms: AtomicU64::new(now_ms()),
        }
    }

    fn ended(&self, well: bool) {
        if well {
            self.last_success_ms.store(now_ms(), Ordering::Relaxed);
        } else {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        self.last_failed.store(!well, Ordering::Relaxed);
        // Last, so that whoever waits for the count sees the rest.
        self.total.fetch_add(1, Ordering::Release);
    }
}

pub(crate) fn now_ms() -> u64 {
    u64::try_from(since_1970().as_millis()).unwrap_or(u64::MAX)
}

impl Runtime {
    /// Goes on with another configuration: whole, or not at all. Requests that are under way end as they began. Endpoints
    /// that stay as they are keep what was learnt of them, and the counts go on. Of how a server listens (`[server]`), what
    /// [`UatConfig::needs_restart_for`] names counts when it starts.
    ///
    /// # Errors
    /// `UAT_CONFIG` with everything that is wrong, and nothing has changed; `UAT_CLOSED`.
    pub async fn reload(&self, config: UatConfig) -> Result<(), RuntimeError> {
        self.counted(self.exchange(config).await)
    }

    /// The same with a configuration that is still to be read, on a thread that may wait for a disk.
    ///
    /// # Errors
    /// As [`reload`](Self::reload).
    pub async fn reload_with(
        &self,
        load: impl FnOnce() -> Result<UatConfig, ConfigErrors> + Send + 'static,
    ) -> Result<(), RuntimeError> {
        let loaded = blocking(load).await.and_then(|loaded| Ok(loaded?));
        match loaded {
            Ok(config) => self.reload(config).await,
            Err(error) => self.counted(Err(error)),
        }
    }

    /// What has become of the reloads so far.
    pub fn reloads(&self) -> Reloads {
        let counts = &self.reloads;
        let total = counts.total.load(Ordering::Acquire);
        Reloads {
            total,
            failed: counts.failed.load(Ordering::Relaxed),
            last_failed: counts.last_failed.load(Ordering::Relaxed),
            last_success_ms: counts.last_success_ms.load(Ordering::Relaxed),
        }
    }

    fn counted(&self, outcome: Result<(), RuntimeError>) -> Result<(), RuntimeError> {
        self.reloads.ended(outcome.is_ok());
        outcome
    }

    async fn exchange(&self, config: UatConfig) -> Result<(), RuntimeError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(RuntimeError::Closed);
        }
        config.validate()?;
        let _exchanging = self.exchanging.lock().await;
        let former = self.wiring.load_full();
        let found = self.found_beside(&config).await;
        // Reads the files that the configuration names.
        let (search, gate, kept) = (self.engine_search.clone(), Arc::clone(&self.gate), Arc::clone(&former));
        let next = blocking(move || Wiring::new(config, &search, &found, &gate, Some(&kept))).await??;
        let next = Arc::new(next);
        let keyring = self.callers.successor(&next.config)?;
        let accounts = self.callers.prepare(&next.config).await?;
        next.counts(&self.gate);
        self.wiring.store(Arc::clone(&next));
        self.callers.exchange(keyring);
        self.callers.move_to(accounts, &next.config).await;
        former.part_from(&next).await;
        Ok(())
    }
}
