//! Who may use how much memory of which GPU until when.
//!
//! A [`Manager`] is told what happens (somebody wants memory, a lease is given back, a driver says what is free) and decides
//! who gets what. It reads no clock, asks no driver and starts no thread, so that the same events give the same decisions:
//! tests replay them, and so does the TypeScript half of the package. A [`ResourceManager`] is that manager among threads: it reads
//! a driver, lets time pass and tells those that wait. A [`host`] lets all processes of a user share one. [`simulate`] replays recorded days. Nothing here knows what runs in the
//! memory that is given out.
//!
//! ```
//! use vision_resource_manager::{Decision, DeviceState, Event, LeaseRequest, Manager, Priority, Settings};
//!
//! let mut manager = Manager::new(Settings { headroom: 0, ..Settings::default() });
//! let mut decisions = Vec::new();
//! let device = DeviceState { total: 24 << 30, free: 24 << 30, used: Vec::new(), lost: false };
//! manager.apply(0, Event::Devices { devices: vec![device], began_at: None }, &mut decisions);
//! let request = LeaseRequest {
//!     request: 1,
//!     holder: 1,
//!     owner: "search".into(),
//!     model: None,
//!     bytes: 4 << 30,
//!     gpus: 1,
//!     devices: Vec::new(),
//!     priority: Priority::High,
//!     duration_ms: 30_000,
//!     wait_ms: 0,
//!     preemptible: false,
//!     grace_ms: 0,
//! };
//! manager.apply(0, Event::Request(request), &mut decisions);
//! assert!(matches!(decisions[..], [Decision::Granted { lease: 1, expires_at: 30_000, .. }]));
//! ```

pub mod host;
mod manager;
mod processes;
mod service;
pub mod simulate;

pub use manager::{
    Decision, DeviceIndex, DeviceState, DeviceView, Ended, Event, HolderId, LeaseId, LeaseRequest, LeaseView,
    Manager, Priority, Refusal, RequestId, RestoredLease, Settings, Share, Used, WaitingView, WarmModel,
};
pub use service::{
    Allocate, Granted, ManagerError, ManagerOptions, Process, ResourceManager, Started, Usage,
};
