//! What a ledger grants. Pure; the script of the shared ledger says the same in Lua.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::account::Account;
use crate::ledger::{Claim, Granted, InstanceId};
use crate::window::Windows;

/// How long an instance may be silent that has not spent all of its claim: after that it counts as dead, and all of its claim as spent. Those
/// that live say so more often.
pub(crate) const SILENT: Duration = Duration::from_secs(60);

/// One account: who claims how much of it in its window.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sheet {
    pub(crate) window: u64,
    entries: HashMap<InstanceId, Entry>,
    /// Of all totals.
    sum: u64,
    /// Of all that is spent.
    sum_spent: u64,
}

/// One instance's claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Entry {
    pub(crate) number: u64,
    pub(crate) total: u64,
    pub(crate) spent: u64,
    /// When it was set, in ms by the ledger's clock.
    pub(crate) at_ms: u64,
}

/// What is to become of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) window: u64,
    pub(crate) entry: Entry,
    pub(crate) others: u64,
    pub(crate) others_spent: u64,
    /// Whether the sheet says so already.
    pub(crate) stands: bool,
}

impl Sheet {
    /// Decides about a claim in the window of the clock; the sheet's own window and the claim's may be later, and then count.
    /// `now_ms` is of any clock that only goes forward.
    pub(crate) fn consider(&self, claim: &Claim, clock: u64, now_ms: u64) -> Decision {
        let window = clock.max(self.window).max(claim.window.unwrap_or(0));
        let (mine, others, others_spent) = if window == self.window {
            let mine = self.entries.get(&claim.instance).copied();
            let entry = mine.unwrap_or_default();
            (mine, self.sum.saturating_sub(entry.total), self.sum_spent.saturating_sub(entry.spent))
        } else {
            (None, 0, 0)
        };
        if let Some(entry) = mine.filter(|mine| mine.number >= claim.number) {
            return Decision { window, entry, others, others_spent, stands: true };
        }
        let (held, wanted, spent) = match claim.window == Some(window) {
            true => (claim.held, claim.total, claim.spent),
            false => (0, claim.fresh, 0),
        };
        let total = wanted.min(claim.limit.saturating_sub(others)).max(held);
        let entry = Entry { number: claim.number, total, spent: spent.min(total), at_ms: now_ms };
        // Only who is refused wants to know whether something may come back.
        let others_spent = match total < wanted && window == self.window {
            true => self.gone_for_others(claim.instance, now_ms),
            false => others_spent,
        };
        Decision { window, entry, others, others_spent, stands: false }
    }

    /// What all others have spent, or took with them when they died.
    fn gone_for_others(&self, instance: InstanceId, now_ms: u64) -> u64 {
        let is_dead = |entry: &Entry| u128::from(now_ms.saturating_sub(entry.at_ms)) >= SILENT.as_millis();
        let others = self.entries.iter().filter(|(other, _)| **other != instance);
        others
            .map(|(_, entry)| if is_dead(entry) { entry.total } else { entry.spent })
            .fold(0, u64::saturating_add)
    }

    /// Carries a decision out.
    pub(crate) fn apply(&mut self, instance: InstanceId, decision: &Decision) {
        if decision.stands {
            return;
        }
        if self.window != decision.window {
            *self = Self { window: decision.window, ..Self::default() };
        }
        let Entry { total, spent, .. } = self.entries.insert(instance, decision.entry).unwrap_or_default();
        self.sum = self.sum.saturating_sub(total).saturating_add(decision.entry.total);
        self.sum_spent = self.sum_spent.saturating_sub(spent).saturating_add(decision.entry.spent);
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (InstanceId, Entry)> + '_ {
        self.entries.iter().map(|(instance, entry)| (*instance, *entry))
    }

    /// The total that an instance has now.
    pub(crate) fn total_of(&self, instance: InstanceId) -> Option<u64> {
        self.entries.get(&instance).map(|entry| entry.total)
    }
}

/// All accounts of a ledger in this process.
#[derive(Debug)]
pub(crate) struct Book {
    sheets: HashMap<Account, Sheet>,
    windows: Windows,
    start: Instant,
}

impl Book {
    pub(crate) fn new(windows: Windows, now: Instant) -> Self {
        Self { sheets: HashMap::new(), windows, start: now }
    }

