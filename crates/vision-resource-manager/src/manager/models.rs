//! The warm models: which there are, and what becomes of their instances.

use super::Manager;
use super::decision::{Decision, Ended, Refusal};
use super::device::signed;
use super::event::{DeviceIndex, HolderId, LeaseId, MOST_MS, Priority, RequestId, WarmModel};
use super::lease::{Instance, InstanceState};
use super::waiting::{Waiting, Want};
use super::worth::{self, Demand};

/// A model that was registered.
#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) of: WarmModel,
    pub(super) demand: Demand,
    /// What a load takes, in ms, as it was measured.
    pub(super) load_ms: f64,
    /// What a use takes, in ms, as it was measured.
    pub(super) use_ms: Option<f64>,
    pub(super) instances: Vec<LeaseId>,
    /// Instances that will be loaded when their memory is there.
    pub(super) claims: usize,
    /// Its process is gone, or has it no longer. Another takes its place when its last instance is unloaded.
    pub(super) gone: bool,
}

/// What the newest measurement counts beside all before it.
const NEWEST: f64 = 0.1;

impl Model {
    /// How long a use will take, in ms. As long as none was measured: as long as a load, so that neither seems cheap.
    pub(super) fn expected_use(&self) -> f64 {
        self.use_ms.unwrap_or(self.load_ms)
    }
}

impl Manager {
    pub(super) fn register(&mut self, mut model: WarmModel, out: &mut Vec<Decision>) -> bool {
        model.load_ms = model.load_ms.min(MOST_MS);
        if let Some(problem) = self.why_not_registered(&model) {
            let (holder, model, problem) = (model.holder, model.model, problem.into());
            out.push(Decision::ModelDenied { holder, model, refusal: Refusal::Invalid { problem } });
            return false;
        }
        let load_ms = model.load_ms as f64;
        let known = self.find_model(model.holder, &model.model).map(|place| &mut self.models[place]);
        match known {
            Some(known) => {
                if known.of.load_ms != model.load_ms {
                    known.load_ms = load_ms;
                }
                known.of = model;
            }
            None => self.put(Model {
                of: model,
                demand: Demand::default(),
                load_ms,
                use_ms: None,
                instances: Vec::new(),
                claims: 0,
                gone: false,
            }),
        }
        true
    }

