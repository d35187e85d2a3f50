//! Who has to go so that somebody fits, at the least cost.

use super::event::{DeviceIndex, LeaseId, Priority};
use super::{Manager, Pass};

/// One that could go.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub(super) lease: LeaseId,
    /// Bytes that this frees on the device.
    pub(super) bytes: u64,
    /// The waiting of others, in ms, that it costs.
    pub(super) cost: f64,
}

impl Candidate {
    pub(super) fn cost_per_byte(&self) -> f64 {
        self.cost / self.bytes.max(1) as f64
    }
}

/// All subsets of so many candidates are looked at, 256; of more, those that cost least for their size.
const LOOKED_AT: usize = 8;
/// What it costs to take a lease from its holder, for each step of its priority, in ms: more than unloading anything.
const LEASE_COST: f64 = 1e9;

impl Manager {
    /// The idle instances on a device, whatever was promised about them.
    pub(super) fn idle_on(&self, device: DeviceIndex) -> Vec<Candidate> {
        let mut found = Vec::new();
        for (id, lease) in &self.leases {
            let Some(instance) = lease.instance.as_ref().filter(|instance| instance.idle()) else { continue };
            let Some(share) = lease.shares.iter().find(|share| share.device == device) else { continue };
            found.push(Candidate { lease: *id, bytes: share.bytes, cost: self.regret(instance.model) });
        }
        found
    }

    /// Who goes from a device so that `missing` bytes more are there, and the waiting of others, in ms, that it costs; see
    /// [`Self::candidates`].
    pub(super) fn who_goes(
        &self,
        device: DeviceIndex,
        missing: u64,
        priority: Priority,
        model: Option<usize>,
        pass: &mut Pass,
    ) -> Option<(f64, Vec<LeaseId>)> {
        cheapest(self.candidates(device, priority, model, pass), missing)
    }

    /// Those that may have to go from a device for a request of this priority; instances of `model` stay. Looks
    /// again when an instance that was only just used may go.
    fn candidates(
        &self,
        device: DeviceIndex,
        priority: Priority,
        model: Option<usize>,
        pass: &mut Pass,
    ) -> Vec<Candidate> {
        let mut found = Vec::new();
        for (id, lease) in &self.leases {
            let Some(share) = lease.shares.iter().find(|share| share.device == device) else { continue };
            let cost = match &lease.instance {
                Some(instance) if Some(instance.model) == model => continue,
                Some(instance) if instance.evictable(self.now, self.settings.hold_ms) => {
                    self.regret(instance.model)
                }
                Some(instance) if instance.idle() => {
                    pass.wake_at(instance.last.saturating_add(self.settings.hold_ms));
                    continue;
                }
                Some(_) => continue,
                None if lease.preemptible && lease.priority < priority && !lease.returning() => {
                    LEASE_COST * (1.0 + f64::from(lease.priority as u8))
                }
                None => continue,
            };
            found.push(Candidate { lease: *id, bytes: share.bytes, cost });
        }
        found
    }
}

/// The cheapest of `candidates` that together free `missing` bytes, with what they cost; `None` where all of them do not.
fn cheapest(mut candidates: Vec<Candidate>, missing: u64) -> Option<(f64, Vec<LeaseId>)> {
    if missing == 0 {
        return Some((0.0, Vec::new()));
    }
    if candidates.iter().map(|candidate| candidate.bytes).sum::<u64>() < missing {
        return None;
    }
    candidates.sort_by(|a, b| a.cost_per_byte().total_cmp(&b.cost_per_byte()).then(a.lease.cmp(&b.lease)));
    let few = &candidates[..candidates.len().min(LOOKED_AT)];
    let mut best: Option<(f64, u64, u32)> = None;
    for chosen in 1_u32..1 << few.len() {
        let of = |index: &usize| chosen >> *index & 1 == 1;
        let (mut bytes, mut cost) = (0, 0.0);
        for index in (0..few.len()).filter(of) {
            bytes += few[index].bytes;
            cost += few[index].cost;
        }
        let better = |best: (f64, u64, u32)| cost < best.0 || (cost == best.0 && bytes < best.1);
        if bytes >= missing && best.is_none_or(better) {
            best = Some((cost, bytes, chosen));
        }
    }
    if let Some((cost, _, chosen)) = best {
        let leases = (0..few.len()).filter(|index| chosen >> *index & 1 == 1).map(|index| few[index].lease);
        return Some((cost, leases.collect()));
    }
    let (mut bytes, mut cost, mut leases) = (0, 0.0, Vec::new());
    for candidate in candidates {
        if bytes >= missing {
            break;
        }
        bytes += candidate.bytes;
        cost += candidate.cost;
        leases.push(candidate.lease);
    }
    Some((cost, leases))
}
