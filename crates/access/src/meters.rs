//! The three accounts of a key: all of them have room for a request, or none is touched.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::account::{Account, Period, What};
use crate::key::Key;
use crate::ledger::{Claim, InstanceId, Ledger};
use crate::limits;
use crate::purse::{Held, Purse, Shortage};

/// How many accounts a key has at most: requests, tokens and money.
const ACCOUNTS: usize = 3;

/// The place of tokens.
pub(crate) const TOKENS: usize = 1;

/// The place of money.
pub(crate) const MONEY: usize = 2;

/// What a request needs of each account.
pub(crate) type Needs = [u64; ACCOUNTS];

/// What a request holds of each account that limits it.
pub(crate) type Holding = [Option<Held>; ACCOUNTS];

/// One account in this process.
pub(crate) struct Meter {
    pub(crate) purse: Mutex<Purse>,
    /// Told when a claim has been answered, or not.
    pub(crate) changed: Notify,
    pub(crate) ledger: Arc<dyn Ledger>,
}

/// The accounts of a key by this version of it.
pub(crate) struct Meters {
    key: Arc<Key>,
    /// Also those that limit it no more: what they hold is theirs, and they may come again.
    all: [Option<Arc<Meter>>; ACCOUNTS],
    limited: [bool; ACCOUNTS],
}

/// Which account has no room, and why.
pub(crate) type Short = (What, Period, Shortage);

impl Meters {
    /// For a version of a key, after a former one.
    pub(crate) fn new(
        key: &Arc<Key>,
        former: Option<&Self>,
        instance: InstanceId,
        ledger: impl Fn(Period) -> Arc<dyn Ledger>,
    ) -> Self {
        let mut all = former.map_or_else(Default::default, |former| former.all.clone());
        let mut limited = [false; ACCOUNTS];
        for (at, limited_by) in limits::of(key.config()).into_iter().enumerate() {
            let Some((account, limit)) = limited_by else { continue };
            limited[at] = true;
            match &all[at] {
                Some(meter) => meter.purse.lock().set_limit(limit),
                None => all[at] = Some(Arc::new(Meter::new(account, instance, limit, &ledger))),
            }
        }
        Self { key: Arc::clone(key), all, limited }
    }

    /// Whether they are of this very version.
    pub(crate) fn are_of(&self, key: &Arc<Key>) -> bool {
        Arc::ptr_eq(&self.key, key)
    }

    /// All accounts, whether or not they limit.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Meter>> {
        self.all.iter().flatten()
    }

    /// The accounts that limit, with their places.
    pub(crate) fn limiting(&self) -> impl Iterator<Item = (usize, &Arc<Meter>)> {
        self.all
            .iter()
            .enumerate()
            .filter(|(at, _)| self.limited[*at])
            .filter_map(|(at, meter)| Some((at, meter.as_ref()?)))
    }

    /// Reserves in all accounts that limit, or in none. `ask` is given what is to be claimed because an account runs low.
    pub(crate) fn reserve(
        &self,
        needs: &Needs,
        now: Instant,
        alone: bool,
        mut ask: impl FnMut(&Arc<Meter>, Claim),
    ) -> Option<Holding> {
        let mut holding = Holding::default();
        for (at, meter) in self.limiting() {
            let (held, claim) = {
                let mut purse = meter.purse.lock();
                let held = purse.reserve(needs[at], now, alone);
                (held, if held.is_some() { purse.wish(now) } else { None })
            };
            if let Some(claim) = claim {
                ask(meter, claim);
            }
            let Some(held) = held else {
                self.undo(&holding);
                return None;
            };
            holding[at] = Some(held);
        }
        Some(holding)
    }

    fn undo(&self, holding: &Holding) {
        for (meter, held) in self.all.iter().zip(holding) {
            if let (Some(meter), Some(held)) = (meter, held) {
                meter.purse.lock().undo(*held);
            }
        }
    }

    /// Settles with what was used of each account.
    pub(crate) fn settle(&self, holding: &Holding, used: &Needs) {
        for ((meter, held), used) in self.all.iter().zip(holding).zip(used) {
            if let (Some(meter), Some(held)) = (meter, held) {
                meter.purse.lock().settle(*held, *used);
            }
        }
    }
}

impl Meter {
    fn new(
        account: Account,
        instance: InstanceId,
        limit: u64,
        ledger: &impl Fn(Period) -> Arc<dyn Ledger>,
    ) -> Self {
        let ledger = ledger(account.period);
        Self { purse: Mutex::new(Purse::new(account, instance, limit)), changed: Notify::new(), ledger }
    }

    /// Which account has no room for so much.
    pub(crate) fn short(&self, amount: u64, now: Instant) -> Short {
        let purse = self.purse.lock();
        (purse.account.what, purse.account.period, purse.shortage(amount, now))
    }
}

/// Somebody waits for so much of an account.
pub(crate) struct Waiting<'a> {
    meter: &'a Meter,
    amount: u64,
}

impl<'a> Waiting<'a> {
    pub(crate) fn new(meter: &'a Meter, amount: u64) -> Self {
        meter.purse.lock().wait(amount);
        Self { meter, amount }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.meter.purse.lock().stop_waiting(self.amount);
    }
}
