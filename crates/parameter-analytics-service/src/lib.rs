//! What to try next, and what is best so far.
//!
//! # What it deliberately does not know
//! Language models, HTTP, clocks, where a study is kept: times, bytes and seeds are passed in.

pub mod bandit;
pub mod gp;
pub mod journal;
pub mod sampler;
pub mod space;
mod stream;
pub mod study;

pub use stream::Stream;
