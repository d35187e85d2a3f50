//! Loads and unloads that do not come to an end: their memory stays theirs, and nobody waits for it.

use super::Manager;
use super::event::LeaseId;
use super::lease::InstanceState;

/// A load that takes so many times as long as it is known to take is one that hangs.
const TIMES_A_LOAD: f64 = 4.0;

impl Manager {
    /// When a load that begins now is overdue.
    pub(super) fn load_is_due(&self, model: usize) -> Option<u64> {
        let known = (TIMES_A_LOAD * self.models[model].load_ms) as u64;
        self.settings.overdue_ms.map(|least| self.now.saturating_add(least.max(known)))
    }

    /// When an unload that begins now is overdue.
    pub(super) fn unload_is_due(&self) -> Option<u64> {
        self.settings.overdue_ms.map(|least| self.now.saturating_add(least))
    }

    /// It came to an end.
    pub(super) fn not_due(&mut self, lease: LeaseId, due: Option<u64>) {
        if let Some(when) = due {
            self.ends.remove(&(when, lease));
        }
    }

    /// An instance takes too long: what was promised of its memory is sought elsewhere.
    pub(super) fn overdue(&mut self, id: LeaseId) {
        let Some(lease) = self.leases.get_mut(&id) else { return };
        let returning = lease.returning();
        let Some(instance) = &mut lease.instance else { return };
        let due = instance.due.take();
        instance.state = InstanceState::Overdue { loads: instance.loads() };
        if returning {
            for share in &lease.shares {
                self.devices[share.device].returning -= share.bytes;
            }
        }
        self.not_due(id, due);
        let mut all = std::mem::take(&mut self.waiting);
        for waiting in &mut all {
            if waiting.claim.as_ref().is_some_and(|claim| claim.awaits.contains(&id)) {
                self.drop_claim(waiting);
            }
        }
        self.waiting = all;
    }
}
