//! What a process holds of an account, and what it claims. Pure: the clock is passed in.

use std::time::{Duration, Instant};

use crate::account::Account;
use crate::allowances::Standing;
use crate::ledger::{Claim, Granted, InstanceId};
use crate::limits::chunk;

/// How long a ledger that did not answer is left alone, and how long one that had no more is not asked for more.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);

/// How long an account may be unused before everything is given back.
const IDLE: Duration = Duration::from_secs(2);

/// How often a process that has not spent all that it holds says that it lives: less than a third of how long a ledger waits for
/// that.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How long it is remembered how much was reserved at once.
const PEAK: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(crate) struct Purse {
    pub(crate) account: Account,
    instance: InstanceId,
    limit: u64,
    chunk: u64,
    number: u64,
    /// The ledger's window; `None` before its first answer, and where the process went on alone.
    window: Option<u64>,
    /// When it ends.
    ends: Option<Instant>,
    /// Counts the windows here, so that a reservation is settled in its own.
    epoch: u64,
    /// What may be committed.
    granted: u64,
    /// What is reserved or spent.
    committed: u64,
    /// What is spent for certain.
    spent: u64,
    /// What all others claim, by the last answer, and what of it they have spent.
    others: u64,
    others_spent: u64,
    /// What those need who wait for a claim.
    waiting: u64,
    asked: bool,
    full_until: Option<Instant>,
    away_until: Option<Instant>,
    used_at: Option<Instant>,
    /// When the ledger last heard of this process, and how much was spent by then.
    told_at: Option<Instant>,
    told_spent: u64,
    /// The most that was reserved at once, since `peak_since` and in the time before that.
    peak: u64,
    former_peak: u64,
    peak_since: Option<Instant>,
}

/// A part of an account that a request holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    epoch: u64,
    pub(crate) amount: u64,
}

/// Why there is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shortage {
    pub(crate) limit: u64,
    /// What is neither spent nor reserved nor claimed by others.
    pub(crate) left: u64,
    /// Whether it could be had if all that is reserved or held came back.
    pub(crate) may_fit: bool,
    /// The ledger does not answer.
    pub(crate) is_away: bool,
    pub(crate) retry_after: Duration,
}

impl Purse {
    pub(crate) fn new(account: Account, instance: InstanceId, limit: u64) -> Self {
        Self {
            chunk: chunk(account.what, limit),
            account,
            instance,
            limit,
            number: 0,
            window: None,
            ends: None,
            epoch: 0,
            granted: 0,
            committed: 0,
            spent: 0,
            others: 0,
            others_spent: 0,
            waiting: 0,
            asked: false,
            full_until: None,
            away_until: None,
            used_at: None,
            told_at: None,
            told_spent: 0,
            peak: 0,
            former_peak: 0,
            peak_since: None,
        }
    }

