//! What an earlier manager gave out, and holders have still.

use super::Manager;
use super::decision::{Decision, Refusal};
use super::event::{HolderId, LeaseId, RequestId, RestoredLease};
use super::lease::{Instance, InstanceState, Lease};

impl Manager {
    pub(super) fn restore(&mut self, of: RestoredLease) -> bool {
        let there = of.shares.iter().all(|share| share.device < self.devices.len());
        if !there || self.leases.contains_key(&of.lease) {
            return false;
        }
        self.restoring = true;
        self.last_lease = self.last_lease.max(of.lease);
        let lease = Lease {
            holder: of.holder,
            owner: of.owner,
            model: of.model,
            priority: of.priority,
            shares: of.shares,
            expires_at: of.expires_at,
            ends_before: None,
            preemptible: of.preemptible,
            grace_ms: of.grace_ms,
            preempted_by: None,
            lost: false,
            instance: None,
        };
        self.add(of.lease, lease);
        false
    }

    pub(super) fn adopt(
        &mut self,
        id: LeaseId,
        holder: HolderId,
        name: &str,
        loads: bool,
        uses: Vec<RequestId>,
        out: &mut Vec<Decision>,
    ) -> bool {
        let place = self.find_model(holder, name);
        let refusal = match (self.theirs(id, holder), place) {
            (Err(refusal), _) => Some(refusal),
            (Ok(lease), Some(place)) if self.could_be(lease, place) => None,
            _ => Some(Refusal::Invalid { problem: "the lease is no instance of such a model".into() }),
        };
        if let Some(refusal) = refusal {
            out.push(Decision::Denied { lease: id, refusal });
            return false;
        }
        let Some(model) = place else { return false };
        let until = self.now.saturating_add(self.models[model].load_ms as u64);
        let (state, due) = match loads {
            true => (InstanceState::Loading { until }, self.load_is_due(model)),
            false => (InstanceState::Ready, None),
        };
        for request in &uses {
            self.uses.insert(*request, id);
        }
        let uses = uses.into_iter().map(|request| (request, self.now)).collect();
        let Some(lease) = self.leases.get_mut(&id) else { return false };
        lease.instance = Some(Instance { model, state, uses, last: self.now, due });
        self.ends.extend(due.map(|when| (when, id)));
        self.models[model].instances.push(id);
        true
    }

    /// Whether a lease may be an instance of this model that nobody has spoken for yet.
    fn could_be(&self, lease: &Lease, model: usize) -> bool {
        let of = &self.models[model].of;
        lease.instance.is_none()
            && lease.expires_at.is_none()
            && *lease.owner == *of.owner()
            && matches!(lease.shares[..], [share] if share.bytes == of.bytes)
    }

    pub(super) fn restored(&mut self) -> bool {
        std::mem::take(&mut self.restoring)
    }
}
