//! What requests are told at once, and why something is refused.

use super::Manager;
use super::decision::{Decision, Refusal};
use super::device::Device;
use super::event::{DeviceIndex, DeviceState, LeaseRequest, MOST_MS, Priority, RequestId};
use super::waiting::Want;

impl Manager {
    /// Takes what the driver says of the devices.
    pub(super) fn read(
        &mut self,
        states: &[DeviceState],
        began_at: Option<u64>,
        out: &mut Vec<Decision>,
    ) -> bool {
        if self.devices.len() < states.len() {
            self.devices.resize_with(states.len(), Device::default);
        }
        for (index, device) in self.devices.iter_mut().enumerate() {
            match states.get(index) {
                Some(state) => device.read(state, began_at),
                None => device.lost = true,
            }
        }
        self.say_what_vanished(out);
        self.say_who_takes_more(out);
        for waiting in &mut self.waiting {
            if let Some(claim) = waiting.claim.as_mut().filter(|claim| claim.awaits.is_empty()) {
                let first = claim.readings.map_or(self.now, |(first, _)| first);
                claim.readings = Some((first, self.now));
            }
        }
        true
    }

    fn say_what_vanished(&mut self, out: &mut Vec<Decision>) {
        for (id, lease) in &mut self.leases {
            let lost = lease.shares.iter().any(|share| self.devices[share.device].lost);
            if lost != lease.lost {
                lease.lost = lost;
                let (lease, holder) = (*id, lease.holder);
                out.push(if lost {
                    Decision::Lost { lease, holder }
                } else {
                    Decision::Found { lease, holder }
                });
            }
        }
    }

    fn say_who_takes_more(&mut self, out: &mut Vec<Decision>) {
        for (index, device) in self.devices.iter_mut().enumerate() {
            if device.lost {
                // Nothing is said of it.
                continue;
            }
            for (holder, holding) in &mut device.holders {
                let used = holding.used.unwrap_or(0);
                // Up to the headroom it is what drivers and libraries take beside.
                let more = holding.uses_more(self.settings.headroom);
                if more && !holding.reported {
                    out.push(Decision::Overuse {
                        holder: *holder,
                        device: index,
                        leased: holding.leased,
                        used,
                    });
                }
                holding.reported = more;
            }
            device.holders.retain(|_, holding| !holding.is_empty());
        }
    }

    pub(super) fn request(&mut self, mut request: LeaseRequest, out: &mut Vec<Decision>) -> bool {
        for time in [&mut request.duration_ms, &mut request.wait_ms, &mut request.grace_ms] {
            *time = MOST_MS.min(*time);
        }
        if let Some(refusal) = self.refusal(&request) {
            out.push(Decision::Refused { request: request.request, refusal });
            return false;
        }
        let (id, priority, wait_ms) = (request.request, request.priority, request.wait_ms);
        self.enter(id, priority, wait_ms, Want::Lease(request));
        true
    }

    /// Why a request need not wait.
    fn refusal(&self, request: &LeaseRequest) -> Option<Refusal> {
        let invalid = |problem: &str| Some(Refusal::Invalid { problem: problem.into() });
        if request.bytes == 0 || request.gpus == 0 || request.duration_ms == 0 {
            return invalid("bytes, gpus and duration have to be above 0");
        }
        if request.devices.iter().any(|device| *device >= self.devices.len()) {
            return invalid("a device that does not exist");
        }
        let named = |index: usize| request.devices[..index].contains(&request.devices[index]);
        if (0..request.devices.len()).any(named) {
            return invalid("a device that is named twice");
        }
        if self.known(request.request) {
            return invalid("a request's number that is in use");
        }
        let want = Want::Lease(request.clone());
        let fitting = self.allowed(&request.devices).filter(|index| self.ever_fits(*index, request.bytes));
        if fitting.count() < request.gpus as usize {
            return Some(self.why_not(&want));
        }
        if let Some(overuse) = self.overuse(request.holder) {
            return Some(overuse);
        }
        let asked = request.bytes.saturating_mul(u64::from(request.gpus));
        self.never_in_quota(&request.owner, asked).or_else(|| self.full())
    }

    pub(super) fn full(&self) -> Option<Refusal> {
        let waiting = self.waiting.len();
        (waiting >= self.settings.max_waiting).then_some(Refusal::QueueFull { waiting })
    }

    pub(super) fn known(&self, request: RequestId) -> bool {
        self.uses.contains_key(&request) || self.waits(request)
    }

    pub(super) fn waits(&self, request: RequestId) -> bool {
        self.waiting.iter().any(|waiting| waiting.request == request)
    }

