//! A daemon on a socket, and clients of it, with scripted GPUs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]
#![allow(clippy::disallowed_methods, reason = "each task is awaited or aborted by its test")]

mod daemon;
mod leases;
mod models;
