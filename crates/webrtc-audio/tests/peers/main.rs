//! Whole conversations with a browser in memory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]

mod hostile;
mod limits;
mod sound;
mod world;
