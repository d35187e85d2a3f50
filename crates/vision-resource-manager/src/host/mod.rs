//! One manager for all processes of a user: HTTP on a Unix socket that only that user can open.
//!
//! A holder is a process (and, where it names several, one of its clients); the system says which one calls. When it ends, what it
//! had is free. Leases are written down before anybody is told of them ([`journal`]): a daemon that was killed and is started again knows
//! them, and gives nothing out before each holder has been heard of, has ended, or its leases have.
//!
//! [`HostClient`] is the other side, for programs in Rust; the protocol is plain enough for anything else (`docs/vram.md`).

mod book;
mod client;
mod error;
mod holders;
mod journal;
mod keeper;
mod leases;
mod models;
mod pending;
mod process;
mod routes;
mod server;
mod tokens;
mod wire;

pub use client::{ClientError, Events, HostClient};
pub use error::HostError;
pub use keeper::{InUse, Keeper, KeptModel};
pub use process::descends_from;
pub use server::{Host, HostOptions, HostView};
pub use wire::{
    AllocateBody, AttachBody, Attached, Going, Gpu, GpuProcess, Gpus, Held, HeldState, Instance,
    InstanceState, Lease, LeasedGpu, Leases, LoadedBody, ModelBody, Notice, OptimizeBody, Optimized, Problem,
    ProblemDetails, RenewBody, Renewed, Use, UseBody,
};