    fn why_not_registered(&self, model: &WarmModel) -> Option<&'static str> {
        if model.bytes == 0 || model.replicas == 0 || model.concurrency == Some(0) {
            return Some("bytes, replicas and concurrency have to be above 0");
        }
        let known = &self.models[self.find_model(model.holder, &model.model)?];
        let there = !known.instances.is_empty() || known.claims > 0;
        let differs = known.of.bytes != model.bytes || known.of.owner() != model.owner();
        (there && differs).then_some("the model is in memory, or on its way there: its bytes and its owner are what they are until it is unloaded")
    }

    /// Puts a model where one was that is gone, or behind all others.
    fn put(&mut self, model: Model) {
        let wanted = |place: usize| {
            self.waiting.iter().any(|waiting| matches!(waiting.want, Want::Use { model } if model == place))
        };
        let mut places = self.models.iter().enumerate();
        let free = places.find(|(place, model)| model.gone && model.instances.is_empty() && !wanted(*place));
        match free.map(|(place, _)| place) {
            Some(place) => self.models[place] = model,
            None => self.models.push(model),
        }
    }

    pub(super) fn unregister(&mut self, holder: HolderId, name: Box<str>, out: &mut Vec<Decision>) -> bool {
        let denied = |problem: &str| Decision::ModelDenied {
            holder,
            model: name.clone(),
            refusal: Refusal::Invalid { problem: problem.into() },
        };
        let Some(place) = self.find_model(holder, &name) else {
            out.push(denied("a model that is not registered"));
            return false;
        };
        let instances = self.models[place].instances.clone();
        let busy = |id: &LeaseId| {
            let instance = self.leases.get(id).and_then(|lease| lease.instance.as_ref());
            instance.is_some_and(|instance| instance.why_not_back().is_some())
        };
        if instances.iter().any(busy) {
            out.push(denied("the model is in use, or being loaded"));
            return false;
        }
        self.models[place].gone = true;
        let wants =
            |_: &Self, waiting: &Waiting| matches!(waiting.want, Want::Use { model } if model == place);
        let why =
            |_: &Self, _: &Waiting| Refusal::Invalid { problem: "the model is registered no longer".into() };
        self.turn_away(wants, why, out);
        for instance in instances {
            self.let_go(instance, Priority::Low, out);
        }
        true
    }

    /// A model's place in the list.
    pub(super) fn find_model(&self, holder: HolderId, name: &str) -> Option<usize> {
        let is = |known: &Model| !known.gone && known.of.holder == holder && &*known.of.model == name;
        self.models.iter().position(is)
    }

    /// The instance that a holder speaks of, where it has one; whoever speaks of another's is told so.
    fn own_instance(
        &mut self,
        id: LeaseId,
        holder: HolderId,
        out: &mut Vec<Decision>,
    ) -> Option<&mut Instance> {
        let lease = self.leases.get_mut(&id)?;
        if lease.holder != holder {
            out.push(Decision::Denied { lease: id, refusal: Refusal::NotYours });
            return None;
        }
        lease.instance.as_mut()
    }

    pub(super) fn loaded(
        &mut self,
        lease: LeaseId,
        holder: HolderId,
        took_ms: u64,
        out: &mut Vec<Decision>,
    ) -> bool {
        let now = self.now;
        let Some(instance) = self.own_instance(lease, holder, out).filter(|instance| instance.loads()) else {
            return false;
        };
        instance.state = InstanceState::Ready;
        instance.last = now;
        let (model, due) = (instance.model, instance.due.take());
        self.not_due(lease, due);
        let model = &mut self.models[model];
        model.load_ms += NEWEST * (took_ms.min(MOST_MS) as f64 - model.load_ms);
        true
    }

    pub(super) fn load_failed(&mut self, lease: LeaseId, holder: HolderId, out: &mut Vec<Decision>) -> bool {
        let instance = self.own_instance(lease, holder, out).filter(|instance| instance.loads());
        let Some(model) = instance.map(|instance| instance.model) else { return false };
        self.remove(lease, true);
        out.push(Decision::Ended { lease, holder, reason: Ended::LoadFailed });
        // One of those that wait is told, or a model that cannot be loaded would be tried without end.
        let first = self
            .waiting
            .iter()
            .position(|waiting| matches!(waiting.want, Want::Use { model: wanted } if wanted == model));
        if let Some(place) = first {
            let mut waiting = self.waiting.remove(place);
            self.drop_claim(&mut waiting);
            out.push(Decision::Refused { request: waiting.request, refusal: Refusal::LoadFailed });
        }
        true
    }

    pub(super) fn unloaded(&mut self, lease: LeaseId, holder: HolderId, out: &mut Vec<Decision>) -> bool {
        let Some(instance) = self.own_instance(lease, holder, out) else { return false };
        if let Some(refusal) = instance.why_not_back() {
            out.push(Decision::Denied { lease, refusal });
            return false;
        }
        self.remove(lease, true).is_some()
    }

    pub(super) fn done(&mut self, request: RequestId, holder: HolderId) -> bool {
        let now = self.now;
        let theirs = |lease: &LeaseId| self.leases.get(lease).is_some_and(|lease| lease.holder == holder);
        let Some(lease) = self.uses.get(&request).copied().filter(theirs) else { return false };
        self.uses.remove(&request);
        let Some(instance) = self.leases.get_mut(&lease).and_then(|lease| lease.instance.as_mut()) else {
            return false;
        };
        let Some(place) = instance.uses.iter().position(|(other, _)| *other == request) else { return false };
        let (_, since) = instance.uses.remove(place);
        instance.last = now;
        let model = &mut self.models[instance.model];
        let took = now.saturating_sub(since) as f64;
        model.use_ms = Some(model.use_ms.map_or(took, |mean| mean + NEWEST * (took - mean)));
        true
    }

    /// The waiting, in ms, that unloading this instance costs others, as far as can be seen.
    pub(super) fn regret(&self, model: usize) -> f64 {
        let present = self.present(model);
        let model = &self.models[model];
        worth::regret(model.demand.rate(self.now), present, model.load_ms)
    }

    /// The instances of a model that are there: not on a device that has vanished.
    pub(super) fn present(&self, model: usize) -> usize {
        let there = |id: &&LeaseId| self.leases.get(id).is_some_and(|lease| !lease.lost);
        self.models[model].instances.iter().filter(there).count()
    }

    /// Unloads idle instances, those of least worth for their size first.
    pub(super) fn optimize(
        &mut self,
        target_free: Option<u64>,
        only: Option<DeviceIndex>,
        out: &mut Vec<Decision>,
    ) -> bool {
        for device in 0..self.devices.len() {
            if only.is_some_and(|only| only != device) {
                continue;
            }
            let mut idle = self.idle_on(device);
            idle.sort_by(|a, b| a.cost_per_byte().total_cmp(&b.cost_per_byte()));
            for candidate in idle {
                let goes = match target_free {
                    Some(target) => self.devices[device].room_soon(self.settings.headroom) < signed(target),
                    // The share of time that loading it again would take, beside the share of the device that it blocks.
                    None => {
                        let total = self.devices[device].total.max(1);
                        self.reload_share(candidate.lease) < candidate.bytes as f64 / total as f64
                    }
                };
                if goes {
                    self.let_go(candidate.lease, Priority::Low, out);
                }
            }
        }
        true
    }

    fn reload_share(&self, lease: LeaseId) -> f64 {
        let instance = self.leases.get(&lease).and_then(|lease| lease.instance.as_ref());
        instance.map_or(0.0, |instance| {
            let model = &self.models[instance.model];
            model.demand.rate(self.now) * model.load_ms
        })
    }
}