    /// The key is allowed something else now.
    pub(crate) fn set_limit(&mut self, limit: u64) {
        if limit != self.limit {
            self.limit = limit;
            self.chunk = chunk(self.account.what, limit);
            self.granted = self.granted.min(limit).max(self.committed);
            self.full_until = None;
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        self.ends.is_none_or(|ends| now >= ends)
    }

    fn is_away(&self, now: Instant) -> bool {
        self.away_until.is_some_and(|until| now < until)
    }

    fn is_idle(&self, now: Instant) -> bool {
        self.used_at.is_none_or(|at| now.saturating_duration_since(at) >= IDLE)
    }

    fn free(&self) -> u64 {
        self.granted.saturating_sub(self.committed)
    }

    fn reserved(&self) -> u64 {
        self.committed.saturating_sub(self.spent)
    }

    /// Reserves so much, if it is here. `alone`: while the ledger is away, the whole limit is here.
    pub(crate) fn reserve(&mut self, amount: u64, now: Instant, alone: bool) -> Option<Held> {
        let committed = self.committed.checked_add(amount)?;
        if !self.is_over(now) && committed <= self.granted {
            return Some(self.commit(amount, now));
        }
        (alone && self.is_away(now)).then(|| self.reserve_alone(amount, now)).flatten()
    }

    /// Whether so much could be reserved.
    pub(crate) fn has(&self, amount: u64, now: Instant) -> bool {
        !self.is_over(now) && amount <= self.free()
    }

    fn reserve_alone(&mut self, amount: u64, now: Instant) -> Option<Held> {
        if self.is_over(now) {
            self.enter(None, now + self.account.period.length());
        }
        if self.committed.checked_add(amount)? > self.limit {
            return None;
        }
        let held = self.commit(amount, now);
        self.granted = self.granted.max(self.committed);
        Some(held)
    }

    fn commit(&mut self, amount: u64, now: Instant) -> Held {
        self.committed += amount;
        self.used_at = Some(now);
        self.peak = self.peak.max(self.reserved());
        Held { epoch: self.epoch, amount }
    }

    /// Undoes a reservation, as if it had not been.
    pub(crate) fn undo(&mut self, held: Held) {
        if held.epoch == self.epoch {
            self.committed = self.committed.saturating_sub(held.amount);
        }
    }

    /// Takes what a reservation came to. In a later window it does not matter any more.
    pub(crate) fn settle(&mut self, held: Held, used: u64) {
        if held.epoch == self.epoch {
            self.committed = self.committed.saturating_sub(held.amount).saturating_add(used);
            self.spent = self.spent.saturating_add(used);
        }
    }

    /// Somebody waits for so much, until [`stop_waiting`](Self::stop_waiting).
    pub(crate) fn wait(&mut self, amount: u64) {
        self.waiting = self.waiting.saturating_add(amount);
    }

    pub(crate) fn stop_waiting(&mut self, amount: u64) {
        self.waiting = self.waiting.saturating_sub(amount);
    }

    /// Whether a claim is under way.
    pub(crate) fn is_asked(&self) -> bool {
        self.asked
    }

    /// What is to be claimed now, if anything: because somebody waits, or because it runs low.
    pub(crate) fn wish(&mut self, now: Instant) -> Option<Claim> {
        if self.asked || self.is_away(now) {
            return None;
        }
        let is_over = self.is_over(now);
        if is_over && self.waiting == 0 {
            return None;
        }
        let is_low = self.free() < self.chunk.div_ceil(2) || self.free() < self.waiting;
        if !is_over && !is_low {
            return None;
        }
        // A ledger that has just said how much there is is not asked for more, nor for what is not enough.
        let is_known = !is_over && self.full_until.is_some_and(|until| now < until);
        let room = if is_known { self.limit.saturating_sub(self.others) } else { self.limit };
        let in_vain = is_known && self.committed.saturating_add(self.waiting) > room;
        if in_vain && self.is_idle(now) {
            return None;
        }
        let ahead = if in_vain { self.chunk } else { self.waiting.max(self.chunk) };
        let total = self.committed.saturating_add(ahead).min(room).max(self.held());
        // What was committed alone is told whatever there is.
        if !is_over && total <= self.granted && self.window.is_some() {
            return None;
        }
        Some(self.claim(total, ahead))
    }

    /// What is to be given back, if anything: now and then, what was not needed lately; `all`: everything that is not reserved. Also
    /// tells the ledger what was spent, so that others know what may yet come back.
    pub(crate) fn excess(&mut self, now: Instant, all: bool) -> Option<Claim> {
        if self.peak_since.is_none_or(|since| now.saturating_duration_since(since) >= PEAK) {
            (self.former_peak, self.peak, self.peak_since) = (self.peak, self.reserved(), Some(now));
        }
        if self.asked || self.is_away(now) || self.is_over(now) || self.window.is_none() {
            return None;
        }
        let is_idle = self.is_idle(now);
        let keep = match all || is_idle {
            true => 0,
            false => self.peak.max(self.former_peak).saturating_sub(self.reserved()).max(self.chunk),
        };
        // What is little more than that is not worth a claim.
        let slack = if keep == 0 { 0 } else { self.chunk.div_ceil(2) };
        if self.free() <= keep.saturating_add(slack) {
            let is_quiet = self.told_at.is_none_or(|at| now.saturating_duration_since(at) >= HEARTBEAT);
            let is_news = self.told_spent != self.spent;
            let is_due = (is_idle && is_news) || (is_quiet && (is_news || self.granted > self.spent));
            return is_due.then(|| self.claim(self.held(), self.chunk.min(keep)));
        }
        // From now on it is not here any more, whether or not the ledger hears of it.
        self.granted = self.committed.saturating_add(keep);
        Some(self.claim(self.granted, self.chunk.min(keep)))
    }

    fn held(&self) -> u64 {
        self.granted.max(self.committed)
    }

    fn claim(&mut self, total: u64, ahead: u64) -> Claim {
        self.asked = true;
        self.number += 1;
        Claim {
            account: self.account.clone(),
            instance: self.instance,
            number: self.number,
            limit: self.limit,
            window: self.window,
            held: self.held(),
            total,
            spent: self.spent,
            // What was committed alone counts in whatever window it turns out to be.
            fresh: ahead
                .saturating_add(if self.window.is_none() { self.committed } else { 0 })
                .min(self.limit),
        }
    }

    fn enter(&mut self, window: Option<u64>, ends: Instant) {
        self.window = window;
        self.ends = Some(ends);
        self.epoch += 1;
        (self.granted, self.committed, self.spent) = (0, 0, 0);
        (self.others, self.others_spent) = (0, 0);
        self.full_until = None;
    }

    /// The ledger answered a claim that was sent at `sent`.
    pub(crate) fn answered(&mut self, claim: &Claim, answer: &Granted, sent: Instant, now: Instant) {
        let same = claim.window == Some(answer.window);
        let wanted = if same { claim.total } else { claim.fresh };
        // Counted from before the question: at the end of a window rather too early than too late.
        let ends = sent + answer.ends_in;
        match self.window {
            Some(window) if answer.window > window => self.enter(Some(answer.window), ends),
            // A ledger never goes back; one that does has lost its place, and is told with the next claim.
            Some(window) if answer.window < window => return self.failed(now),
            _ => (self.window, self.ends) = (Some(answer.window), Some(ends)),
        }
        self.asked = false;
        self.away_until = None;
        (self.told_at, self.told_spent) = (Some(now), if same { claim.spent } else { 0 });
        // The limit may have been lowered meanwhile.
        self.granted = answer.granted.min(self.limit).max(self.committed);
        (self.others, self.others_spent) = (answer.others, answer.others_spent);
        if answer.granted < wanted {
            self.full_until = Some(now + PAUSE);
        }
    }

    /// The ledger did not answer a claim.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.asked = false;
        self.away_until = Some(now + PAUSE);
    }

