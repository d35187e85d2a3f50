//! Uses of warm models: with which instance, and when another one is loaded.

use std::cmp::Reverse;

use super::decision::{Decision, Share};
use super::device::signed;
use super::event::{LeaseId, Priority};
use super::lease::{Instance, InstanceState, Lease};
use super::place::Place;
use super::reserve::SOON_MS;
use super::waiting::{Claim, Waiting};
use super::{Manager, Pass};

/// Another instance helps somebody only who would wait for those that are there so many times as long as a load takes:
/// estimates are not exact, and below 1 models push each other out without end.
const WORTH_A_LOAD: f64 = 1.25;
/// What those that wait are spared has to be so many times what is regretted: behind the one that finds a model unloaded
/// others wait, too, and what comes back pushes out what is there then.
const REGRET_COUNTS: f64 = 2.0;

impl Manager {
    pub(super) fn serve_use(
        &mut self,
        model: usize,
        waiting: &mut Waiting,
        pass: &mut Pass,
        out: &mut Vec<Decision>,
    ) -> bool {
        if let Some(lease) = self.usable(model, waiting, pass) {
            self.drop_claim(waiting);
            self.start(lease, waiting, out);
            return true;
        }
        let claimed = waiting.claim.as_ref().and_then(|claim| claim.shares.first().copied());
        if let Some(share) = claimed.filter(|_| self.claim_is_ready(waiting)) {
            self.drop_claim(waiting);
            self.load(model, waiting, share, out);
        }
        self.drop_claim_on_what_others_took(waiting);
        pass.ahead[model] += 1;
        if waiting.claim.is_some() || waiting.deadline <= self.now {
            return false;
        }
        let Some(spared) = self.worth_a_load(model, pass.ahead[model], pass.all[model]) else { return false };
        let owner = self.models[model].of.owner().to_owned();
        let beyond = self.beyond_quota(&owner, self.models[model].of.bytes);
        if beyond > 0 {
            let worth = spared / REGRET_COUNTS;
            self.make_quota(&owner, beyond, waiting.priority, Some(model), worth, pass, out);
            return false;
        }
        let Some(place) = self.place_of_load(model, waiting.priority, pass) else {
            if self.present(model) == 0 && pass.reserved.is_none() {
                // Without its patience at an end it keeps nobody from anything.
                pass.reserved = self.reserve(waiting, pass).filter(|reserved| reserved.strict);
            }
            return false;
        };
        if spared <= REGRET_COUNTS * place.cost {
            return false;
        }
        let share = Share { device: place.device, bytes: self.models[model].of.bytes };
        self.take_of_reserved(&[share], pass);
        if place.victims.is_empty() && self.fits_now(share.device, share.bytes) {
            self.load(model, waiting, share, out);
            return false;
        }
        for victim in &place.victims {
            self.let_go(*victim, waiting.priority, out);
        }
        self.devices[share.device].claimed += share.bytes;
        self.charge(&owner, &[share]);
        self.models[model].claims += 1;
        waiting.claim =
            Some(Claim { shares: vec![share], awaits: place.victims, readings: None, ends_before: None });
        false
    }

    /// The instance to use: the one that fewest use, of those the one that was used last.
    fn usable(&self, model: usize, waiting: &Waiting, pass: &Pass) -> Option<LeaseId> {
        let most = self.models[model].of.concurrency.map_or(usize::MAX, |most| most as usize);
        let kept = |id: &LeaseId| {
            let first =
                pass.reserved.as_ref().filter(|first| first.strict && first.request != waiting.request);
            first.is_some_and(|first| first.awaits.contains(id))
        };
        let instances = self.models[model].instances.iter().filter_map(|id| {
            let lease = self.leases.get(id).filter(|lease| !lease.lost)?;
            let instance = lease.instance.as_ref()?;
            let usable = instance.state == InstanceState::Ready && instance.uses.len() < most && !kept(id);
            usable.then_some((Reverse(instance.uses.len()), instance.last, *id))
        });
        instances.max().map(|(.., id)| id)
    }

    fn start(&mut self, lease: LeaseId, waiting: &Waiting, out: &mut Vec<Decision>) {
        let now = self.now;
        if let Some(instance) = self.leases.get_mut(&lease).and_then(|lease| lease.instance.as_mut()) {
            instance.uses.push((waiting.request, now));
            instance.last = now;
            self.uses.insert(waiting.request, lease);
            let waited_ms = now - waiting.since;
            out.push(Decision::Started { request: waiting.request, lease, waited_ms });
        }
    }

