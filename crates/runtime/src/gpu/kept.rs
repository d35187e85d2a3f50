//! What is kept in memory for one endpoint, or for one model of the engine.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::mpsc::{Receiver, channel};
use tokio_util::task::TaskTracker;
use vision_resource_manager::host::{HostView, InUse, Keeper, KeptModel};
use vision_resource_manager::{LeaseId, ManagerError, Priority};

use super::server::Server;

pub(super) struct Kept {
    endpoint: Arc<str>,
    server: Server,
    /// The process whose memory this is.
    pid: u32,
    bytes: u64,
    keeper: Keeper,
    /// When its process was looked for last.
    looked: Mutex<Instant>,
    /// The models that were asked there: they are what is unloaded.
    models: Mutex<BTreeSet<Arc<str>>>,
}

/// What reading weights from a fast disk comes to, in bytes per ms: a larger model is dearer to load again.
const LOADED_PER_MS: u64 = 1 << 20;

/// Every process is looked at for that, which takes some ms.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

impl Kept {
    /// Within a tokio runtime, whose tasks unload.
    pub(super) fn new(
        gpus: &HostView,
        server: Server,
        endpoint: Arc<str>,
        name: &str,
        bytes: u64,
        unloads: &TaskTracker,
    ) -> Result<Arc<Self>, ManagerError> {
        let pid = server.pid().unwrap_or_else(std::process::id);
        let model = KeptModel { name: name.into(), pid, bytes, load_ms: bytes / LOADED_PER_MS };
        // There is one instance, and it is told once to go.
        let (tell, told) = channel(1);
        let keeper = gpus.keep(model, move |lease| {
            if let Err(error) = tell.try_send(lease) {
                tracing::warn!(lease, %error, "not unloaded");
            }
        })?;
        let (looked, models) = (Mutex::new(Instant::now()), Mutex::default());
        let kept = Arc::new(Self { endpoint, server, pid, bytes, keeper, looked, models });
        // Ends with what it is kept for: then nobody tells it anything any longer.
        unloads.spawn(unload(Arc::downgrade(&kept), told));
        Ok(kept)
    }

    pub(super) fn endpoint(&self) -> &Arc<str> {
        &self.endpoint
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether it is this server's, as that runs now. One whose process could not be found is looked for again.
    pub(super) fn is_of(&self, server: &Server, now: Instant) -> bool {
        if !self.server.is_same(server) {
            return false;
        }
        let found = self.pid != std::process::id();
        if found && self.keeper.lives() {
            return true;
        }
        let mut looked = self.looked.lock();
        if now.saturating_duration_since(*looked) < LOOK_AGAIN {
            return true;
        }
        *looked = now;
        server.pid().unwrap_or_else(std::process::id) == self.pid
    }

    pub(super) fn asks_for(&self, model: &Arc<str>) {
        let mut models = self.models.lock();
        if !models.contains(model) {
            models.insert(Arc::clone(model));
        }
    }

    pub(super) async fn using(&self, priority: Priority, wait_ms: u64) -> Result<InUse, ManagerError> {
        self.keeper.using(priority, wait_ms).await
    }

    async fn let_go(&self, lease: LeaseId) {
        let models = std::mem::take(&mut *self.models.lock());
        for model in models {
            if let Err(error) = self.server.unload(&model).await {
                // The driver says what is free: nothing is given out that is not.
                tracing::warn!(endpoint = %self.endpoint, %model, %error, "not unloaded");
            }
        }
        self.keeper.unloaded(lease);
    }
}

async fn unload(kept: Weak<Kept>, mut told: Receiver<LeaseId>) {
    while let Some(lease) = told.recv().await {
        let Some(kept) = kept.upgrade() else { return };
        kept.let_go(lease).await;
    }
}
