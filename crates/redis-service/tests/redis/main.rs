//! The service against real Redis servers that are killed, frozen, failed over, filled up and lied to.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]

mod coherence;
mod faults;
mod outage;
mod support;
mod topologies;
mod values;
