//! The real binary, as a person or a script calls it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]

mod bench;
mod budget;
mod cache;
mod chat;
mod config;
mod doctor;
mod explain;
mod gpu;
mod gpu_daemon;
mod health;
mod keys;
mod listen;
mod models;
mod reload;
mod router;
mod serve;
mod study;
mod support;
mod transcribe;
