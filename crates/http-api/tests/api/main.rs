//! The gateway's HTTP surface in front of a provider that behaves as told.

mod bad_input;
mod dialects;
mod disconnects;
mod gate;
mod limits;
mod shutdown;
mod support;
