//! Warm models, and what a client has when it comes back.

use serde::{Deserialize, Serialize};

use super::{LeasedGpu, default_wait};
use crate::{DeviceIndex, LeaseId, Priority};

/// `POST /v1/models`: the caller has a model, which it loads and unloads when it is told to. Each client has its own, whatever their names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelBody {
    /// Its name among those of this client.
    pub name: Box<str>,
    /// On whose account; its name where that is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Box<str>>,
    /// Of an instance.
    pub bytes: u64,
    /// How long a load takes, until one was measured; a second.
    #[serde(default = "load")]
    pub load_ms: u64,
    /// Instances at most.
    #[serde(default = "one")]
    pub replicas: u32,
    /// Uses of an instance at once; any number where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
}

fn load() -> u64 {
    1_000
}

fn one() -> u32 {
    1
}

impl ModelBody {
    /// So many bytes of one GPU, with the defaults above.
    pub fn new(name: &str, bytes: u64) -> Self {
        Self { name: name.into(), owner: None, bytes, load_ms: load(), replicas: one(), concurrency: None }
    }
}

/// `POST /v1/models/{model}/uses`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UseBody {
    /// The client's own number of this use, unique among its uses and requests: `DELETE /v1/requests/{request}` takes it back as long as
    /// it waits, and `DELETE /v1/uses/{request}` ends it.
    pub request: u64,
    /// How much it matters.
    #[serde(default)]
    pub priority: Priority,
    /// How long to wait; half a minute.
    #[serde(default = "default_wait")]
    pub wait_ms: u64,
}

/// The answer to it: the model is loaded, and stays so until the use ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// The client's own number of it.
    pub r#use: u64,
    /// The instance.
    pub lease: LeaseId,
    /// Where it is.
    pub gpus: Vec<LeasedGpu>,
    /// How long it was waited for.
    pub waited_ms: u64,
}

/// `POST /v1/leases/{lease}/loaded`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadedBody {
    /// How long it took.
    pub took_ms: u64,
}

/// `POST /v1/attach`: these leases and instances a client has; its others are given back.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttachBody {
    /// The numbers of its leases.
    #[serde(default)]
    pub leases: Vec<LeaseId>,
    /// Its warm models in memory, or on their way there or out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instances: Vec<Instance>,
}

/// A warm model in memory, as its client knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// Its lease.
    pub lease: LeaseId,
    /// Of which model: a daemon that was started again does not know it.
    pub model: ModelBody,
    /// What it does.
    pub state: InstanceState,
    /// The client's own numbers of the uses that go on.
    #[serde(default)]
    pub uses: Vec<u64>,
}

/// See [`Instance::state`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceState {
    /// It is being loaded.
    Loading,
    /// It is loaded.
    Ready,
    /// It is being unloaded.
    Unloading,
}

/// The answer to [`AttachBody`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// Those that live, instances among them.
    pub leases: Vec<LeaseId>,
    /// Those that have ended.
    pub ended: Vec<LeaseId>,
}

/// `POST /v1/optimize`: idle warm models of all processes make room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizeBody {
    /// So much shall be free on each GPU; where it is absent, whatever costs less to load again than it blocks goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_free_bytes: Option<u64>,
    /// Only there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceIndex>,
    /// How long to wait until they are unloaded; half a minute.
    #[serde(default = "default_wait")]
    pub wait_ms: u64,
}

/// The answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Optimized {
    /// Those that are out.
    pub unloaded: Vec<Going>,
    /// Those that were told to go and are not out yet.
    pub unloading: Vec<Going>,
}

/// A warm model that goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Going {
    /// The instance's lease.
    pub lease: LeaseId,
    /// Whose.
    pub pid: u32,
    /// Its name there.
    pub model: Option<Box<str>>,
    /// What it takes.
    pub bytes: u64,
}
