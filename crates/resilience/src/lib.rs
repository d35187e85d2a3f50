//! Decides when to stop asking an endpoint, when to ask again and how often a request may be repeated.
//!
//! [`Breaker`], [`Backoff`] and [`RetryBudget`] are plain state machines: the caller passes the clock and the random
//! generator, so every sequence of events can be replayed in a test. The crates that offer these (`failsafe`,
//! `backon`, tower's `retry::budget`) read the clock themselves or wrap a future. Knows nothing of HTTP.

mod backoff;
mod breaker;
mod budget;

pub use backoff::Backoff;
pub use breaker::{Breaker, BreakerPolicy, BreakerState};
pub use budget::RetryBudget;
