//! Leases: what is given out is written down before anybody is told.

use std::io;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::error::Refused;
use super::journal::{Recorded, RecordedShare};
use super::pending::Pending;
use super::process::Process;
use super::server::{Disk, Shared, epoch_ms};
use super::wire::{Lease, LeasedGpu};
use crate::{Allocate, Granted, HolderId, LeaseId, Share};

impl Shared {
    /// Asks for memory; dropping the future takes the request back, and so does [`Self::take_back`] by the caller's own number of it.
    pub(super) async fn allocate(
        self: &Arc<Self>,
        holder: HolderId,
        process: Process,
        client: &str,
        ask: Allocate,
        name: Option<u64>,
    ) -> Result<Lease, Refused> {
        let (tell, told) = oneshot::channel();
        let (me, recorded) = (Arc::clone(self), ask.clone());
        let client: Box<str> = client.into();
        let request = self.manager.allocate(holder, ask, move |answer| {
            let answer = answer.map_err(Refused::Manager).and_then(|granted| {
                let lease = granted.lease;
                me.record(process, client, recorded, granted).inspect_err(|_| me.give_back(holder, lease))
            });
            // Whoever asked has hung up: nobody would give it back.
            if let Err(Ok(lease)) = tell.send(answer) {
                me.give_back(holder, lease.lease);
            }
        })?;
        let undo = |host: &Shared, holder, lease: Lease| host.give_back(holder, lease.lease);
        Pending::new(self, holder, request, name, told, undo).answer().await
    }

    /// A request is not wanted any longer; its answer says so, unless it was served before.
    pub(super) fn take_back(&self, holder: HolderId, name: u64) -> Result<(), Refused> {
        let request = self.named().get(&(holder, name)).copied().ok_or(Refused::NoSuchRequest(name))?;
        self.manager.cancel(holder, request);
        Ok(())
    }

    /// Writes a lease down, and says what its holder is told.
    fn record(
        &self,
        process: Process,
        client: Box<str>,
        ask: Allocate,
        granted: Granted,
    ) -> Result<Lease, Refused> {
        let Granted { lease, shares, uuids, expires_at, waited_ms } = granted;
        let expires_in_ms = expires_at.saturating_sub(self.manager.now());
        let of = |(share, uuid): (Share, Option<String>)| LeasedGpu {
            index: share.device,
            uuid: uuid.map(Into::into),
            bytes: share.bytes,
        };
        let gpus: Vec<LeasedGpu> = shares.into_iter().zip(uuids).map(of).collect();
        let written = |gpu: &LeasedGpu| Some(RecordedShare { uuid: gpu.uuid.clone()?, bytes: gpu.bytes });
        let recorded = Recorded {
            lease,
            process,
            client,
            owner: ask.owner,
            model: ask.model,
            priority: ask.priority,
            gpus: gpus.iter().filter_map(written).collect(),
            ends: Some(epoch_ms().saturating_add(expires_in_ms)),
            preemptible: ask.preemptible,
            grace_ms: ask.grace_ms,
        };
        self.write_down(recorded).map_err(Refused::Storage)?;
        Ok(Lease { lease, fencing_token: lease, gpus, expires_in_ms, waited_ms })
    }

    /// Before its holder hears of it.
    pub(super) fn write_down(&self, lease: Recorded) -> io::Result<()> {
        let mut disk = self.disk();
        // Its number first: no later daemon may give that out, whatever becomes of the rest.
        disk.tokens.cover(lease.lease)?;
        disk.journal.granted(lease)
    }

    /// No later daemon gives out a lease of this number.
    pub(super) fn cover(&self, lease: LeaseId) -> io::Result<()> {
        self.disk().tokens.cover(lease)
    }

    fn give_back(&self, holder: HolderId, lease: LeaseId) {
        // It may have ended by itself; then nothing is left to do.
        drop(self.manager.release(holder, lease));
        self.forget(lease);
    }

    pub(super) fn renew(&self, holder: HolderId, lease: LeaseId, duration_ms: u64) -> Result<u64, Refused> {
        let expires_at = self.manager.renew(holder, lease, duration_ms)?;
        let left = expires_at.saturating_sub(self.manager.now());
        let ends = epoch_ms().saturating_add(left);
        self.disk().journal.ends(lease, ends).map_err(Refused::Storage)?;
        Ok(left)
    }

    /// Gives a lease back; a warm model's when it is unloaded.
    pub(super) fn release(&self, holder: HolderId, lease: LeaseId) -> Result<(), Refused> {
        let is_warm = self.disk().journal.held().get(&lease).is_some_and(|of| of.ends.is_none());
        self.manager.release(holder, lease)?;
        self.forget(lease);
        if is_warm {
            // Whoever waits for its memory waits for the driver to say that it is free.
            self.manager.read_soon();
        }
        Ok(())
    }

    /// A lease has ended. Where that cannot be written, it ends for the next daemon when its time is over, or its process.
    pub(super) fn forget(&self, lease: LeaseId) {
        self.write(|disk| disk.journal.gone(lease));
        self.ended.notify_waiters();
    }

    /// A holder's process, as callers are told of it; 0 where it is not known.
    pub(super) fn pid(&self, holder: HolderId) -> u32 {
        self.manager.process(holder).map_or(0, |process| process.pid)
    }

    /// A GPU, as callers are told of it.
    pub(super) fn leased_gpu(&self, share: Share) -> LeasedGpu {
        let uuid = self.manager.uuid(share.device).map(Into::into);
        LeasedGpu { index: share.device, uuid, bytes: share.bytes }
    }

    pub(super) fn write(&self, write: impl FnOnce(&mut Disk) -> io::Result<()>) {
        drop(write(&mut self.disk()));
    }

    pub(super) fn is_recorded(&self, lease: LeaseId) -> bool {
        self.disk().journal.held().contains_key(&lease)
    }
}
