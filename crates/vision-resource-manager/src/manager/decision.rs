//! What a manager decides.

use serde::{Deserialize, Serialize};

use super::event::{DeviceIndex, HolderId, LeaseId, Priority, RequestId};

/// Bytes of one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Where.
    pub device: DeviceIndex,
    /// How much.
    pub bytes: u64,
}

/// Why a lease has ended without its holder's doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Its time was over.
    Expired,
    /// Somebody more important needed it, and its grace was over.
    Preempted,
    /// Its holder is gone.
    HolderGone,
    /// The model could not be loaded.
    LoadFailed,
}

/// Why a request is not answered with memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Refusal {
    /// There is not so much free, and the time to wait is over.
    Insufficient {
        /// Bytes that were asked for on each device.
        asked: u64,
        /// The most that one device has free, in bytes.
        largest_free: u64,
        /// Where that is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<DeviceIndex>,
        /// Bytes that leases and warm models hold on the devices in question.
        leased: u64,
        /// Bytes that others use there.
        external: u64,
        /// How many of these devices have vanished.
        #[serde(default, skip_serializing_if = "is_zero")]
        lost: usize,
        /// Whether it would fit if nothing else were there.
        can_ever_fit: bool,
        /// In how many ms what is in its way is expected to have ended, whoever else waits; as [`Decision::Queued`] says it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected_wait_ms: Option<u64>,
    },
    /// The holder uses more than it has leased.
    Overuse {
        /// Where.
        device: DeviceIndex,
        /// Bytes that it has leased there.
        leased: u64,
        /// Bytes that it uses there.
        used: u64,
    },
    /// More than the owner may have at once.
    Quota {
        /// Bytes that it may have.
        quota: u64,
        /// Bytes that it has.
        leased: u64,
    },
    /// As many wait as may.
    QueueFull {
        /// How many.
        waiting: usize,
    },
    /// No such device, no such model, a number that makes no sense.
    Invalid {
        /// What is wrong with it.
        problem: Box<str>,
    },
    /// The model could not be loaded.
    LoadFailed,
    /// Nothing is known of such a lease: it has expired, was released, or never was.
    NoSuchLease,
    /// Another holder has this lease.
    NotYours,
    /// Whoever asked has gone, or does not want it any longer.
    Cancelled,
    /// It is not known yet whether all that an earlier manager gave out is held still.
    Restoring,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// What a manager decides. Each is to be carried out, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum Decision {
    /// A lease is granted.
    Granted {
        /// To whom.
        request: RequestId,
        /// Its number and fencing token.
        lease: LeaseId,
        /// Where.
        shares: Vec<Share>,
        /// When it ends unless it is renewed: ms on the clock of the events.
        expires_at: u64,
        /// How long the request waited, in ms.
        waited_ms: u64,
    },
    /// A request waits.
    Queued {
        /// Which.
        request: RequestId,
        /// How many are before it.
        ahead: usize,
        /// For how long, as far as the leases that are in its way tell; in ms.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected_wait_ms: Option<u64>,
    },
    /// A request is refused.
    Refused {
        /// Which.
        request: RequestId,
        /// Why.
        #[serde(flatten)]
        refusal: Refusal,
    },
    /// A lease lives on.
    Renewed {
        /// Which.
        lease: LeaseId,
        /// Until when; sooner than was asked for where it was granted on the promise to end before somebody who waits needs
        /// its memory.
        expires_at: u64,
    },
    /// A lease is given back.
    Released {
        /// Which.
        lease: LeaseId,
    },
    /// What was asked of a lease is refused.
    Denied {
        /// Which.
        lease: LeaseId,
        /// Why.
        #[serde(flatten)]
        refusal: Refusal,
    },
    /// What was asked of a model is refused.
    ModelDenied {
        /// Whose.
        holder: HolderId,
        /// Which.
        model: Box<str>,
        /// Why.
        #[serde(flatten)]
        refusal: Refusal,
    },
    /// A holder shall give a lease back.
    Preempt {
        /// Which.
        lease: LeaseId,
        /// Whose.
        holder: HolderId,
        /// When it ends in any case.
        until: u64,
        /// For whom.
        by: Priority,
    },
    /// A lease has ended.
    Ended {
        /// Which.
        lease: LeaseId,
        /// Whose.
        holder: HolderId,
        /// Why.
        reason: Ended,
    },
    /// A lease's device has vanished: what lay there is gone or cannot be reached. The lease lives on until its holder gives
    /// it back or its time is over, so that nothing else is given out there meanwhile.
    Lost {
        /// Which.
        lease: LeaseId,
        /// Whose.
        holder: HolderId,
    },
    /// The device is there again.
    Found {
        /// Which.
        lease: LeaseId,
        /// Whose.
        holder: HolderId,
    },
    /// A holder uses more than it has leased; said once until it no longer does.
    Overuse {
        /// Who.
        holder: HolderId,
        /// Where.
        device: DeviceIndex,
        /// Bytes that it has leased.
        leased: u64,
        /// Bytes that it uses.
        used: u64,
    },
    /// The holder of a model shall load an instance.
    Load {
        /// The instance's lease.
        lease: LeaseId,
        /// Who.
        holder: HolderId,
        /// What.
        model: Box<str>,
        /// Where.
        share: Share,
    },
    /// It shall unload it.
    Unload {
        /// The instance's lease.
        lease: LeaseId,
        /// Whose.
        holder: HolderId,
    },
    /// A use may begin.
    Started {
        /// Which.
        request: RequestId,
        /// With which instance.
        lease: LeaseId,
        /// How long it waited, in ms.
        waited_ms: u64,
    },
}
