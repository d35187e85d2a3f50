//! The ledger of one device.

use std::collections::BTreeMap;

use super::event::{DeviceState, HolderId};

/// What one holder has of a device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Holding {
    /// Bytes that its leases say.
    pub(super) leased: u64,
    /// Bytes that it uses, where the driver tells.
    pub(super) used: Option<u64>,
    /// Whether it used more at the last reading, which it is then known for until another one says otherwise, whether it has a
    /// lease or not.
    pub(super) reported: bool,
    /// What it gave back that the driver was not asked about since: when, and bytes. Nobody says that it still uses it.
    returned: Vec<(u64, u64)>,
    /// What it had leased until it was taken from it: when, and bytes. It may have taken that since the driver was read,
    /// so that it counts as leased until a reading that began later.
    ended: Vec<(u64, u64)>,
}

impl Holding {
    /// What it has leased and not taken yet, in bytes, and what it had leased until just now.
    fn unmet(&self) -> Unmet {
        let ended: u64 = self.ended.iter().map(|(_, bytes)| bytes).sum();
        let used = self.used.unwrap_or(0);
        let all = (self.leased + ended).saturating_sub(used);
        Unmet { all, ended: all - self.leased.saturating_sub(used) }
    }

    /// Whether it uses more than it has, or had when the driver was asked.
    pub(super) fn uses_more(&self, headroom: u64) -> bool {
        let before: u64 = self.ended.iter().chain(&self.returned).map(|(_, bytes)| bytes).sum();
        self.used.unwrap_or(0) > (self.leased + before).saturating_add(headroom)
    }

    /// Whether nothing is known of it that counts.
    pub(super) fn is_empty(&self) -> bool {
        self.leased == 0 && self.ended.is_empty() && self.returned.is_empty() && !self.reported
    }

    /// Gives so much back, of which it uses no more than it did.
    fn returns(&mut self, now: u64, bytes: u64) {
        let before: u64 = self.returned.iter().map(|(_, bytes)| bytes).sum();
        let bytes = bytes.min(self.used.unwrap_or(0).saturating_sub(before));
        if bytes > 0 {
            self.returned.push((now, bytes));
        }
    }
}

/// What the driver calls free and is not. Bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Unmet {
    all: u64,
    /// As far as it is of leases that have ended.
    ended: u64,
}

impl Unmet {
    fn add(&mut self, other: Self) {
        self.all += other.all;
        self.ended += other.ended;
    }

    fn take(&mut self, other: Self) {
        self.all -= other.all;
        self.ended -= other.ended;
    }
}

/// One device. Bytes.
///
/// Free is what the driver calls free, less what holders have leased and not taken yet, less the headroom. What others use
/// is thereby never given out, and a holder that takes more than its lease counts with what it takes. What was taken back
/// from a holder counts as leased until the driver was asked again: it may have used it after the last time.
#[derive(Debug, Clone, Default)]
pub(super) struct Device {
    pub(super) total: u64,
    pub(super) driver_free: u64,
    pub(super) lost: bool,
    pub(super) holders: BTreeMap<HolderId, Holding>,
    /// Sum over the holders.
    pub(super) leased: u64,
    unmet: Unmet,
    /// Of leases that are on their way out.
    pub(super) returning: u64,
    /// Promised to requests that wait for what is on its way out.
    pub(super) claimed: u64,
}

impl Device {
    /// Takes what the driver says that was asked at `began`, in ms; `None`: now.
    pub(super) fn read(&mut self, state: &DeviceState, began: Option<u64>) {
        self.total = state.total;
        self.driver_free = state.free.min(state.total);
        self.lost = state.lost;
        if state.lost {
            return;
        }
        let later = |(when, _): &(u64, u64)| began.is_some_and(|began| began <= *when);
        for holding in self.holders.values_mut() {
            holding.used = None;
            holding.ended.retain(later);
            holding.returned.retain(later);
        }
        for used in &state.used {
            // Whoever has no lease here is one of the others: what it uses is not free, and that is all.
            if let Some(holding) = self.holders.get_mut(&used.holder) {
                holding.used = used.bytes;
            }
        }
        self.unmet = Unmet::default();
        self.holders.values().for_each(|holding| self.unmet.add(holding.unmet()));
    }

    /// A holder has so much more.
    pub(super) fn lease(&mut self, holder: HolderId, bytes: u64) {
        let holding = self.holders.entry(holder).or_default();
        self.unmet.take(holding.unmet());
        holding.leased += bytes;
        self.unmet.add(holding.unmet());
        self.leased += bytes;
    }

    /// A holder has so much less: it said so itself, and is believed, or it was taken from it.
    pub(super) fn give_back(&mut self, holder: HolderId, bytes: u64, now: u64, returned: bool) {
        let Some(holding) = self.holders.get_mut(&holder) else { return };
        self.unmet.take(holding.unmet());
        holding.leased = holding.leased.saturating_sub(bytes);
        if returned {
            holding.returns(now, bytes);
        } else {
            holding.ended.push((now, bytes));
        }
        self.unmet.add(holding.unmet());
        self.leased = self.leased.saturating_sub(bytes);
        if holding.is_empty() {
            self.holders.remove(&holder);
        }
    }

    /// Bytes that may be given out now.
    pub(super) fn free(&self, headroom: u64) -> u64 {
        if self.lost { 0 } else { self.driver_free.saturating_sub(self.unmet.all.saturating_add(headroom)) }
    }

    /// Bytes that nobody has a claim on now; below zero where claims wait for more.
    pub(super) fn room_now(&self, headroom: u64) -> i64 {
        if self.lost {
            return i64::MIN;
        }
        let taken = self.unmet.all.saturating_add(headroom).saturating_add(self.claimed);
        signed(self.driver_free) - signed(taken)
    }

    /// The same when all that is on its way out is out.
    pub(super) fn room_soon(&self, headroom: u64) -> i64 {
        self.room_now(headroom)
            .saturating_add(signed(self.returning))
            .saturating_add(signed(self.unmet.ended))
    }

    /// Bytes that leases do not explain.
    pub(super) fn external(&self) -> u64 {
        if self.lost {
            // Nobody knows.
            return 0;
        }
        let ours = self.holders.values().filter(|holding| holding.leased > 0);
        let ours: u64 = ours.filter_map(|holding| holding.used).sum();
        (self.total - self.driver_free).saturating_sub(ours)
    }
}

/// Devices have far less than 2^63 bytes; what does not fit is as good as endless.
pub(super) fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
