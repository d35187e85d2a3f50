//! What JavaScript hears without a call being under way.

use napi::Status;
use napi::threadsafe_function::ThreadsafeFunction;
use napi_derive::napi;
use runtime::vision_resource_manager::{Decision, Granted, ManagerError, RequestId, Share, Started};

use crate::error::Crossing;

/// Tells JavaScript; does not keep the process alive, which is up to those that wait.
pub(super) type Tell = ThreadsafeFunction<GpuNews, (), GpuNews, Status, false, true>;

/// Bytes of a device.
#[napi(object, object_from_js = false)]
pub struct GpuShare {
    /// Its place.
    pub device: f64,
    /// How many.
    pub bytes: f64,
}

/// One thing that happened; which fields there are depends on `kind`.
#[napi(object, object_from_js = false)]
#[derive(Default)]
pub struct GpuNews {
    /// `granted`, `started` or `failed` for a request that waited; `preempt`, `ended`, `load`, `unload` or `overuse`.
    pub kind: String,
    /// Which request.
    pub request: Option<f64>,
    /// Which lease.
    pub lease: Option<f64>,
    /// Of a lease that is granted, or of an instance that is to be loaded.
    pub shares: Option<Vec<GpuShare>>,
    /// When a lease ends, in ms of the manager's clock.
    pub ends_at: Option<f64>,
    /// How long was waited, in ms.
    pub waited_ms: Option<f64>,
    /// What a request failed with, as errors cross.
    pub error: Option<String>,
    /// For whom a lease is taken back.
    pub by: Option<String>,
    /// Which model is to be loaded.
    pub model: Option<String>,
    /// Where more is used than leased.
    pub device: Option<f64>,
    /// Bytes.
    pub leased: Option<f64>,
    /// Bytes.
    pub used: Option<f64>,
}

impl GpuNews {
    fn new(kind: &str) -> Self {
        Self { kind: kind.to_owned(), ..Self::default() }
    }

    fn of_lease(kind: &str, lease: u64) -> Self {
        Self { lease: Some(lease as f64), ..Self::new(kind) }
    }

    fn failed(request: RequestId, error: ManagerError) -> Self {
        let error = Some(Crossing::from(error).envelope());
        Self { request: Some(request as f64), error, ..Self::new("failed") }
    }

    /// What came of a request for memory.
    pub(super) fn granted(request: RequestId, said: Result<Granted, ManagerError>) -> Self {
        match said {
            Err(error) => Self::failed(request, error),
            Ok(granted) => Self {
                request: Some(request as f64),
                shares: Some(granted.shares.iter().map(share).collect()),
                ends_at: Some(granted.expires_at as f64),
                waited_ms: Some(granted.waited_ms as f64),
                ..Self::of_lease("granted", granted.lease)
            },
        }
    }

    /// What came of a request for a model.
    pub(super) fn started(request: RequestId, said: Result<Started, ManagerError>) -> Self {
        match said {
            Err(error) => Self::failed(request, error),
            Ok(started) => Self {
                request: Some(request as f64),
                waited_ms: Some(started.waited_ms as f64),
                ..Self::of_lease("started", started.lease)
            },
        }
    }

    /// What a holder is told; nothing of what the wrapper has no word for.
    pub(super) fn of_decision(decision: Decision) -> Option<Self> {
        Some(match decision {
            Decision::Preempt { lease, until, by, .. } => Self {
                ends_at: Some(until as f64),
                by: Some(by.as_str().to_owned()),
                ..Self::of_lease("preempt", lease)
            },
            Decision::Ended { lease, .. } => Self::of_lease("ended", lease),
            Decision::Load { lease, model, share: one, .. } => Self {
                model: Some(model.into_string()),
                shares: Some(vec![share(&one)]),
                ..Self::of_lease("load", lease)
            },
            Decision::Unload { lease, .. } => Self::of_lease("unload", lease),
            Decision::Overuse { device, leased, used, .. } => Self {
                device: Some(device as f64),
                leased: Some(leased as f64),
                used: Some(used as f64),
                ..Self::new("overuse")
            },
            _ => return None,
        })
    }
}

pub(super) fn share(share: &Share) -> GpuShare {
    GpuShare { device: share.device as f64, bytes: share.bytes as f64 }
}
