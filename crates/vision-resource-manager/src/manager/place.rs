//! Leases: on which devices, and who has to go for them.

use super::decision::{Decision, Share};
use super::device::signed;
use super::event::{DeviceIndex, LeaseId, LeaseRequest, RequestId};
use super::lease::Lease;
use super::waiting::{Claim, Waiting, Want};
use super::{Manager, Pass};

/// A claim is looked over again when the driver has said for so many ms that its memory is not there: others took it. A
/// process that has ended, or a model that was unloaded, is seen to be gone sooner.
const READINGS_MS: u64 = 100;

/// A device that would do.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place {
    /// The waiting of others, in ms, that it costs.
    pub(super) cost: f64,
    /// Bytes that are left there beside.
    pub(super) left: i64,
    pub(super) device: DeviceIndex,
    pub(super) victims: Vec<LeaseId>,
    pub(super) ends_before: Option<(RequestId, u64)>,
}

impl Place {
    /// Least cost first, of those where nobody has to go, and then the tightest fit: what is left over is then of most use to
    /// others.
    pub(super) fn before(&self, other: &Self) -> std::cmp::Ordering {
        let by_cost = self.cost.total_cmp(&other.cost);
        let by_cost = by_cost.then(other.victims.is_empty().cmp(&self.victims.is_empty()));
        by_cost.then(self.left.cmp(&other.left)).then(self.device.cmp(&other.device))
    }
}

impl Manager {
    pub(super) fn serve_lease(
        &mut self,
        waiting: &mut Waiting,
        pass: &mut Pass,
        out: &mut Vec<Decision>,
    ) -> bool {
        let Want::Lease(request) = waiting.want.clone() else { return false };
        let ends_before = waiting.claim.as_ref().and_then(|claim| claim.ends_before);
        let ends_before = ends_before.filter(|(first, _)| self.waits(*first));
        if ends_before.is_some_and(|(_, end)| end <= self.now) {
            // What it was to be given beside is needed now.
            self.drop_claim(waiting);
        }
        if self.claim_is_ready(waiting) {
            if let Some(claim) = waiting.claim.clone() {
                self.drop_claim(waiting);
                self.grant(waiting, &request, claim.shares, ends_before, out);
            }
            return true;
        }
        self.drop_claim_on_what_others_took(waiting);
        if waiting.claim.is_some() {
            return false;
        }
        let total = request.bytes * u64::from(request.gpus);
        let beyond = self.beyond_quota(&request.owner, total);
        if beyond > 0 {
            if waiting.deadline > self.now {
                self.make_quota(&request.owner, beyond, request.priority, None, f64::INFINITY, pass, out);
            }
            return false;
        }
        let Some(places) = self.places(&request, pass) else {
            if pass.reserved.is_none() {
                pass.reserved = self.reserve(waiting, pass);
            }
            return false;
        };
        let ends_before = places.iter().filter_map(|place| place.ends_before).min_by_key(|(_, end)| *end);
        let shares: Vec<Share> =
            places.iter().map(|place| Share { device: place.device, bytes: request.bytes }).collect();
        self.take_of_reserved(&shares, pass);
        if places.iter().all(|place| place.victims.is_empty() && self.fits_now(place.device, request.bytes)) {
            self.grant(waiting, &request, shares, ends_before, out);
            return true;
        }
        if waiting.deadline <= self.now {
            return false;
        }
        let awaits: Vec<LeaseId> = places.into_iter().flat_map(|place| place.victims).collect();
        for victim in &awaits {
            self.let_go(*victim, request.priority, out);
        }
        for share in &shares {
            self.devices[share.device].claimed += share.bytes;
        }
        self.charge(&request.owner, &shares);
        waiting.claim = Some(Claim { shares, awaits, readings: None, ends_before });
        false
    }

    /// Whether all that was promised is there.
    pub(super) fn claim_is_ready(&self, waiting: &Waiting) -> bool {
        let headroom = self.settings.headroom;
        waiting.claim.as_ref().is_some_and(|claim| {
            claim.awaits.is_empty()
                && claim.shares.iter().all(|share| self.devices[share.device].free(headroom) >= share.bytes)
        })
    }