    fn overuse(&self, holder: super::HolderId) -> Option<Refusal> {
        self.devices.iter().enumerate().find_map(|(device, ledger)| {
            let holding = ledger.holders.get(&holder).filter(|holding| holding.reported)?;
            Some(Refusal::Overuse { device, leased: holding.leased, used: holding.used.unwrap_or(0) })
        })
    }

    /// The devices that a request names; all where it names none.
    pub(super) fn allowed<'a>(&'a self, named: &'a [DeviceIndex]) -> impl Iterator<Item = DeviceIndex> + 'a {
        (0..self.devices.len()).filter(move |index| named.is_empty() || named.contains(index))
    }

    fn ever_fits(&self, device: DeviceIndex, bytes: u64) -> bool {
        self.devices[device].total.saturating_sub(self.settings.headroom) >= bytes
    }

    /// What is in the way.
    pub(super) fn why_not(&self, want: &Want) -> Refusal {
        let (bytes, gpus, named): (u64, u32, &[DeviceIndex]) = match want {
            Want::Lease(request) => (request.bytes, request.gpus, &request.devices),
            Want::Use { model } => (self.models[*model].of.bytes, 1, &[]),
        };
        let headroom = self.settings.headroom;
        let can_ever_fit =
            self.allowed(named).filter(|index| self.ever_fits(*index, bytes)).count() >= gpus as usize;
        let most = self
            .allowed(named)
            .max_by_key(|index| (self.devices[*index].free(headroom), std::cmp::Reverse(*index)));
        Refusal::Insufficient {
            asked: bytes,
            largest_free: most.map_or(0, |index| self.devices[index].free(headroom)),
            device: most,
            leased: self.allowed(named).map(|index| self.devices[index].leased).sum(),
            external: self.allowed(named).map(|index| self.devices[index].external()).sum(),
            lost: self.allowed(named).filter(|index| self.devices[*index].lost).count(),
            can_ever_fit,
            expected_wait_ms: can_ever_fit.then(|| self.expected_wait(want)).flatten(),
        }
    }

    /// Why somebody waited for nothing, whose promises are dropped.
    pub(super) fn why_in_vain(&self, want: &Want) -> Refusal {
        if self.restoring {
            return Refusal::Restoring;
        }
        let (owner, bytes) = match want {
            Want::Lease(request) => (&*request.owner, request.bytes * u64::from(request.gpus)),
            Want::Use { model } => (self.models[*model].of.owner(), self.models[*model].of.bytes),
        };
        let over = (self.beyond_quota(owner, bytes) > 0).then(|| self.quota_of(owner)).flatten();
        over.unwrap_or_else(|| self.why_not(want))
    }

    /// Says of a request that came now that it waits, or that it does not want to.
    pub(super) fn tell_that_it_waits(&mut self, request: RequestId, out: &mut Vec<Decision>) {
        let Some(place) = self.waiting.iter().position(|waiting| waiting.request == request) else { return };
        if self.waiting[place].deadline <= self.now {
            let mut waiting = self.waiting.remove(place);
            self.drop_claim(&mut waiting);
            let refusal = self.why_in_vain(&waiting.want);
            out.push(Decision::Refused { request, refusal });
            return;
        }
        let expected = self.expected_wait(&self.waiting[place].want);
        out.push(Decision::Queued { request, ahead: place, expected_wait_ms: expected });
    }

    pub(super) fn want_use(
        &mut self,
        request: RequestId,
        holder: super::HolderId,
        name: &str,
        priority: Priority,
        wait_ms: u64,
        out: &mut Vec<Decision>,
    ) -> bool {
        let found = self.find_model(holder, name);
        let refusal = match found {
            None => Some(Refusal::Invalid { problem: "a model that is not registered".into() }),
            Some(_) if self.known(request) => {
                Some(Refusal::Invalid { problem: "a request's number that is in use".into() })
            }
            Some(model)
                if !self.allowed(&[]).any(|index| self.ever_fits(index, self.models[model].of.bytes)) =>
            {
                Some(self.why_not(&Want::Use { model }))
            }
            Some(model) => {
                let of = &self.models[model].of;
                self.never_in_quota(of.owner(), of.bytes).or_else(|| self.full())
            }
        };
        match (refusal, found) {
            (None, Some(model)) => {
                self.models[model].demand.asked(self.now);
                self.enter(request, priority, wait_ms.min(MOST_MS), Want::Use { model });
                true
            }
            (refusal, _) => {
                let refusal = refusal.unwrap_or(Refusal::Cancelled);
                out.push(Decision::Refused { request, refusal });
                false
            }
        }
    }
}
