//! The decisions: events in, decisions out, with integer bytes and the clock passed in.

mod answer;
mod decision;
mod device;
mod event;
mod expiry;
mod lease;
mod models;
mod overdue;
mod place;
mod quota;
mod reserve;
mod restore;
mod settings;
mod snapshot;
mod uses;
mod victims;
mod waiting;
mod worth;

use std::collections::{BTreeMap, BTreeSet};

pub use decision::{Decision, Ended, Refusal, Share};
use device::Device;
pub use event::{
    DeviceIndex, DeviceState, Event, HolderId, LeaseId, LeaseRequest, Priority, RequestId, RestoredLease,
    Used, WarmModel,
};
use lease::Lease;
use models::Model;
pub use settings::Settings;
pub use snapshot::{DeviceView, LeaseView, WaitingView};
use waiting::{Reservation, Waiting};

/// Who has how much memory of which device, and who waits for some.
///
/// [`Manager::apply`] takes an event and says what it leads to; nothing else changes the state, and nothing is read but what
/// the events say. The same events give the same decisions, in any implementation.
#[derive(Debug, Clone, Default)]
pub struct Manager {
    settings: Settings,
    now: u64,
    devices: Vec<Device>,
    leases: BTreeMap<LeaseId, Lease>,
    /// When leases end, and when loads and unloads are overdue, soonest first.
    ends: BTreeSet<(u64, LeaseId)>,
    /// First in line first.
    waiting: Vec<Waiting>,
    models: Vec<Model>,
    /// Uses that have begun: with which instance.
    uses: BTreeMap<RequestId, LeaseId>,
    /// What owners have leased and were promised, where they have a quota.
    by_owner: BTreeMap<Box<str>, u64>,
    last_lease: LeaseId,
    /// Whether what an earlier manager gave out is not all known yet.
    restoring: bool,
    arrivals: u64,
    /// When something may change without an event, found by the last look at the line.
    wake: Option<u64>,
}

/// What is true during one look at the line.
#[derive(Debug, Default)]
struct Pass {
    /// Where the first that has to wait will be served.
    reserved: Option<Reservation>,
    /// Of each model, how many that wait for it were passed.
    ahead: Vec<usize>,
    /// Of each model, how many wait for it.
    all: Vec<usize>,
    wake: Option<u64>,
}

impl Pass {
    fn wake_at(&mut self, when: u64) {
        self.wake = Some(self.wake.map_or(when, |sooner| sooner.min(when)));
    }
}

