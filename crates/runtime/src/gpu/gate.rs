//! Endpoints that need memory of a GPU are asked when it is theirs.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use child_engine::Engine;
use fast_llm_coordinator::{
    Admission, Admitted, EndpointConfig, GpuNeed, GpuPriority, NotAdmitted, Protocol,
};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio_util::task::TaskTracker;
use vision_resource_manager::host::HostView;
use vision_resource_manager::{ManagerError, Priority};

use super::kept::Kept;
use super::server::Server;

/// Between the coordinator, which knows endpoints, and the resource manager, which knows memory: what an endpoint needs is a warm model of
/// its server's process. It stays in memory between requests, and goes when somebody needs the room.
pub(crate) struct Gate {
    /// Whose memory this process gives out, once it does.
    gpus: OnceLock<HostView>,
    engine: Mutex<Option<Arc<Engine>>>,
    /// By what an instance of memory is for: see [`Gate::key`].
    kept: Mutex<HashMap<Arc<str>, Arc<Kept>>>,
    /// What the engine says that its models take of GPUs, in bytes.
    projected: Mutex<HashMap<Arc<str>, u64>>,
    unloads: TaskTracker,
}

impl Gate {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            gpus: OnceLock::new(),
            engine: Mutex::default(),
            kept: Mutex::default(),
            projected: Mutex::default(),
            unloads: TaskTracker::new(),
        })
    }

    /// From now on this process gives memory out.
    pub(crate) fn opens(&self, gpus: HostView) {
        // Whoever opens twice is refused by the daemon's own lock before that.
        drop(self.gpus.set(gpus));
    }

    pub(crate) fn gpus(&self) -> Option<&HostView> {
        self.gpus.get()
    }

    /// The configuration counts now in which these endpoints are. What others held is free.
    pub(crate) fn serves(&self, engine: Option<&Arc<Engine>>, endpoints: &[Arc<str>]) {
        let mut former = self.engine.lock();
        if former.as_ref().map(Arc::as_ptr) != engine.map(Arc::as_ptr) {
            self.projected.lock().clear();
        }
        *former = engine.cloned();
        drop(former);
        let mut kept = self.kept.lock();
        kept.retain(|_, kept| endpoints.contains(kept.endpoint()));
    }

    /// Keeps nothing any longer. Unloads that are under way end first, for at most a second.
    pub(crate) async fn close(&self) {
        self.unloads.close();
        self.kept.lock().clear();
        if tokio::time::timeout(Duration::from_secs(1), self.unloads.wait()).await.is_err() {
            tracing::warn!("a model may still be in the memory of a GPU");
        }
    }

    async fn let_in(
        &self,
        endpoint: &EndpointConfig,
        model: &Arc<str>,
        patience: Duration,
    ) -> Result<Admitted, NotAdmitted> {
        let gpus = self.gpus.get().ok_or_else(not_here)?;
        let engine = self.engine.lock().clone();
        let server = Server::of(endpoint.protocol, endpoint.base_url.as_deref(), engine);
        let need = match endpoint.gpu {
            Some(need) => Need { bytes: need.vram_mb.saturating_mul(1 << 20), priority: priority(need) },
            None => Need { bytes: self.projected(&server, model).await?, priority: Priority::Normal },
        };
        if need.bytes == 0 {
            return Ok(Box::new(()));
        }
        let kept = self.kept_for(gpus, server, endpoint, model, need.bytes)?;
        kept.asks_for(model);
        let patience = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        let using = kept.using(need.priority, patience).await.map_err(refused)?;
        // The use ends before what it is a use of.
        Ok(Box::new((using, kept)))
    }

    /// Bytes of GPUs that the engine's model takes, by llama.cpp's own projection; 0 where the engine runs on processors.
    async fn projected(&self, server: &Server, model: &Arc<str>) -> Result<u64, NotAdmitted> {
        let known = self.projected.lock().get(model).copied();
        if let Some(bytes) = known {
            return Ok(bytes);
        }
        let bytes = server.projected(model).await.map_err(|error| NotAdmitted {
            code: error.code(),
            message: error.to_string(),
            retryable: error.retryable(),
        })?;
        self.projected.lock().insert(Arc::clone(model), bytes);
        Ok(bytes)
    }

    /// What is kept for this endpoint: made anew where its server is another process by now, or it needs another amount.
    fn kept_for(
        &self,
        gpus: &HostView,
        server: Server,
        endpoint: &EndpointConfig,
        model: &str,
        bytes: u64,
    ) -> Result<Arc<Kept>, NotAdmitted> {
        let key = key(endpoint, model);
        let mut kept = self.kept.lock();
        if let Some(known) =
            kept.get(&key).filter(|known| known.bytes() == bytes && known.is_of(&server, Instant::now()))
        {
            return Ok(Arc::clone(known));
        }
        let new = Kept::new(gpus, server, Arc::clone(&endpoint.name), &key, bytes, &self.unloads);
        let new = new.map_err(refused)?;
        kept.insert(key, Arc::clone(&new));
        Ok(new)
    }
}

struct Need {
    bytes: u64,
    priority: Priority,
}

/// An endpoint is one instance of memory; the engine has one for each of its models.
fn key(endpoint: &EndpointConfig, model: &str) -> Arc<str> {
    match endpoint.protocol {
        Protocol::UatEngine => format!("{}/{model}", endpoint.name).into(),
        _ => Arc::clone(&endpoint.name),
    }
}

fn priority(need: GpuNeed) -> Priority {
    match need.priority {
        GpuPriority::Low => Priority::Low,
        GpuPriority::Normal => Priority::Normal,
        GpuPriority::High => Priority::High,
        GpuPriority::Critical => Priority::Critical,
    }
}

fn not_here() -> NotAdmitted {
    NotAdmitted {
        code: "UAT_NO_GPU",
        message: "it needs memory of a GPU, and this process gives none out: `uat serve` with a section [gpu] does, unless another daemon of this user is there already".to_owned(),
        retryable: false,
    }
}

fn refused(error: ManagerError) -> NotAdmitted {
    NotAdmitted { code: error.code(), message: error.to_string(), retryable: error.retryable() }
}

impl Admission for Gate {
    fn concerns(&self, endpoint: &EndpointConfig) -> bool {
        endpoint.gpu.is_some() || (endpoint.protocol == Protocol::UatEngine && self.gpus.get().is_some())
    }

    fn admit<'a>(
        &'a self,
        endpoint: &'a EndpointConfig,
        model: &'a Arc<str>,
        patience: Duration,
    ) -> BoxFuture<'a, Result<Admitted, NotAdmitted>> {
        self.let_in(endpoint, model, patience).boxed()
    }
}
