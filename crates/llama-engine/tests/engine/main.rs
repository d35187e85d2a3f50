//! The real binary with a real model, over its socket.

mod answers;
mod faults;
mod harness;
mod life;
mod sharing;
