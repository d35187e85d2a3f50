//! What owners may have at once.

use super::decision::{Decision, Refusal, Share};
use super::event::{LeaseId, Priority};
use super::waiting::Want;
use super::{Manager, Pass};

impl Manager {
    /// On whose account something is wanted.
    pub(super) fn owner_of(&self, want: &Want) -> Box<str> {
        match want {
            Want::Lease(request) => request.owner.clone(),
            Want::Use { model } => self.models[*model].of.owner().into(),
        }
    }

    /// An owner has so much more, or was promised it.
    pub(super) fn charge(&mut self, owner: &str, shares: &[Share]) {
        if self.settings.quotas.contains_key(owner) {
            *self.by_owner.entry(owner.into()).or_default() += sum(shares);
        }
    }

    /// It has so much less.
    pub(super) fn discharge(&mut self, owner: &str, shares: &[Share]) {
        if let Some(had) = self.by_owner.get_mut(owner) {
            *had = had.saturating_sub(sum(shares));
        }
    }

    fn charged(&self, owner: &str) -> u64 {
        self.by_owner.get(owner).copied().unwrap_or(0)
    }

    /// What is beyond the quota of an owner that gets so many bytes more.
    pub(super) fn beyond_quota(&self, owner: &str, bytes: u64) -> u64 {
        let Some(quota) = self.settings.quotas.get(owner) else { return 0 };
        self.charged(owner).saturating_add(bytes).saturating_sub(*quota)
    }

    /// Why an owner will never get so many bytes at once.
    pub(super) fn never_in_quota(&self, owner: &str, bytes: u64) -> Option<Refusal> {
        let quota = *self.settings.quotas.get(owner)?;
        if bytes > quota { self.quota_of(owner) } else { None }
    }

    /// What an owner may have and has.
    pub(super) fn quota_of(&self, owner: &str) -> Option<Refusal> {
        let quota = *self.settings.quotas.get(owner)?;
        Some(Refusal::Quota { quota, leased: self.charged(owner) })
    }

    /// Lets idle instances of an owner go until so many bytes of its quota are free, those first that cost others the least
    /// waiting. Where all of them do not do, or cost more than `worth` ms, all stay.
    #[expect(clippy::too_many_arguments, reason = "who asks, for what, and what is known of the line")]
    pub(super) fn make_quota(
        &mut self,
        owner: &str,
        bytes: u64,
        priority: Priority,
        model: Option<usize>,
        worth: f64,
        pass: &mut Pass,
        out: &mut Vec<Decision>,
    ) {
        let (mut leaving, mut idle) = (0, Vec::new());
        for (id, lease) in self.leases.iter().filter(|(_, lease)| &*lease.owner == owner) {
            let Some(instance) = &lease.instance else { continue };
            let has = sum(&lease.shares);
            if lease.returning() {
                leaving += has;
            } else if instance.evictable(self.now, self.settings.hold_ms) && Some(instance.model) != model {
                idle.push((self.regret(instance.model), *id, has));
            } else if instance.idle() {
                pass.wake_at(instance.last.saturating_add(self.settings.hold_ms));
            }
        }
        let missing = bytes.saturating_sub(leaving);
        if missing > idle.iter().map(|(.., has)| has).sum() {
            return;
        }
        idle.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let (mut freed, mut costs, mut goes): (u64, f64, Vec<LeaseId>) = (0, 0.0, Vec::new());
        for (cost, id, has) in idle {
            if freed >= missing {
                break;
            }
            freed += has;
            costs += cost;
            goes.push(id);
        }
        if costs >= worth {
            return;
        }
        for lease in goes {
            self.let_go(lease, priority, out);
        }
    }
}

fn sum(shares: &[Share]) -> u64 {
    shares.iter().map(|share| share.bytes).sum()
}