    pub(super) fn drop_claim_on_what_others_took(&mut self, waiting: &mut Waiting) {
        let readings = waiting.claim.as_ref().and_then(|claim| claim.readings);
        if readings.is_some_and(|(first, last)| last - first >= READINGS_MS) {
            self.drop_claim(waiting);
        }
    }

    pub(super) fn fits_now(&self, device: DeviceIndex, bytes: u64) -> bool {
        self.devices[device].room_now(self.settings.headroom) >= signed(bytes)
    }

    pub(super) fn take_of_reserved(&self, shares: &[Share], pass: &mut Pass) {
        for share in shares {
            if let Some(reserved) = &mut pass.reserved {
                reserved.take(share.device, signed(share.bytes));
            }
        }
    }

    /// Where all of a request fits, at the least cost.
    fn places(&self, request: &LeaseRequest, pass: &mut Pass) -> Option<Vec<Place>> {
        let end = self.now.saturating_add(request.duration_ms);
        let (mut found, mut full): (Vec<Place>, Vec<Place>) = (Vec::new(), Vec::new());
        for device in self.allowed(&request.devices) {
            if self.devices[device].lost {
                continue;
            }
            let Some(ends_before) = self.beside_reserved(device, request.bytes, Some(end), pass) else {
                continue;
            };
            let room = self.devices[device].room_soon(self.settings.headroom);
            let left = room.saturating_sub(signed(request.bytes));
            let list = if left < 0 { &mut full } else { &mut found };
            list.push(Place { cost: 0.0, left, device, victims: Vec::new(), ends_before });
        }
        if found.len() < request.gpus as usize {
            // Nobody is looked for that would have to go where there is room without.
            for mut place in full {
                let missing = place.left.unsigned_abs();
                let goes = self.who_goes(place.device, missing, request.priority, None, pass);
                let Some(goes) = goes else { continue };
                (place.cost, place.victims) = goes;
                found.push(place);
            }
        }
        if found.len() < request.gpus as usize {
            return None;
        }
        found.sort_by(Place::before);
        found.truncate(request.gpus as usize);
        Some(found)
    }

    /// Whether memory of a device may be given to somebody that is not the first in line: without end where it is beside
    /// what the first will need (`Some(None)`), or until the first needs it.
    pub(super) fn beside_reserved(
        &self,
        device: DeviceIndex,
        bytes: u64,
        end: Option<u64>,
        pass: &Pass,
    ) -> Option<Option<(RequestId, u64)>> {
        let Some(reserved) = pass.reserved.as_ref().filter(|first| first.for_lease || first.strict) else {
            return Some(None);
        };
        match reserved.spare_on(device) {
            None => Some(None),
            Some(spare) if spare >= signed(bytes) => Some(None),
            Some(_) => {
                let from = reserved.from?;
                (end? <= from).then_some(Some((reserved.request, from)))
            }
        }
    }

    fn grant(
        &mut self,
        waiting: &Waiting,
        request: &LeaseRequest,
        shares: Vec<Share>,
        ends_before: Option<(RequestId, u64)>,
        out: &mut Vec<Decision>,
    ) {
        let id = self.next_lease();
        let most = ends_before.map_or(u64::MAX, |(_, end)| end);
        let expires_at = self.now.saturating_add(request.duration_ms).min(most);
        let lease = Lease {
            holder: request.holder,
            owner: request.owner.clone(),
            model: request.model.clone(),
            priority: request.priority,
            shares: shares.clone(),
            expires_at: Some(expires_at),
            ends_before,
            preemptible: request.preemptible,
            grace_ms: request.grace_ms,
            preempted_by: None,
            lost: false,
            instance: None,
        };
        self.add(id, lease);
        let waited_ms = self.now - waiting.since;
        out.push(Decision::Granted { request: waiting.request, lease: id, shares, expires_at, waited_ms });
    }
}