    /// Decides about a claim, and changes nothing yet.
    pub(crate) fn consider(
        &mut self,
        claim: &Claim,
        since_1970: Duration,
        now: Instant,
    ) -> (Decision, Granted) {
        let window = self.windows.at(claim.account.period, since_1970, now);
        let now_ms = now.saturating_duration_since(self.start).as_millis();
        let now_ms = u64::try_from(now_ms).unwrap_or(u64::MAX);
        let decision = match self.sheets.get(&claim.account) {
            Some(sheet) => sheet.consider(claim, window.number, now_ms),
            None => Sheet::default().consider(claim, window.number, now_ms),
        };
        let granted = Granted {
            window: decision.window,
            ends_in: window.ends_in,
            granted: decision.entry.total,
            others: decision.others,
            others_spent: decision.others_spent,
        };
        (decision, granted)
    }

    /// Carries a decision out.
    pub(crate) fn apply(&mut self, account: &Account, instance: InstanceId, decision: &Decision) {
        match self.sheets.get_mut(account) {
            Some(sheet) => sheet.apply(instance, decision),
            None => self.sheets.entry(account.clone()).or_default().apply(instance, decision),
        }
    }

    pub(crate) fn sheet(&self, account: &Account) -> Option<&Sheet> {
        self.sheets.get(account)
    }

    pub(crate) fn sheets(&self) -> impl Iterator<Item = (&Account, &Sheet)> {
        self.sheets.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::{Period, What};

    fn claim(instance: u64, number: u64, total: u64) -> Claim {
        Claim {
            account: Account { key: "k".into(), what: What::Tokens, period: Period::Minute },
            instance: InstanceId(instance),
            number,
            limit: 100,
            window: Some(5),
            held: 0,
            total,
            spent: 0,
            fresh: 7,
        }
    }

    fn put(sheet: &mut Sheet, claim: &Claim, clock: u64) -> u64 {
        let decision = sheet.consider(claim, clock, 0);
        sheet.apply(claim.instance, &decision);
        decision.entry.total
    }

    #[test]
    fn what_others_claim_is_not_granted_again() {
        let mut sheet = Sheet::default();
        assert_eq!(put(&mut sheet, &claim(1, 1, 70), 5), 70);
        assert_eq!(put(&mut sheet, &claim(2, 1, 70), 5), 30);
        assert_eq!(put(&mut sheet, &claim(1, 2, 20), 5), 20, "given back");
        assert_eq!(put(&mut sheet, &claim(2, 2, 90), 5), 80);
        assert_eq!(sheet.consider(&claim(1, 3, 20), 5, 0).others, 80);
    }

    #[test]
    fn a_claim_that_comes_again_or_late_changes_nothing() {
        let mut sheet = Sheet::default();
        assert_eq!(put(&mut sheet, &claim(1, 2, 70), 5), 70);
        assert_eq!(put(&mut sheet, &claim(1, 2, 70), 5), 70);
        assert_eq!(put(&mut sheet, &claim(1, 1, 10), 5), 70, "70 may be spent");
        assert_eq!(put(&mut sheet, &claim(2, 1, 70), 5), 30);
    }

    #[test]
    fn a_later_window_begins_with_what_is_wanted_there() {
        let mut sheet = Sheet::default();
        put(&mut sheet, &claim(1, 1, 70), 5);
        put(&mut sheet, &claim(2, 1, 30), 5);
        assert_eq!(put(&mut sheet, &claim(1, 2, 90), 6), 7);
        let decision = sheet.consider(&claim(2, 2, 90), 6, 0);
        assert_eq!((decision.window, decision.entry.total, decision.others), (6, 7, 7));
        assert_eq!(sheet.consider(&claim(2, 2, 90), 5, 0).window, 6, "and the former does not come again");
    }

    #[test]
    fn a_ledger_that_forgot_learns_what_is_held_and_in_which_window() {
        let mut sheet = Sheet::default();
        put(&mut sheet, &claim(2, 1, 60), 5);
        let remembered = Claim { held: 50, ..claim(1, 9, 60) };
        assert_eq!(put(&mut sheet, &remembered, 5), 50, "more than is free, but it may be spent");
        assert_eq!(put(&mut sheet, &claim(2, 2, 100), 5), 50);
        assert_eq!(put(&mut Sheet::default(), &remembered, 4), 60);
        assert_eq!(Sheet::default().consider(&remembered, 4, 0).window, 5);
    }

    #[test]
    fn others_know_how_much_is_spent_for_certain() {
        let mut sheet = Sheet::default();
        put(&mut sheet, &Claim { spent: 40, ..claim(1, 1, 70) }, 5);
        let decision = sheet.consider(&claim(2, 1, 70), 5, 59_999);
        assert_eq!((decision.others, decision.others_spent), (70, 40));
        let decision = sheet.consider(&claim(2, 1, 70), 5, 60_000);
        assert_eq!((decision.others, decision.others_spent), (70, 70), "it has died");
    }
}
