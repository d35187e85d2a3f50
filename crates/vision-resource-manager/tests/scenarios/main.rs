//! What the manager decides when this and that happens, topic by topic.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]

mod gangs;
mod hosted;
mod leases;
mod ledger;
mod line;
mod preemption;
mod scene;
mod traces;
mod users;
mod warm;
#[path = "../world/mod.rs"]
mod world;
