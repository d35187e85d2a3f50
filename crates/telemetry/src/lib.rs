//! Tells others what became of requests: spans for a collector that speaks OTLP, lines for an access log.
//!
//! Nothing happens while a request is under way but the choice of its ids ([`Traces::begin`]). When it has ended, whoever
//! carried it out describes it once, as an [`EndedRequest`]; [`AccessLog::write`] makes a line of that and [`Traces::ended`]
//! puts it into a queue, of which the [`Exporter`] makes spans. Both queues are bounded: what does not fit is dropped and
//! counted, and no request waits for a collector or a disk.
//!
//! `opentelemetry-proto` has the messages of OTLP. Its SDK's batch processor and the layer for `tracing` are not used: they
//! make spans while the request runs, on its path, and do not say how many they dropped.
//!
//! # What it deliberately does not know
//! Who serves HTTP, how endpoints are chosen, where its options were written. It has no field for a prompt, an answer, a
//! key or a word of an endpoint's.

mod access_log;
mod counts;
mod ended;
mod error;
mod exporter;
mod options;
mod semconv;
mod spans;
mod traces;

pub use access_log::AccessLog;
pub use counts::Counts;
pub use ended::{EndedAttempt, EndedRequest, Fate, Tokens};
pub use error::TelemetryError;
pub use exporter::Exporter;
pub use options::{AccessLogTo, TracesOptions};
pub use semconv::{CONVENTIONS, Operation};
pub use traces::{Begun, Traces};
