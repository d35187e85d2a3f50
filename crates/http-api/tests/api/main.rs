//! The gateway's HTTP surface in front of a provider that behaves as told.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]

mod anthropic;
mod audio;
mod bad_input;
mod cache;
mod cascade;
mod context;
mod dialects;
mod disconnects;
mod embeddings;
mod fetches;
mod gate;
mod gemini;
mod generate;
mod inspect;
mod keys;
mod learning;
mod limits;
mod openapi;
mod parameters;
mod realtime;
mod responses;
mod router;
mod shutdown;
mod support;
mod telemetry;
mod whip;
