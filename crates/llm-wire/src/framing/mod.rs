//! Cutting a byte stream into events and lines, incrementally and within a bound.

mod lines;
pub mod ndjson;
pub mod sse;

#[cfg(test)]
mod tests;
