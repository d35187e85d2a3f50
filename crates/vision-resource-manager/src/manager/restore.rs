//! What an earlier manager gave out, and holders have still.

use super::Manager;
use super::event::RestoredLease;
use super::lease::Lease;

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
            expires_at: Some(of.expires_at),
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

    pub(super) fn restored(&mut self) -> bool {
        std::mem::take(&mut self.restoring)
    }
}