    /// What another instance of a model would spare those that wait for it, all together, in ms of waiting; `None` where it
    /// would not help the one that is `ahead`-th of them, or where there are as many as may be. Without any instance it is
    /// endless.
    fn worth_a_load(&self, model: usize, ahead: usize, waiting: usize) -> Option<f64> {
        let of = &self.models[model];
        let there = self.present(model) + of.claims;
        if there == 0 {
            return Some(f64::INFINITY);
        }
        if there >= of.of.replicas as usize {
            return None;
        }
        let (now, use_ms) = (self.now as f64, of.expected_use());
        let soon = now + SOON_MS as f64;
        let mut free_at: Vec<f64> = vec![now + of.load_ms; of.claims];
        for id in &of.instances {
            let lease = self.leases.get(id).filter(|lease| !lease.lost);
            let Some(instance) = lease.and_then(|lease| lease.instance.as_ref()) else { continue };
            match instance.state {
                InstanceState::Loading { until } => free_at.push((until as f64).max(soon)),
                InstanceState::Ready => {
                    free_at.extend(instance.uses.iter().map(|(_, since)| (*since as f64 + use_ms).max(soon)))
                }
                InstanceState::Unloading | InstanceState::Overdue { .. } => {}
            }
        }
        if free_at.is_empty() {
            return Some(f64::INFINITY);
        }
        let mut with_it = free_at.clone();
        with_it.push(now + of.load_ms);
        let begins: Vec<f64> = (0..waiting).map(|_| next_free(&mut free_at, use_ms)).collect();
        if begins.get(ahead - 1).is_some_and(|begins| begins - now <= WORTH_A_LOAD * of.load_ms) {
            return None;
        }
        Some(begins.iter().map(|begins| begins - next_free(&mut with_it, use_ms)).sum())
    }

    /// Where an instance would be loaded at the least cost.
    fn place_of_load(&self, model: usize, priority: Priority, pass: &mut Pass) -> Option<Place> {
        let bytes = self.models[model].of.bytes;
        let mut best: Option<Place> = None;
        for device in 0..self.devices.len() {
            if self.devices[device].lost || !self.may_load(device, model) {
                continue;
            }
            if self.beside_reserved(device, bytes, None, pass).is_none() {
                continue;
            }
            let room = self.devices[device].room_soon(self.settings.headroom);
            let left = room.saturating_sub(signed(bytes));
            let mut place = Place { cost: 0.0, left, device, victims: Vec::new(), ends_before: None };
            if left < 0 {
                let goes = self.who_goes(device, left.unsigned_abs(), priority, Some(model), pass);
                let Some(goes) = goes else { continue };
                (place.cost, place.victims) = goes;
            }
            if best.as_ref().is_none_or(|best| place.before(best).is_lt()) {
                best = Some(place);
            }
        }
        best
    }

    /// Whether a device may load one more, and one of this model.
    fn may_load(&self, device: usize, model: usize) -> bool {
        let (mut loading, mut same) = (0, false);
        for lease in self.leases.values() {
            let Some(instance) = &lease.instance else { continue };
            if lease.shares.iter().all(|share| share.device != device) {
                continue;
            }
            loading += u32::from(matches!(instance.state, InstanceState::Loading { .. }));
            same |= instance.model == model;
        }
        loading < self.settings.loads_per_device && (self.settings.replicas_share_device || !same)
    }

    fn load(&mut self, model: usize, waiting: &Waiting, share: Share, out: &mut Vec<Decision>) {
        let id = self.next_lease();
        let until = self.now.saturating_add(self.models[model].load_ms as u64);
        let of = &self.models[model].of;
        let (holder, name, owner) = (of.holder, of.model.clone(), of.owner().into());
        let due = self.load_is_due(model);
        let instance = Instance {
            model,
            state: InstanceState::Loading { until },
            uses: Vec::new(),
            last: self.now,
            due,
        };
        let lease = Lease {
            holder,
            owner,
            model: Some(name.clone()),
            priority: waiting.priority,
            shares: vec![share],
            expires_at: None,
            ends_before: None,
            preemptible: false,
            grace_ms: 0,
            preempted_by: None,
            lost: false,
            instance: Some(instance),
        };
        self.models[model].instances.push(id);
        self.add(id, lease);
        out.push(Decision::Load { lease: id, holder, model: name, share });
    }
}

/// When the next of those that wait begins: with the instance that is free first, which is then busy for `use_ms`.
fn next_free(free_at: &mut [f64], use_ms: f64) -> f64 {
    let Some(soonest) = free_at.iter_mut().min_by(|a, b| a.total_cmp(b)) else { return f64::INFINITY };
    let begins = *soonest;
    *soonest += use_ms;
    begins
}
