//! Warm models: a process says which it has, and is told when to load and unload them.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::error::Refused;
use super::journal::{Recorded, RecordedShare};
use super::pending::Pending;
use super::server::Shared;
use super::wire::{
    AttachBody, Attached, Going, Instance, InstanceState, ModelBody, Notice, OptimizeBody, Optimized, Use,
    UseBody,
};
use crate::{HolderId, LeaseId, LeaseView, ManagerError, RequestId, Share, Started};

/// Nobody waits longer for room to be made: a day, which bears to be added to any clock.
const LONGEST_MS: u64 = 86_400_000;

/// Uses that have begun, by their callers' own numbers of them.
pub(super) type Uses = HashMap<(HolderId, u64), (RequestId, LeaseId)>;

impl Shared {
    pub(super) fn uses(&self) -> MutexGuard<'_, Uses> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn register(&self, holder: HolderId, model: ModelBody) -> Result<(), Refused> {
        Ok(self.manager.register(model.of(holder))?)
    }

    pub(super) fn unregister(&self, holder: HolderId, model: &str) -> Result<(), Refused> {
        Ok(self.manager.unregister(holder, model)?)
    }

    /// Waits until a model may be used; dropping the future takes the request back, and so does [`Self::take_back`].
    pub(super) async fn use_model(
        self: &Arc<Self>,
        holder: HolderId,
        model: &str,
        body: UseBody,
    ) -> Result<Use, Refused> {
        let UseBody { request: name, priority, wait_ms } = body;
        if self.uses().contains_key(&(holder, name)) || self.named().contains_key(&(holder, name)) {
            return Err(Refused::Invalid(format!(
                "request: this client has a use or a request {name} already"
            )));
        }
        let (tell, told) = oneshot::channel();
        let me = Arc::downgrade(self);
        let request = self.manager.use_model(holder, model, priority, wait_ms, move |answer| {
            // Whoever asked has hung up: nobody would end it.
            if let Err(Ok(begun)) = tell.send(answer.map_err(Refused::Manager))
                && let Some(host) = me.upgrade()
            {
                host.manager.done(holder, begun.request);
            }
        })?;
        let undo = |host: &Shared, holder, begun: Started| host.manager.done(holder, begun.request);
        let pending = Pending::new(self, holder, request, Some(name), told, undo);
        let Started { request, lease, waited_ms } = pending.answer().await?;
        self.uses().insert((holder, name), (request, lease));
        let of = self.manager.lease(lease);
        let gpus = of.iter().flat_map(|of| &of.shares).map(|share| self.leased_gpu(*share)).collect();
        Ok(Use { r#use: name, lease, gpus, waited_ms })
    }

    pub(super) fn done(&self, holder: HolderId, name: u64) -> Result<(), Refused> {
        let ended = self.uses().remove(&(holder, name));
        let (request, _) = ended.ok_or(Refused::NoSuchUse(name))?;
        self.manager.done(holder, request);
        Ok(())
    }

    pub(super) fn loaded(&self, holder: HolderId, lease: LeaseId, took_ms: u64) -> Result<(), Refused> {
        self.check_theirs(holder, lease)?;
        self.manager.loaded(holder, lease, took_ms);
        Ok(())
    }

    pub(super) fn load_failed(&self, holder: HolderId, lease: LeaseId) -> Result<(), Refused> {
        self.check_theirs(holder, lease)?;
        self.manager.load_failed(holder, lease);
        Ok(())
    }

    fn check_theirs(&self, holder: HolderId, lease: LeaseId) -> Result<(), ManagerError> {
        match self.manager.holder(lease) {
            None => Err(ManagerError::NoSuchLease { lease }),
            Some(other) if other != holder => Err(ManagerError::NotYours { lease }),
            Some(_) => Ok(()),
        }
    }

    /// An instance is to be loaded: it is written down before its process hears of it; what that process is told.
    pub(super) fn begin_load(
        &self,
        holder: HolderId,
        lease: LeaseId,
        model: Box<str>,
        share: Share,
    ) -> io::Result<Notice> {
        let gpu = self.leased_gpu(share);
        let key = self.book().key(holder).cloned();
        // A process that has ended meanwhile is told nothing, and has nothing.
        if let (Some(key), Some(of)) = (key, self.manager.lease(lease)) {
            let written = gpu.uuid.clone().map(|uuid| RecordedShare { uuid, bytes: gpu.bytes });
            let recorded = Recorded {
                lease,
                process: key.process,
                client: key.client,
                owner: of.owner,
                model: Some(model.clone()),
                priority: of.priority,
                gpus: written.into_iter().collect(),
                ends: None,
                preemptible: false,
                grace_ms: 0,
            };
            self.write_down(recorded)?;
        }
        Ok(Notice::Load { lease, model, gpu })
    }

    /// Has idle models of all processes unloaded, and waits until they are.
    pub(super) async fn optimize(&self, body: OptimizeBody) -> Optimized {
        let OptimizeBody { target_free_bytes, device, wait_ms } = body;
        let before = self.manager.leases();
        let goes = self.manager.optimize(target_free_bytes, device);
        let going = before.iter().filter(|lease| goes.contains(&lease.lease)).map(|lease| Going {
            lease: lease.lease,
            pid: self.pid(lease.holder),
            model: lease.model.clone(),
            bytes: lease.shares.iter().map(|share| share.bytes).sum(),
        });
        let mut unloading: Vec<Going> = going.collect();
        let mut unloaded = Vec::new();
        let end = Instant::now() + Duration::from_millis(wait_ms.min(LONGEST_MS));
        loop {
            let mut ended = std::pin::pin!(self.ended.notified());
            // Before it is looked: what ends meanwhile is not missed.
            ended.as_mut().enable();
            let is_out = |going: &Going| self.manager.holder(going.lease).is_none();
            let (out, still): (Vec<Going>, Vec<Going>) = unloading.into_iter().partition(is_out);
            unloaded.extend(out);
            unloading = still;
            let over = unloading.is_empty() || self.ending.load(Ordering::Relaxed);
            if over || timeout_at(end, ended).await.is_err() {
                return Optimized { unloaded, unloading };
            }
        }
    }

    /// What a client has, after its connection broke: what it does not name is given back.
    pub(super) fn attach(&self, holder: HolderId, body: AttachBody) -> Result<Attached, Refused> {
        let AttachBody { leases, instances } = body;
        let held = self.manager.leases().into_iter().filter(|lease| lease.holder == holder);
        let held: HashMap<LeaseId, LeaseView> = held.map(|lease| (lease.lease, lease)).collect();
        let named = leases.iter().copied().chain(instances.iter().map(|instance| instance.lease));
        let named: BTreeSet<LeaseId> = named.collect();
        for (lease, view) in held.iter().filter(|(lease, _)| !named.contains(lease)) {
            self.give_up(holder, *lease, view)?;
        }
        for instance in instances {
            if let Some(view) = held.get(&instance.lease) {
                self.take_up(holder, instance, view)?;
            }
        }
        let (leases, ended) = named.into_iter().partition(|lease| held.contains_key(lease));
        Ok(Attached { leases, ended })
    }

    /// Its client does not know of it.
    fn give_up(&self, holder: HolderId, lease: LeaseId, view: &LeaseView) -> Result<(), Refused> {
        // Otherwise it is being granted just now.
        if !self.is_recorded(lease) {
            return Ok(());
        }
        if view.uses.is_some() {
            self.end_uses(holder, lease, &[]);
        }
        if view.loading {
            return self.load_failed(holder, lease);
        }
        self.release(holder, lease)
    }

    /// Its client has an instance of a model.
    fn take_up(&self, holder: HolderId, instance: Instance, view: &LeaseView) -> Result<(), Refused> {
        let Instance { lease, model, state, uses } = instance;
        if view.uses.is_some() {
            // This daemon knows it, and missed what happened while nobody was connected.
            if view.loading && state != InstanceState::Loading {
                self.manager.loaded(holder, lease, model.load_ms);
            }
            self.end_uses(holder, lease, &uses);
            return Ok(());
        }
        // What is being unloaded is given back when that is done; nothing but a warm model has no end.
        if view.expires_at.is_some() || state == InstanceState::Unloading {
            return Ok(());
        }
        let name = model.name.clone();
        self.register(holder, model)?;
        let loads = state == InstanceState::Loading;
        let requests = self.manager.adopt(holder, lease, &name, loads, uses.len())?;
        let known = uses.into_iter().map(|name| (holder, name));
        self.uses().extend(known.zip(requests.into_iter().map(|request| (request, lease))));
        Ok(())
    }

    /// Uses of an instance have ended, but for these.
    fn end_uses(&self, holder: HolderId, lease: LeaseId, but: &[u64]) {
        let ended: Vec<RequestId> = self
            .uses()
            .extract_if(|(of, name), (_, with)| *of == holder && *with == lease && !but.contains(name))
            .map(|(_, (request, _))| request)
            .collect();
        for request in ended {
            self.manager.done(holder, request);
        }
    }
}

impl ModelBody {
    fn of(self, holder: HolderId) -> crate::WarmModel {
        let Self { name, owner, bytes, load_ms, replicas, concurrency } = self;
        crate::WarmModel { holder, model: name, owner, bytes, load_ms, replicas, concurrency }
    }
}
