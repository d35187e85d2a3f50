//! What there is, for those who look.

use super::Manager;
use super::decision::Share;
use super::event::{DeviceIndex, HolderId, LeaseId, Priority, RequestId};
use super::lease::{Instance, Lease};
use super::waiting::{Waiting, Want};

/// A device, as it is given out. Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceView {
    /// In all.
    pub total: u64,
    /// What the driver calls used.
    pub used: u64,
    /// What leases say.
    pub leased: u64,
    /// What leases do not explain.
    pub external: u64,
    /// What may be given out.
    pub free: u64,
    /// Whether it has vanished.
    pub lost: bool,
}

/// A lease, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseView {
    /// Its number and fencing token.
    pub lease: LeaseId,
    /// Who has it.
    pub holder: HolderId,
    /// On whose account.
    pub owner: Box<str>,
    /// What for.
    pub model: Option<Box<str>>,
    /// How much it matters.
    pub priority: Priority,
    /// Where.
    pub shares: Vec<Share>,
    /// When it ends, in ms; instances of warm models have no end.
    pub expires_at: Option<u64>,
    /// Set where its holder was asked to give it back: for whom.
    pub preempted_by: Option<Priority>,
    /// Whether it is a warm model, and how many use it.
    pub uses: Option<usize>,
    /// Whether it is a warm model that is being loaded.
    pub loading: bool,
    /// Whether it is a warm model that was told to go and is not out yet.
    pub unloading: bool,
    /// Whether its device has vanished.
    pub lost: bool,
}

/// One that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingView {
    /// Its number.
    pub request: RequestId,
    /// Who.
    pub holder: HolderId,
    /// On whose account.
    pub owner: Box<str>,
    /// What for.
    pub model: Option<Box<str>>,
    /// Bytes on each device.
    pub bytes: u64,
    /// On how many.
    pub gpus: u32,
    /// How much it matters.
    pub priority: Priority,
    /// Since when, in ms.
    pub since: u64,
    /// Until when, in ms.
    pub deadline: u64,
    /// In how many ms what is in its way is expected to have ended, whoever else waits, where that is known; of the first [`TOLD`] in line.
    pub expected_wait_ms: Option<u64>,
}

/// For how many that wait it is worked out when they will be served: each costs a look at every lease.
const TOLD: usize = 64;

impl Manager {
    /// The devices, in the driver's order.
    pub fn devices(&self) -> impl Iterator<Item = DeviceView> {
        self.devices.iter().map(|device| DeviceView {
            total: device.total,
            used: device.total - device.driver_free,
            leased: device.leased,
            external: device.external(),
            free: device.free(self.settings.headroom),
            lost: device.lost,
        })
    }

    /// The leases, oldest first.
    pub fn leases(&self) -> impl Iterator<Item = LeaseView> {
        self.leases.iter().map(|(id, lease)| view(*id, lease))
    }

    /// One of them.
    pub fn lease(&self, id: LeaseId) -> Option<LeaseView> {
        self.leases.get(&id).map(|lease| view(id, lease))
    }

    /// Those that wait, first in line first.
    pub fn waiting(&self) -> impl Iterator<Item = WaitingView> {
        self.waiting.iter().enumerate().map(|(place, waiting)| {
            let (holder, owner, model, bytes, gpus) = match &waiting.want {
                Want::Lease(of) => (of.holder, of.owner.clone(), of.model.clone(), of.bytes, of.gpus),
                Want::Use { model } => {
                    let of = &self.models[*model].of;
                    (of.holder, of.owner().into(), Some(of.model.clone()), of.bytes, 1)
                }
            };
            let Waiting { request, priority, since, deadline, .. } = *waiting;
            let expected_wait_ms = (place < TOLD).then(|| self.expected_wait(&waiting.want)).flatten();
            WaitingView {
                request,
                holder,
                owner,
                model,
                bytes,
                gpus,
                priority,
                since,
                deadline,
                expected_wait_ms,
            }
        })
    }

    /// Who has a lease.
    pub fn holder(&self, lease: LeaseId) -> Option<HolderId> {
        self.leases.get(&lease).map(|lease| lease.holder)
    }

    /// Bytes of a device that a holder has leased, where it has any.
    pub fn leased(&self, holder: HolderId, device: DeviceIndex) -> Option<u64> {
        self.devices
            .get(device)?
            .holders
            .get(&holder)
            .map(|holding| holding.leased)
            .filter(|leased| *leased > 0)
    }

    /// The number of the newest lease: whoever continues has to begin above it.
    pub fn last_lease(&self) -> LeaseId {
        self.last_lease
    }
}

fn view(id: LeaseId, lease: &Lease) -> LeaseView {
    LeaseView {
        lease: id,
        holder: lease.holder,
        owner: lease.owner.clone(),
        model: lease.model.clone(),
        priority: lease.priority,
        shares: lease.shares.clone(),
        expires_at: lease.expires_at,
        preempted_by: lease.preempted_by,
        uses: lease.instance.as_ref().map(|instance| instance.uses.len()),
        loading: lease.instance.as_ref().is_some_and(Instance::loads),
        unloading: lease.instance.as_ref().is_some_and(Instance::unloads),
        lost: lease.lost,
    }
}