    /// Why `amount` cannot be had.
    pub(crate) fn shortage(&self, amount: u64, now: Instant) -> Shortage {
        let is_over = self.is_over(now);
        let certain = if is_over { 0 } else { self.spent.saturating_add(self.others_spent) };
        let taken = if is_over { 0 } else { self.committed.saturating_add(self.others) };
        let may_fit = amount <= self.limit.saturating_sub(certain);
        let until_end = self.ends.map_or(PAUSE, |ends| ends.saturating_duration_since(now));
        Shortage {
            limit: self.limit,
            left: self.limit.saturating_sub(taken),
            may_fit,
            is_away: self.is_away(now),
            retry_after: if may_fit { PAUSE } else { until_end.max(PAUSE) },
        }
    }

    pub(crate) fn standing(&self, now: Instant) -> Standing {
        let resets_in = self.ends.map_or(Duration::ZERO, |ends| ends.saturating_duration_since(now));
        Standing { limit: self.limit, left: self.shortage(0, now).left, resets_in }
    }

    /// What has been granted, reserved or spent, and spent, in the current window.
    #[cfg(test)]
    pub(crate) fn amounts(&self) -> (u64, u64, u64) {
        (self.granted, self.committed, self.spent)
    }
}

#[cfg(test)]
mod tests;
