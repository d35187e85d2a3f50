//! The GPUs, as `GET /v1/gpus` shows them.

use serde::{Deserialize, Serialize};

use crate::DeviceIndex;

/// A GPU in `GET /v1/gpus`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gpu {
    /// As leases count.
    pub index: DeviceIndex,
    /// Its name for life.
    pub uuid: Option<String>,
    /// The product's name.
    pub name: Option<String>,
    /// In all.
    pub total_bytes: u64,
    /// What the driver calls used.
    pub used_bytes: u64,
    /// What leases say.
    pub leased_bytes: u64,
    /// What others use.
    pub external_bytes: u64,
    /// What may be given out now.
    pub free_bytes: u64,
    /// Percent.
    pub utilization: Option<u32>,
    /// Degrees.
    pub temperature_c: Option<u32>,
    /// Watts.
    pub power_w: Option<f64>,
    /// Who has a context there.
    pub processes: Vec<GpuProcess>,
    /// Why nothing is given out there, where that is so.
    pub closed: Option<String>,
}

/// A process on a GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuProcess {
    /// Its number.
    pub pid: u32,
    /// `null` where the driver cannot tell.
    pub used_bytes: Option<u64>,
}

/// `GET /v1/gpus`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gpus {
    /// All of them.
    pub gpus: Vec<Gpu>,
    /// Why there is none, where there is none.
    pub why_none: Option<String>,
}
