//! A warm model of a server on this machine that loads by itself, kept by the daemon's own process: by a gateway that asks that server.

use std::sync::{Arc, Weak};

use tokio::sync::oneshot;

use super::process::Process;
use super::server::{HostView, Shared};
use crate::{Decision, HolderId, LeaseId, ManagerError, Priority, RequestId, WarmModel};

/// A model that a server has.
#[derive(Debug, Clone)]
pub struct KeptModel {
    /// Its name among leases.
    pub name: Box<str>,
    /// The server's process. What it uses of a GPU, and what processes use that it started, is taken for the model.
    pub pid: u32,
    /// Bytes of one GPU.
    pub bytes: u64,
    /// How long the server takes to load it, in ms.
    pub load_ms: u64,
}

/// Who uses it comes by here, and who needs its memory. When this is dropped, the model is forgotten.
pub struct Keeper {
    shared: Arc<Shared>,
    holder: HolderId,
    name: Box<str>,
    /// `None`: nobody's that is known.
    process: Option<Process>,
}

/// A use of a model, until it is dropped.
#[derive(Debug)]
pub struct InUse {
    shared: Weak<Shared>,
    holder: HolderId,
    request: RequestId,
    /// Or it is waited for.
    runs: bool,
}

impl HostView {
    /// Keeps a model. `unload` is told when it is to go: it may not wait, and [`Keeper::unloaded`] is called when that is done.
    ///
    /// # Errors
    /// [`ManagerError::Invalid`]: it has no bytes; [`ManagerError::Closed`].
    pub fn keep(
        &self,
        model: KeptModel,
        unload: impl Fn(LeaseId) + Send + Sync + 'static,
    ) -> Result<Keeper, ManagerError> {
        let shared = &self.0;
        let KeptModel { name, pid, bytes, load_ms } = model;
        let process = Process::now(pid);
        let of = process.map_or(crate::Process { pid, started: None }, Process::of_manager);
        let me = Arc::downgrade(shared);
        let holder = shared.manager.join(of, move |decision| {
            let Some(host) = Weak::upgrade(&me) else { return };
            match decision {
                // The server loads it when it is asked; nobody else is told when that begins.
                Decision::Load { lease, holder, .. } => match host.cover(lease) {
                    Ok(()) => host.manager.loaded(holder, lease, load_ms),
                    Err(_) => host.manager.load_failed(holder, lease),
                },
                Decision::Unload { lease, .. } => unload(lease),
                _ => {}
            }
        })?;
        let keeper = Keeper { shared: Arc::clone(shared), holder, name: name.clone(), process };
        shared.manager.register(WarmModel {
            holder,
            model: name,
            owner: None,
            bytes,
            load_ms,
            replicas: 1,
            concurrency: None,
        })?;
        Ok(keeper)
    }
}

impl Keeper {
    /// Whether the server's process is still there.
    pub fn lives(&self) -> bool {
        self.process.is_some_and(Process::lives)
    }

    /// Waits at most `wait_ms` until the model may be used; dropping the future leaves the line.
    ///
    /// # Errors
    /// [`ManagerError`]: there is no memory, there is no GPU, too many wait.
    pub async fn using(&self, priority: Priority, wait_ms: u64) -> Result<InUse, ManagerError> {
        let (tell, told) = oneshot::channel();
        // Whoever asked may have gone: then the use ends by what it left behind.
        let answer = move |answer| drop(tell.send(answer));
        let request = self.shared.manager.use_model(self.holder, &self.name, priority, wait_ms, answer)?;
        let mut using =
            InUse { shared: Arc::downgrade(&self.shared), holder: self.holder, request, runs: false };
        told.await.unwrap_or(Err(ManagerError::Closed))?;
        using.runs = true;
        Ok(using)
    }

    /// The model was unloaded, or cannot be: its memory is given out when the driver says that it is free.
    pub fn unloaded(&self, lease: LeaseId) {
        self.shared.manager.unloaded(self.holder, lease);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.shared.manager.leave(self.holder);
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let Some(host) = Weak::upgrade(&self.shared) else { return };
        if !self.runs {
            host.manager.cancel(self.holder, self.request);
        }
        // It may have begun just when whoever waited went away.
        host.manager.done(self.holder, self.request);
    }
}
