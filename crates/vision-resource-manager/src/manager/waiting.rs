//! Those that wait, and in which order.

use super::decision::Share;
use super::event::{DeviceIndex, LeaseId, LeaseRequest, Priority, RequestId};

/// What is waited for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Want {
    /// Memory.
    Lease(LeaseRequest),
    /// A model, by its place in the list.
    Use { model: usize },
}

/// Memory that was promised and is on its way out of others' hands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Claim {
    pub(super) shares: Vec<Share>,
    /// Those that give it back.
    pub(super) awaits: Vec<LeaseId>,
    /// When the driver has spoken since the last of them was gone: first, and last.
    pub(super) readings: Option<(u64, u64)>,
    /// As in [`super::lease::Lease::ends_before`].
    pub(super) ends_before: Option<(RequestId, u64)>,
}

/// One that waits.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Waiting {
    pub(super) request: RequestId,
    pub(super) priority: Priority,
    /// When it came, less what its priority is worth: smaller is first. It never changes, so that nobody is overtaken by
    /// those that come later than the priorities differ.
    pub(super) order: (i64, u64),
    pub(super) since: u64,
    pub(super) deadline: u64,
    /// From when on others do not use warm models where it waits, however few have overtaken it.
    pub(super) patient_until: u64,
    /// How many were served that stood behind it.
    pub(super) overtaken: u32,
    pub(super) want: Want,
    pub(super) claim: Option<Claim>,
}

/// Where the first in line will get its memory, and when.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reservation {
    pub(super) request: RequestId,
    /// When, as far as can be seen; `None` where it depends on what has no known end.
    pub(super) from: Option<u64>,
    /// The devices, with what is left there beside it, in bytes.
    pub(super) spare: Vec<(DeviceIndex, i64)>,
    /// The leases that it waits for.
    pub(super) awaits: Vec<LeaseId>,
    /// Whether its patience is over.
    pub(super) strict: bool,
    /// Whether it waits for a lease, which nobody may delay, patience or not.
    pub(super) for_lease: bool,
}

impl Reservation {
    /// Bytes beside it on a device; `None` where it needs nothing of that device.
    pub(super) fn spare_on(&self, device: DeviceIndex) -> Option<i64> {
        self.spare.iter().find(|(index, _)| *index == device).map(|(_, spare)| *spare)
    }

    /// Somebody else takes of it.
    pub(super) fn take(&mut self, device: DeviceIndex, bytes: i64) {
        for (index, spare) in &mut self.spare {
            if *index == device {
                *spare -= bytes;
            }
        }
    }
}