impl Manager {
    /// A manager of no devices yet; the first [`Event::Devices`] says which there are.
    pub fn new(settings: Settings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// A manager whose leases get numbers above `last`, which the one before it may have given out.
    pub fn continuing(settings: Settings, last: LeaseId) -> Self {
        Self { settings, last_lease: last, ..Self::default() }
    }

    /// Takes an event at `now` (ms on any clock that does not go back; where it does, it stands still) and adds what that
    /// leads to to `out`.
    pub fn apply(&mut self, now: u64, event: Event, out: &mut Vec<Decision>) {
        self.now = self.now.max(now);
        let ended = self.expire(out);
        let request = match &event {
            Event::Request(LeaseRequest { request, .. }) | Event::Use { request, .. } => Some(*request),
            _ => None,
        };
        let changed = self.take(event, out);
        if changed || ended || self.wake.is_some_and(|wake| wake <= self.now) {
            self.look(out);
        }
        if let Some(request) = request.filter(|_| changed) {
            self.tell_that_it_waits(request, out);
        }
    }

    /// When something happens although no event comes, in ms of the same clock: the next [`Event::Tick`] is due then.
    pub fn next_tick(&self) -> Option<u64> {
        let ends = self.ends.first().map(|(when, _)| *when);
        let deadline = self.waiting.iter().map(|waiting| waiting.deadline).min();
        [ends, deadline, self.wake].into_iter().flatten().min()
    }

    /// Carries out an event; says whether somebody that waits may be served now.
    fn take(&mut self, event: Event, out: &mut Vec<Decision>) -> bool {
        match event {
            Event::Devices { devices, began_at } => self.read(&devices, began_at, out),
            Event::Request(request) => self.request(request, out),
            Event::Cancel { request, holder } => self.cancel(request, holder, out),
            Event::Renew { lease, holder, duration_ms } => self.renew(lease, holder, duration_ms, out),
            Event::Release { lease, holder } => self.release(lease, holder, out),
            Event::HolderGone { holder } => self.holder_gone(holder, out),
            Event::Unregister { holder, model } => self.unregister(holder, model, out),
            Event::Register(model) => self.register(model, out),
            Event::Use { request, holder, model, priority, wait_ms } => {
                self.want_use(request, holder, &model, priority, wait_ms, out)
            }
            Event::Done { request, holder } => self.done(request, holder),
            Event::Loaded { lease, holder, took_ms } => self.loaded(lease, holder, took_ms, out),
            Event::LoadFailed { lease, holder } => self.load_failed(lease, holder, out),
            Event::Unloaded { lease, holder } => self.unloaded(lease, holder, out),
            Event::Optimize { target_free, device } => self.optimize(target_free, device, out),
            Event::Restore(lease) => self.restore(lease),
            Event::Adopt { lease, holder, model, loads, uses } => {
                self.adopt(lease, holder, &model, loads, uses, out)
            }
            Event::Restored => self.restored(),
            Event::Tick => false,
        }
    }

    /// Looks who of those that wait can be served, first in line first.
    fn look(&mut self, out: &mut Vec<Decision>) {
        if self.waiting.is_empty() || self.restoring {
            self.wake = None;
            return;
        }
        let none = || vec![0; self.models.len()];
        let mut pass = Pass { ahead: none(), all: none(), ..Pass::default() };
        for waiting in &self.waiting {
            if let waiting::Want::Use { model } = waiting.want {
                pass.all[model] += 1;
            }
        }
        for mut waiting in std::mem::take(&mut self.waiting) {
            if self.serve(&mut waiting, &mut pass, out) {
                for before in &mut self.waiting {
                    before.overtaken = before.overtaken.saturating_add(1);
                }
            } else {
                self.waiting.push(waiting);
            }
        }
        self.wake = pass.wake;
    }

    /// Serves one, if it can be served now.
    fn serve(&mut self, waiting: &mut Waiting, pass: &mut Pass, out: &mut Vec<Decision>) -> bool {
        match &waiting.want {
            waiting::Want::Lease(_) => self.serve_lease(waiting, pass, out),
            waiting::Want::Use { model } => self.serve_use(*model, waiting, pass, out),
        }
    }

    /// Puts somebody in line.
    fn enter(&mut self, request: RequestId, priority: Priority, wait_ms: u64, want: waiting::Want) {
        self.arrivals += 1;
        let earlier = (priority as u64).saturating_mul(self.settings.aging_ms);
        let order = (device::signed(self.now).saturating_sub(device::signed(earlier)), self.arrivals);
        let entry = Waiting {
            request,
            priority,
            order,
            since: self.now,
            deadline: self.now.saturating_add(wait_ms),
            patient_until: self.now.saturating_add(wait_ms / 2),
            overtaken: 0,
            want,
            claim: None,
        };
        let place = self.waiting.partition_point(|other| other.order < order);
        self.waiting.insert(place, entry);
    }

    fn next_lease(&mut self) -> LeaseId {
        self.last_lease += 1;
        self.last_lease
    }

    /// Adds a lease to the ledgers.
    fn add(&mut self, id: LeaseId, lease: Lease) {
        for share in &lease.shares {
            self.devices[share.device].lease(lease.holder, share.bytes);
        }
        self.charge(&lease.owner, &lease.shares);
        if let Some(end) = lease.due() {
            self.ends.insert((end, id));
        }
        self.leases.insert(id, lease);
    }

    /// Takes a lease out of the ledgers; those that wait for its memory wait for what the driver says of it only. Where it was
    /// not `returned` by its holder, its memory is not given out before the driver was asked again.
    fn remove(&mut self, id: LeaseId, returned: bool) -> Option<Lease> {
        let lease = self.leases.remove(&id)?;
        let returning = lease.returning();
        for share in &lease.shares {
            let device = &mut self.devices[share.device];
            device.give_back(lease.holder, share.bytes, self.now, returned);
            if returning {
                device.returning -= share.bytes;
            }
        }
        self.discharge(&lease.owner, &lease.shares);
        if let Some(end) = lease.due() {
            self.ends.remove(&(end, id));
        }
        if let Some(instance) = &lease.instance {
            self.models[instance.model].instances.retain(|other| *other != id);
        }
        for waiting in &mut self.waiting {
            if let Some(claim) = &mut waiting.claim {
                claim.awaits.retain(|other| *other != id);
            }
        }
        Some(lease)
    }

    /// Takes back what was promised to somebody.
    fn drop_claim(&mut self, waiting: &mut Waiting) {
        let Some(claim) = waiting.claim.take() else { return };
        let owner = self.owner_of(&waiting.want);
        self.discharge(&owner, &claim.shares);
        for share in claim.shares {
            self.devices[share.device].claimed -= share.bytes;
        }
        if let waiting::Want::Use { model } = waiting.want {
            self.models[model].claims -= 1;
        }
    }
}
