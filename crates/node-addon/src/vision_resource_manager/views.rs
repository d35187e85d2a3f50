//! What there is, for those who look. Bytes, and ms of the manager's clock.

use napi_derive::napi;
use runtime::vision_resource_manager::{LeaseView, Usage, WaitingView};

use super::news::{GpuShare, share};

/// A process that uses a device.
#[napi(object, object_from_js = false)]
pub struct ProcessUse {
    /// Its number.
    pub pid: u32,
    /// Absent: the driver does not tell.
    pub used: Option<f64>,
}

/// A device, as it was read last.
#[napi(object, object_from_js = false)]
pub struct DeviceUse {
    /// Its place.
    pub index: f64,
    /// The driver's name for it; empty where it has not told it.
    pub uuid: String,
    /// The product's name; empty where the driver has not told it.
    pub name: String,
    /// In all.
    pub total: f64,
    /// What the driver calls used.
    pub used: f64,
    /// What leases say.
    pub leased: f64,
    /// What leases do not explain.
    pub external: f64,
    /// What may be given out.
    pub free: f64,
    /// Whether it has vanished, or cannot be given out.
    pub is_lost: bool,
    /// Percent.
    pub utilization: Option<f64>,
    /// Degrees Celsius.
    pub temperature_c: Option<f64>,
    /// Watts.
    pub power_w: Option<f64>,
    /// Those that the driver lists.
    pub processes: Vec<ProcessUse>,
}

impl From<Usage> for DeviceUse {
    fn from(Usage { index, reading, ledger, .. }: Usage) -> Self {
        let processes = reading.processes.unwrap_or_default().into_iter();
        let used = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64);
        // Of a device that is not there what was read last of it is no news.
        let lost = ledger.lost;
        let now = |value: Option<f64>| value.filter(|_| !lost);
        Self {
            index: index as f64,
            uuid: reading.uuid.unwrap_or_default(),
            name: reading.name.unwrap_or_default(),
            total: ledger.total as f64,
            used: ledger.used as f64,
            leased: ledger.leased as f64,
            external: ledger.external as f64,
            free: ledger.free as f64,
            is_lost: lost,
            utilization: now(reading.utilization.map(f64::from)),
            temperature_c: now(reading.temperature_c.map(f64::from)),
            power_w: now(reading.power_w),
            processes: processes.map(|one| ProcessUse { pid: one.pid, used: used(one.used) }).collect(),
        }
    }
}

/// A lease, or a request that waits.
#[napi(object, object_from_js = false)]
pub struct Held {
    /// Of the lease, or of the request.
    pub number: f64,
    /// On whose account.
    pub owner: String,
    /// What for.
    pub model: Option<String>,
    /// How much it matters.
    pub priority: String,
    /// Where.
    pub shares: Vec<GpuShare>,
    /// When it ends, or is refused; absent: it has no end.
    pub ends_at: Option<f64>,
    /// `active`, `grace` or `queued`.
    pub state: String,
}

impl From<LeaseView> for Held {
    fn from(view: LeaseView) -> Self {
        let state = if view.preempted_by.is_some() { "grace" } else { "active" };
        Self {
            number: view.lease as f64,
            owner: view.owner.into_string(),
            model: view.model.map(String::from),
            priority: view.priority.as_str().to_owned(),
            shares: view.shares.iter().map(share).collect(),
            ends_at: view.expires_at.map(|end| end as f64),
            state: state.to_owned(),
        }
    }
}

impl From<WaitingView> for Held {
    fn from(view: WaitingView) -> Self {
        Self {
            number: view.request as f64,
            owner: view.owner.into_string(),
            model: view.model.map(String::from),
            priority: view.priority.as_str().to_owned(),
            shares: Vec::new(),
            ends_at: Some(view.deadline as f64),
            state: "queued".to_owned(),
        }
    }
}
