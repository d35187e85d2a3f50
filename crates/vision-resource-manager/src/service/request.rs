//! What is asked, and what comes of it.

use gpu_driver::DeviceReading;

use super::readings::why_not;
use crate::manager::DeviceView;
use crate::{DeviceIndex, LeaseId, Priority, RequestId, Share};

/// A process: its number may come again, its number with its beginning does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it began, in ticks since the boot; `None` where that is not known, and the number has to do.
    pub started: Option<u64>,
}

impl Process {
    /// Whether it is the one that has this number and this beginning.
    pub(super) fn is(self, pid: u32, started: Option<u64>) -> bool {
        self.pid == pid && (self.started.is_none() || started.is_none() || self.started == started)
    }
}

/// Memory that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocate {
    /// Bytes on each device.
    pub bytes: u64,
    /// On how many: all or none.
    pub gpus: u32,
    /// Only on these; any where it is empty.
    pub devices: Vec<DeviceIndex>,
    /// How much it matters.
    pub priority: Priority,
    /// How long the lease lives unless it is renewed, in ms.
    pub duration_ms: u64,
    /// How long to wait, in ms; 0: an answer now.
    pub wait_ms: u64,
    /// Whether requests of a higher priority may take it back.
    pub preemptible: bool,
    /// How long its holder has then, in ms.
    pub grace_ms: u64,
    /// On whose account.
    pub owner: Box<str>,
    /// What for.
    pub model: Option<Box<str>>,
}

impl Allocate {
    /// How long a lease lives where nothing is said of it, in ms.
    pub const DURATION_MS: u64 = 60_000;
    /// How long a request waits, in ms.
    pub const WAIT_MS: u64 = 30_000;
    /// How long a holder has that is asked to give back, in ms.
    pub const GRACE_MS: u64 = 5_000;
    /// On whose account.
    pub const OWNER: &str = "default";

    /// So many bytes of one device for a minute, waited for up to half a minute.
    pub fn new(bytes: u64) -> Self {
        Self {
            bytes,
            gpus: 1,
            devices: Vec::new(),
            priority: Priority::Normal,
            duration_ms: Self::DURATION_MS,
            wait_ms: Self::WAIT_MS,
            preemptible: false,
            grace_ms: Self::GRACE_MS,
            owner: Self::OWNER.into(),
            model: None,
        }
    }
}

/// A lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// Its number and fencing token: greater than all before.
    pub lease: LeaseId,
    /// Where.
    pub shares: Vec<Share>,
    /// What the driver calls these devices, in the same order; `None` where it does not say.
    pub uuids: Vec<Option<String>>,
    /// When it ends, in ms of [`super::ResourceManager::now`].
    pub expires_at: u64,
    /// How long it was waited for, in ms.
    pub waited_ms: u64,
}

/// A use that may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Started {
    /// Its number, for [`super::ResourceManager::done`].
    pub request: RequestId,
    /// The instance's lease.
    pub lease: LeaseId,
    /// How long it was waited for, in ms.
    pub waited_ms: u64,
}

/// A device, for people and monitors.
#[derive(Debug, Clone, PartialEq)]
pub struct Usage {
    /// Its number among leases.
    pub index: DeviceIndex,
    /// What the driver says.
    pub reading: DeviceReading,
    /// What is given out.
    pub ledger: DeviceView,
    /// Why nothing is given out there, where that is so.
    pub closed: Option<String>,
}

impl Usage {
    pub(super) fn new(index: DeviceIndex, ledger: DeviceView, reading: DeviceReading) -> Self {
        let vanished = || "the driver does not list it any longer".to_owned();
        let closed = why_not(&reading).or_else(|| ledger.lost.then(vanished));
        Self { index, reading, ledger, closed }
    }
}
