//! What ends: leases, waiting, processes.

use super::Manager;
use super::decision::{Decision, Ended, Refusal};
use super::event::{HolderId, LeaseId, MOST_MS, RequestId};
use super::lease::{Instance, InstanceState, Lease};
use super::waiting::{Waiting, Want};

impl Manager {
    /// Ends whatever is due; says whether memory became free by it.
    pub(super) fn expire(&mut self, out: &mut Vec<Decision>) -> bool {
        let mut ended = false;
        while let Some(&(when, lease)) = self.ends.first() {
            if when > self.now {
                break;
            }
            if self.leases.get(&lease).is_some_and(|lease| lease.instance.is_some()) {
                self.overdue(lease);
                ended = true;
                continue;
            }
            let Some(gone) = self.remove(lease, false) else { break };
            let reason = if gone.preempted_by.is_some() { Ended::Preempted } else { Ended::Expired };
            out.push(Decision::Ended { lease, holder: gone.holder, reason });
            ended = true;
        }
        let over = |this: &Self, waiting: &Waiting| waiting.deadline <= this.now && waiting.since < this.now;
        self.turn_away(over, |this, waiting| this.why_in_vain(&waiting.want), out) || ended
    }

    /// Takes those out of the line of whom something holds, with what they were promised, and tells them why; says whether there
    /// was one.
    pub(super) fn turn_away(
        &mut self,
        holds: impl Fn(&Self, &Waiting) -> bool,
        why: impl Fn(&Self, &Waiting) -> Refusal,
        out: &mut Vec<Decision>,
    ) -> bool {
        if !self.waiting.iter().any(|waiting| holds(self, waiting)) {
            return false;
        }
        let (gone, waiting) =
            std::mem::take(&mut self.waiting).into_iter().partition(|waiting| holds(self, waiting));
        self.waiting = waiting;
        let gone: Vec<Waiting> = gone;
        for mut waiting in gone {
            self.drop_claim(&mut waiting);
            let refusal = why(self, &waiting);
            out.push(Decision::Refused { request: waiting.request, refusal });
        }
        true
    }

    pub(super) fn cancel(&mut self, request: RequestId, holder: HolderId, out: &mut Vec<Decision>) -> bool {
        let theirs = |waiting: &Waiting| waiting.request == request && self.asker(&waiting.want) == holder;
        let Some(place) = self.waiting.iter().position(theirs) else { return false };
        let mut waiting = self.waiting.remove(place);
        self.drop_claim(&mut waiting);
        out.push(Decision::Refused { request, refusal: Refusal::Cancelled });
        true
    }

    pub(super) fn renew(
        &mut self,
        id: LeaseId,
        holder: HolderId,
        duration_ms: u64,
        out: &mut Vec<Decision>,
    ) -> bool {
        let refusal = match self.theirs(id, holder) {
            // Whoever does not want it any longer releases it; it would be over and not ended otherwise.
            Ok(_) if duration_ms == 0 => {
                Some(Refusal::Invalid { problem: "duration has to be above 0".into() })
            }
            theirs => theirs.err(),
        };
        if let Some(refusal) = refusal {
            out.push(Decision::Denied { lease: id, refusal });
            return false;
        }
        let Some(lease) = self.leases.get_mut(&id) else { return false };
        // Whoever was asked to give back keeps the end that it was told; an instance has none.
        let Some(before) = lease.expires_at.filter(|_| lease.preempted_by.is_none()) else {
            let expires_at = lease.expires_at.unwrap_or(u64::MAX);
            out.push(Decision::Renewed { lease: id, expires_at });
            return false;
        };
        let first = lease
            .ends_before
            .filter(|(first, _)| self.waiting.iter().any(|waiting| waiting.request == *first));
        let most = first.map_or(u64::MAX, |(_, end)| end);
        let end = self.now.saturating_add(duration_ms.min(MOST_MS)).min(most);
        lease.expires_at = Some(end);
        self.ends.remove(&(before, id));
        self.ends.insert((end, id));
        out.push(Decision::Renewed { lease: id, expires_at: end });
        end < before
    }

    pub(super) fn release(&mut self, id: LeaseId, holder: HolderId, out: &mut Vec<Decision>) -> bool {
        let is_held = |lease: &Lease| lease.instance.as_ref().and_then(Instance::why_not_back);
        let refusal = match self.theirs(id, holder) {
            Ok(lease) => is_held(lease),
            Err(refusal) => Some(refusal),
        };
        if let Some(refusal) = refusal {
            out.push(Decision::Denied { lease: id, refusal });
            return false;
        }
        self.remove(id, true);
        out.push(Decision::Released { lease: id });
        true
    }

    /// A lease, for whoever says that it is theirs.
    pub(super) fn theirs(&self, id: LeaseId, holder: HolderId) -> Result<&Lease, Refusal> {
        match self.leases.get(&id) {
            None => Err(Refusal::NoSuchLease),
            Some(lease) if lease.holder != holder => Err(Refusal::NotYours),
            Some(lease) => Ok(lease),
        }
    }

    pub(super) fn holder_gone(&mut self, holder: HolderId, out: &mut Vec<Decision>) -> bool {
        let leases: Vec<LeaseId> =
            self.leases.iter().filter(|(_, lease)| lease.holder == holder).map(|(id, _)| *id).collect();
        for lease in leases {
            self.remove(lease, false);
            out.push(Decision::Ended { lease, holder, reason: Ended::HolderGone });
        }
        self.uses.retain(|_, lease| self.leases.contains_key(lease));
        self.turn_away(|this, waiting| this.asker(&waiting.want) == holder, |_, _| Refusal::Cancelled, out);
        for model in self.models.iter_mut().filter(|model| model.of.holder == holder) {
            model.gone = true;
        }
        true
    }

    /// Who waits for something: whoever asked, or has the model.
    pub(super) fn asker(&self, want: &Want) -> HolderId {
        match want {
            Want::Lease(request) => request.holder,
            Want::Use { model } => self.models[*model].of.holder,
        }
    }

    /// Asks for a lease back: an idle instance is unloaded, a holder is told until when it has it.
    pub(super) fn let_go(&mut self, id: LeaseId, by: super::Priority, out: &mut Vec<Decision>) {
        let due = self.unload_is_due();
        let Some(lease) = self.leases.get_mut(&id) else { return };
        // An instance that is not ready is on its way out already, or cannot be told to go.
        let is_busy = lease.instance.as_ref().is_some_and(|instance| instance.state != InstanceState::Ready);
        if lease.returning() || is_busy {
            return;
        }
        let holder = lease.holder;
        if let Some(instance) = &mut lease.instance {
            instance.state = InstanceState::Unloading;
            instance.due = due;
            self.ends.extend(due.map(|when| (when, id)));
            out.push(Decision::Unload { lease: id, holder });
        } else {
            let until = self.now.saturating_add(lease.grace_ms);
            let before = lease.expires_at.unwrap_or(u64::MAX);
            let until = until.min(before);
            self.ends.remove(&(before, id));
            self.ends.insert((until, id));
            lease.expires_at = Some(until);
            lease.preempted_by = Some(by);
            out.push(Decision::Preempt { lease: id, holder, until, by });
        }
        for share in &lease.shares {
            self.devices[share.device].returning += share.bytes;
        }
    }
}
