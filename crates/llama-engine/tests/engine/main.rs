//! The real binary with a real model, over its socket.

#![expect(clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

mod answers;
mod embeddings;
mod faults;
mod gpu;
mod harness;
mod life;
mod memory;
mod sharing;
mod structured;
