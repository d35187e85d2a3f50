//! Recorded requests, as CSV.

use std::collections::HashMap;
use std::io::Read;

use crate::Priority;

/// A model of a trace.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceModel {
    /// Its name.
    pub name: Box<str>,
    /// Bytes of an instance.
    pub bytes: u64,
    /// What a load takes, in ms.
    pub load_ms: u64,
}

/// A request of a trace.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TraceRequest {
    /// When it came, in ms from the beginning.
    pub arrival_ms: f64,
    /// Which model it is for: its place in [`Trace::models`].
    pub model: usize,
    /// What it takes, in ms.
    pub exec_ms: f64,
    /// How much it matters.
    pub priority: Priority,
}

impl TraceRequest {
    /// When it comes, in whole ms, where all come so many times as fast.
    pub(super) fn arrives(&self, speedup: f64) -> u64 {
        (self.arrival_ms / speedup) as u64
    }
}

/// Recorded requests, in the order in which they came.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trace {
    /// The models.
    pub models: Vec<TraceModel>,
    /// The requests.
    pub requests: Vec<TraceRequest>,
}

/// Why a trace cannot be replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// It is no CSV, or lacks a column.
    #[error(
        "expected CSV with the columns arrival_ms, model, exec_ms, vram_mb, load_ms and, if you like, priority; {0}"
    )]
    Csv(#[from] csv::Error),
    /// A value makes no sense.
    #[error("line {line}: expected {expected}, got {got}")]
    Value {
        /// In which line, counted from 1.
        line: u64,
        /// What is possible there.
        expected: &'static str,
        /// What is there.
        got: String,
    },
    /// There is not one request in it.
    #[error("the trace holds no request, only its header")]
    Empty,
    /// With such a speedup the last request would come after the end of all clocks.
    #[error("expected a speedup with which the last request comes within 1e12 ms, got {speedup}")]
    Speedup {
        /// What was asked for.
        speedup: f64,
    },
    /// A model is larger than every device.
    #[error(
        "model {name} needs {} MiB, the largest device has {} MiB; give larger ones with --gpus",
        bytes >> 20,
        largest >> 20
    )]
    NeverFits {
        /// Which.
        name: Box<str>,
        /// Its bytes.
        bytes: u64,
        /// Bytes of the largest device.
        largest: u64,
    },
}

impl TraceError {
    /// The stable code, one of `api.d.ts`'s `ErrorCode`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NeverFits { .. } => "UAT_INSUFFICIENT_VRAM",
            Self::Csv(_) | Self::Value { .. } | Self::Empty | Self::Speedup { .. } => "UAT_INVALID_INPUT",
        }
    }
}

#[derive(serde::Deserialize)]
struct Row {
    arrival_ms: f64,
    model: Box<str>,
    exec_ms: f64,
    vram_mb: u64,
    load_ms: u64,
    #[serde(default)]
    priority: Option<Priority>,
}

/// Thirty years, more than any trace's: sums of very many stay exact.
pub(super) const MOST_MS: f64 = 1e12;

impl Trace {
    /// Reads CSV with the columns `arrival_ms`, `model`, `exec_ms`, `vram_mb`, `load_ms` and optionally `priority`. Rows
    /// may come in any order; of a model's sizes the largest counts.
    ///
    /// # Errors
    /// [`TraceError`] names the line.
    pub fn read(source: impl Read) -> Result<Self, TraceError> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(source);
        let (mut trace, mut places) = (Self::default(), HashMap::new());
        let headers = reader.headers()?.clone();
        let mut record = csv::StringRecord::new();
        while reader.read_record(&mut record)? {
            let line = record.position().map_or(0, csv::Position::line);
            let row: Row = record.deserialize(Some(&headers))?;
            let times = [
                (row.arrival_ms, "arrival_ms from 0 to 1e12"),
                (row.exec_ms, "exec_ms from 0 to 1e12"),
                (row.load_ms as f64, "load_ms from 0 to 1e12"),
            ];
            for (time, expected) in times {
                if !(0.0..=MOST_MS).contains(&time) {
                    return Err(TraceError::Value { line, expected, got: time.to_string() });
                }
            }
            if row.vram_mb == 0 || row.vram_mb > 1 << 40 {
                let (expected, got) = ("vram_mb from 1 to 2^40", row.vram_mb.to_string());
                return Err(TraceError::Value { line, expected, got });
            }
            let bytes = row.vram_mb << 20;
            let model = *places.entry(row.model.clone()).or_insert_with(|| {
                trace.models.push(TraceModel { name: row.model, bytes, load_ms: row.load_ms });
                trace.models.len() - 1
            });
            let of = &mut trace.models[model];
            of.bytes = of.bytes.max(bytes);
            of.load_ms = of.load_ms.max(row.load_ms);
            let (arrival_ms, exec_ms) = (row.arrival_ms, row.exec_ms);
            let priority = row.priority.unwrap_or_default();
            trace.requests.push(TraceRequest { arrival_ms, model, exec_ms, priority });
        }
        if trace.requests.is_empty() {
            return Err(TraceError::Empty);
        }
        trace.requests.sort_by(|a, b| a.arrival_ms.total_cmp(&b.arrival_ms));
        Ok(trace)
    }
}
