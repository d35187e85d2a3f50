//! What limits are as whole numbers.

use crate::account::{Account, Period, What};
use crate::key::KeyConfig;

/// The largest limit: whole numbers up to here are exact in Lua, too, where the shared ledger counts.
pub(crate) const MOST: u64 = (1 << 53) - 1;

/// Nano-USD in a USD.
const NANO: f64 = 1e9;

/// A budget in nano-USD, rounded down; `None` for one that cannot be.
pub(crate) fn budget(usd: f64) -> Option<u64> {
    let nano = usd * NANO;
    // NaN fails both. What is cast is positive and below 2^53.
    (nano >= 1.0 && nano <= MOST as f64).then_some(nano as u64)
}

/// What a key is limited in: each account with its limit, at its place in [`crate::meters`].
pub(crate) fn of(config: &KeyConfig) -> [Option<(Account, u64)>; 3] {
    let account = |what, period| Account { key: config.name.clone(), what, period };
    let money = config.budget_usd_per_day.map(|usd| budget(usd).unwrap_or(0));
    [
        (What::Requests, Period::Minute, config.rpm),
        (What::Tokens, Period::Minute, config.tpm),
        (What::Money, Period::Day, money),
    ]
    .map(|(what, period, limit)| Some((account(what, period), limit?.min(MOST))))
}

/// How much is claimed ahead: a part of the limit that is lost when the process is killed. A minute's loss is soon forgotten.
pub(crate) fn chunk(what: What, limit: u64) -> u64 {
    match what {
        What::Requests | What::Tokens => limit.div_ceil(20),
        What::Money => limit.div_ceil(200),
    }
}
