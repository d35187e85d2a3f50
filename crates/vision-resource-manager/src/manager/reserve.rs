//! Where and when the first in line will be served.
//!
//! EASY backfilling (Lifka, "The ANL/IBM SP Scheduling System", 1995): the first that has to wait gets a reservation, and
//! others go before it only where that does not delay it.

use super::device::signed;
use super::event::{DeviceIndex, LeaseId};
use super::lease::InstanceState;
use super::waiting::{Reservation, Waiting, Want};
use super::{Manager, Pass};

/// What is under way is not expected to end sooner, in ms: it has taken longer than it should already.
pub(super) const SOON_MS: u64 = 1_000;

/// When a device will have room, which one, what is left beside it then, and who has to end for it.
type Fit = (u64, DeviceIndex, i64, Vec<LeaseId>);

impl Manager {
    /// The reservation of the first in line; `None` where nothing that ends would let it in.
    pub(super) fn reserve(&self, waiting: &Waiting, pass: &mut Pass) -> Option<Reservation> {
        let strict = waiting.patient_until <= self.now || waiting.overtaken >= self.settings.max_overtaken;
        if !strict {
            pass.wake_at(waiting.patient_until);
        }
        let found = self.soonest(&waiting.want)?;
        let from = last_of(&found);
        let spare = found.iter().map(|(_, device, spare, _)| (*device, *spare)).collect();
        let awaits = found.into_iter().flat_map(|(.., awaits)| awaits).collect();
        let for_lease = matches!(waiting.want, Want::Lease(_));
        Some(Reservation { request: waiting.request, from, spare, awaits, strict, for_lease })
    }

    /// The devices that will have what is wanted first, soonest first; `None` where too few ever will.
    fn soonest(&self, want: &Want) -> Option<Vec<Fit>> {
        let (bytes, gpus, named): (u64, usize, &[DeviceIndex]) = match want {
            Want::Lease(request) => (request.bytes, request.gpus as usize, &request.devices),
            Want::Use { model } => (self.models[*model].of.bytes, 1, &[]),
        };
        let mut found: Vec<Fit> = self
            .allowed(named)
            .filter(|device| !self.devices[*device].lost)
            .filter_map(|device| self.when_it_fits(device, bytes))
            .collect();
        if found.len() < gpus {
            return None;
        }
        found.sort_by_key(|(when, device, ..)| (*when, *device));
        found.truncate(gpus);
        Some(found)
    }

    /// When so many bytes will be there if nobody new comes, what is left beside them then, and who has to end for it.
    fn when_it_fits(&self, device: DeviceIndex, bytes: u64) -> Option<Fit> {
        let mut ends: Vec<(u64, LeaseId, u64)> = Vec::new();
        for (id, lease) in &self.leases {
            let Some(share) = lease.shares.iter().find(|share| share.device == device) else { continue };
            if !lease.returning() {
                ends.push((self.expected_end(*id), *id, share.bytes));
            }
        }
        ends.sort_unstable();
        let mut room = self.devices[device].room_soon(self.settings.headroom);
        let (mut when, mut awaits) = (self.now, Vec::new());
        for (end, lease, freed) in ends {
            if room >= signed(bytes) {
                break;
            }
            room = room.saturating_add(signed(freed));
            when = when.max(end);
            awaits.push(lease);
        }
        (room >= signed(bytes)).then(|| (when, device, room - signed(bytes), awaits))
    }

    /// When a lease will have ended, as far as can be seen, in ms.
    fn expected_end(&self, id: LeaseId) -> u64 {
        let Some(lease) = self.leases.get(&id) else { return self.now };
        let Some(instance) = &lease.instance else { return lease.expires_at.unwrap_or(u64::MAX) };
        let use_ms = self.models[instance.model].expected_use() as u64;
        match instance.state {
            InstanceState::Loading { until } => {
                until.max(self.now.saturating_add(SOON_MS)).saturating_add(use_ms)
            }
            InstanceState::Overdue { .. } => u64::MAX,
            InstanceState::Ready | InstanceState::Unloading => {
                let ends = instance.uses.iter().map(|(_, since)| since.saturating_add(use_ms));
                ends.max().map_or(self.now, |end| end.max(self.now.saturating_add(SOON_MS)))
            }
        }
    }

    /// In how many ms the leases in the way will have ended, as far as they tell and whoever else waits; `None` where they do not.
    pub(super) fn expected_wait(&self, want: &Want) -> Option<u64> {
        let from = last_of(&self.soonest(want)?)?;
        Some(from.saturating_sub(self.now))
    }
}

/// When the last of several devices has room, where that is known.
fn last_of(found: &[Fit]) -> Option<u64> {
    found.last().map(|(when, ..)| *when).filter(|when| *when < u64::MAX)
}
