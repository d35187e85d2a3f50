//! What is said on the socket: JSON, sizes in bytes, times in milliseconds. `docs/vram.md` is the page for people.

mod gpus;
mod models;

pub use gpus::{Gpu, GpuProcess, Gpus};
pub use models::{
    AttachBody, Attached, Going, Instance, InstanceState, LoadedBody, ModelBody, OptimizeBody, Optimized,
    Use, UseBody,
};
use serde::{Deserialize, Serialize};

use crate::{Allocate, DeviceIndex, Ended, LeaseId, Priority, Refusal, RequestId};

/// `POST /v1/leases`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllocateBody {
    /// On each GPU.
    pub bytes: u64,
    /// All of them or none.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub gpus: u32,
    /// Only these, by index; any where it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceIndex>,
    /// How much it matters.
    #[serde(default)]
    pub priority: Priority,
    /// How long the lease lives unless it is renewed; a minute.
    #[serde(default = "duration")]
    pub duration_ms: u64,
    /// How long to wait; half a minute.
    #[serde(default = "default_wait")]
    pub wait_ms: u64,
    /// Whether requests of a higher priority may take it back.
    #[serde(default)]
    pub preemptible: bool,
    /// How long its holder has then; five seconds.
    #[serde(default = "grace")]
    pub grace_ms: u64,
    /// On whose account.
    #[serde(default = "default_owner")]
    pub owner: Box<str>,
    /// What for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Box<str>>,
    /// The process that will hold it: the one that asks, or one that it descends from, such as the shell of a script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The client's own number of this request, by which `DELETE /v1/requests/{request}` takes it back; unique among those of a client
    /// that wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<u64>,
}

fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_one(gpus: &u32) -> bool {
    *gpus == 1
}

fn duration() -> u64 {
    Allocate::DURATION_MS
}

fn default_wait() -> u64 {
    Allocate::WAIT_MS
}

fn grace() -> u64 {
    Allocate::GRACE_MS
}

fn default_owner() -> Box<str> {
    Allocate::OWNER.into()
}

impl AllocateBody {
    /// So many bytes of one GPU, with the defaults above.
    pub fn new(bytes: u64) -> Self {
        Self {
            bytes,
            gpus: one(),
            devices: Vec::new(),
            priority: Priority::default(),
            duration_ms: duration(),
            wait_ms: default_wait(),
            preemptible: false,
            grace_ms: grace(),
            owner: default_owner(),
            model: None,
            pid: None,
            request: None,
        }
    }
}

impl From<AllocateBody> for Allocate {
    fn from(body: AllocateBody) -> Self {
        Self {
            bytes: body.bytes,
            gpus: body.gpus,
            devices: body.devices,
            priority: body.priority,
            duration_ms: body.duration_ms,
            wait_ms: body.wait_ms,
            preemptible: body.preemptible,
            grace_ms: body.grace_ms,
            owner: body.owner,
            model: body.model,
        }
    }
}

/// The answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Its number.
    pub lease: LeaseId,
    /// The same number: greater than all before, so that whatever guards what the GPU writes can refuse an older one.
    pub fencing_token: LeaseId,
    /// Where.
    pub gpus: Vec<LeasedGpu>,
    /// How long it lives from now on unless it is renewed.
    pub expires_in_ms: u64,
    /// How long it was waited for.
    pub waited_ms: u64,
}

/// Memory of one GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeasedGpu {
    /// As `GET /v1/gpus` counts.
    pub index: DeviceIndex,
    /// As `CUDA_VISIBLE_DEVICES` takes it; `null` where the driver never told it.
    pub uuid: Option<Box<str>>,
    /// How much.
    pub bytes: u64,
}

/// `POST /v1/leases/{lease}/renew`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewBody {
    /// From now.
    #[serde(default = "duration")]
    pub duration_ms: u64,
}

/// The answer to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewed {
    /// Less than was asked for where somebody waits for this memory already.
    pub expires_in_ms: u64,
}

/// A line of `GET /v1/events`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Notice {
    /// The first line.
    Listening {
        /// The daemon's process.
        daemon: u32,
    },
    /// A lease is wanted by somebody more important.
    Preempt {
        /// Which.
        lease: LeaseId,
        /// It ends then.
        grace_ms: u64,
        /// For whom.
        by_priority: Priority,
    },
    /// A lease has ended without being released.
    Ended {
        /// Which.
        lease: LeaseId,
        /// Why.
        reason: Ended,
    },
    /// Its GPU has vanished.
    Lost {
        /// Which.
        lease: LeaseId,
    },
    /// Its GPU is there again.
    Found {
        /// Which.
        lease: LeaseId,
    },
    /// A warm model is to be loaded: then `POST /v1/leases/{lease}/loaded`, or `failed`.
    Load {
        /// The instance's lease.
        lease: LeaseId,
        /// Which.
        model: Box<str>,
        /// Where.
        gpu: LeasedGpu,
    },
    /// It is to be unloaded: then `DELETE /v1/leases/{lease}`.
    Unload {
        /// The instance's lease.
        lease: LeaseId,
    },
    /// The process uses more than it has leased, and gets no more until it does not.
    Overuse {
        /// Where.
        device: DeviceIndex,
        /// Bytes.
        leased: u64,
        /// Bytes.
        used: u64,
    },
}

/// A lease in `GET /v1/leases`, or somebody that waits for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The lease's number; `null` where it waits.
    pub lease: Option<LeaseId>,
    /// Where it waits, the daemon's number of the request: another than the lease will have.
    pub request: Option<RequestId>,
    /// `active`, `grace` (asked back), `lost` or `queued`.
    pub state: HeldState,
    /// The process.
    pub pid: u32,
    /// On whose account.
    pub owner: Box<str>,
    /// What for.
    pub model: Option<Box<str>>,
    /// How much it matters.
    pub priority: Priority,
    /// Where; empty where it waits.
    pub gpus: Vec<LeasedGpu>,
    /// Bytes on each GPU.
    pub bytes: u64,
    /// Until it ends, or until it waits no longer; `null` for a warm model, which goes when somebody needs its memory.
    pub expires_in_ms: Option<u64>,
    /// Where it waits, in how many ms what is in its way is expected to have ended, unless it is renewed; left out where nothing tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_wait_ms: Option<u64>,
    /// Whether its holder has not been heard of since this daemon began.
    pub restored: bool,
    /// Of a warm model: how many use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<usize>,
    /// Of a warm model: whether it is being loaded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub loading: bool,
}

/// See [`Held::state`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldState {
    /// Held.
    Active,
    /// Asked back.
    Grace,
    /// Its GPU has vanished.
    Lost,
    /// Waits.
    Queued,
}

/// `GET /v1/leases`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leases {
    /// Those that are held, oldest first, then those that wait, first in line first.
    pub leases: Vec<Held>,
    /// Processes that held leases when the daemon was started again and have not been heard of: nothing is given out until they are, or have ended,
    /// or their leases have.
    pub waiting_for: Vec<u32>,
}

/// What is wrong, with a 4xx or 5xx status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// See [`ProblemDetails`].
    pub error: ProblemDetails,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemDetails {
    /// Stable.
    pub code: String,
    /// For people.
    pub message: String,
    /// Whether the same request may work later.
    pub retryable: bool,
    /// What is in the way of a request for memory, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
}
