//! What a manager is told.

use serde::{Deserialize, Serialize};

use super::decision::Share;

/// How much a request matters. Each step lets it count as having come [`crate::Settings::aging_ms`] earlier.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// For what nobody waits for.
    Low,
    /// The default.
    #[default]
    Normal,
    /// Somebody waits.
    High,
    /// Others have to give way.
    Critical,
}

impl Priority {
    /// The least first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Normal, Self::High, Self::Critical];

    /// Its name, as it is written everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// A process that holds memory, by a number that its host gave it: never given twice, so that a process id that comes
/// again is another holder.
pub type HolderId = u64;
/// A request, by a number that the caller chose; unique among those that wait or use a model.
pub type RequestId = u64;
/// A lease's number, which is its fencing token too: each is greater than all before.
pub type LeaseId = u64;
/// No time is longer, in ms: 142,000 years, which is exact in JSON, too, and bears to be added to any clock.
pub(super) const MOST_MS: u64 = 1 << 52;

/// A device's place in the list that the driver gave first.
pub type DeviceIndex = usize;

/// What is asked for with [`Event::Request`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRequest {
    /// Its number.
    pub request: RequestId,
    /// Who will hold it.
    pub holder: HolderId,
    /// On whose account, for quotas and for people.
    pub owner: Box<str>,
    /// What it is for, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Box<str>>,
    /// Bytes on each device.
    pub bytes: u64,
    /// On how many devices: all of them or none.
    pub gpus: u32,
    /// Only on these; any where it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceIndex>,
    /// How much it matters.
    #[serde(default)]
    pub priority: Priority,
    /// How long the lease lives unless it is renewed, in ms.
    pub duration_ms: u64,
    /// How long to wait, in ms; 0: an answer now.
    pub wait_ms: u64,
    /// Whether requests of a higher priority may take it back.
    #[serde(default)]
    pub preemptible: bool,
    /// How long its holder has then, in ms.
    #[serde(default)]
    pub grace_ms: u64,
}

/// What a process that uses memory takes of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// Who.
    pub holder: HolderId,
    /// Bytes; `None` where the driver cannot tell, which counts as 0.
    pub bytes: Option<u64>,
}

/// What a driver says of one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceState {
    /// Bytes in all.
    pub total: u64,
    /// Bytes that nobody uses.
    pub free: u64,
    /// What those take that hold leases; others are what is not free.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub used: Vec<Used>,
    /// Whether it has vanished.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lost: bool,
}

/// A model that is loaded when somebody uses it and unloaded when its memory is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarmModel {
    /// The process that loads and unloads it.
    pub holder: HolderId,
    /// Its name in that process.
    pub model: Box<str>,
    /// On whose account its instances are, for quotas and for people; `None`: its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Box<str>>,
    /// Bytes of an instance.
    pub bytes: u64,
    /// How long a load takes, in ms, until one was measured.
    pub load_ms: u64,
    /// Instances at most.
    pub replicas: u32,
    /// Uses of an instance at once; `None`: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
}

impl WarmModel {
    /// On whose account its instances are.
    pub fn owner(&self) -> &str {
        self.owner.as_deref().unwrap_or(&self.model)
    }
}

/// What an earlier manager gave out, as its host wrote it down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoredLease {
    /// Its number; new ones are above it.
    pub lease: LeaseId,
    /// Who has it.
    pub holder: HolderId,
    /// On whose account.
    pub owner: Box<str>,
    /// What for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Box<str>>,
    /// How much it matters.
    #[serde(default)]
    pub priority: Priority,
    /// Where.
    pub shares: Vec<Share>,
    /// When it ends unless it is renewed, in ms; `None`: a warm model's, which its holder gives back, or speaks for
    /// with [`Event::Adopt`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// Whether requests of a higher priority may take it back.
    #[serde(default)]
    pub preemptible: bool,
    /// How long its holder has then, in ms.
    #[serde(default)]
    pub grace_ms: u64,
}

/// What a manager is told. Times come beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// What the driver reads, device by device and always in the same order.
    Devices {
        /// One for each device.
        devices: Vec<DeviceState>,
        /// When the driver was asked, in ms; `None`: now. What leases had that ended later is not given out yet.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        began_at: Option<u64>,
    },
    /// Somebody wants a lease.
    Request(LeaseRequest),
    /// Somebody does not want it any longer: of a lease or of a model's use.
    Cancel {
        /// Which.
        request: RequestId,
        /// Who says so: whoever asked.
        holder: HolderId,
    },
    /// A lease shall live on, from now.
    Renew {
        /// Which.
        lease: LeaseId,
        /// Who says so.
        holder: HolderId,
        /// For how long, in ms.
        duration_ms: u64,
    },
    /// A lease is given back.
    Release {
        /// Which.
        lease: LeaseId,
        /// Who says so.
        holder: HolderId,
    },
    /// A process is gone, and what it held with it.
    HolderGone {
        /// Which.
        holder: HolderId,
    },
    /// A process has a model that can be used. While it is in memory, or on its way there, a model that is registered again
    /// differs in `load_ms`, `replicas` and `concurrency` only.
    Register(WarmModel),
    /// A process has a model no longer: not while it is in use or being loaded. Whoever waits for it is refused, and idle
    /// instances are unloaded.
    Unregister {
        /// The process that registered it.
        holder: HolderId,
        /// Its name there.
        model: Box<str>,
    },
    /// Somebody wants to use one.
    Use {
        /// The number of this use.
        request: RequestId,
        /// The process that registered the model.
        holder: HolderId,
        /// Its name there.
        model: Box<str>,
        /// How much it matters.
        #[serde(default)]
        priority: Priority,
        /// How long to wait, in ms.
        wait_ms: u64,
    },
    /// A use has ended.
    Done {
        /// Which.
        request: RequestId,
        /// Who says so: the process that registered the model.
        holder: HolderId,
    },
    /// An instance is loaded.
    Loaded {
        /// Its lease.
        lease: LeaseId,
        /// Who says so.
        holder: HolderId,
        /// How long that took, in ms.
        took_ms: u64,
    },
    /// It could not be loaded. The first of those that wait for it is told so; for the others it is tried again.
    LoadFailed {
        /// Its lease.
        lease: LeaseId,
        /// Who says so.
        holder: HolderId,
    },
    /// An instance is unloaded: one that was to be, or that nobody uses.
    Unloaded {
        /// Its lease.
        lease: LeaseId,
        /// Who says so.
        holder: HolderId,
    },
    /// Idle models shall make room.
    Optimize {
        /// Bytes that shall be free on each device; `None`: whatever costs less to load again than it blocks goes.
        target_free: Option<u64>,
        /// Only there.
        device: Option<DeviceIndex>,
    },
    /// A lease that an earlier manager gave out, and whose holder lives. From the first of these on nothing is given out, until
    /// [`Event::Restored`].
    Restore(RestoredLease),
    /// A lease without an end that was restored is an instance of a model, which its holder has registered meanwhile.
    Adopt {
        /// Which.
        lease: LeaseId,
        /// Who says so: whoever has it.
        holder: HolderId,
        /// The model's name there.
        model: Box<str>,
        /// Whether it is still being loaded.
        loads: bool,
        /// New numbers of the uses that go on.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        uses: Vec<RequestId>,
    },
    /// All is known that is held still.
    Restored,
    /// Time has passed.
    Tick,
}
