//! A history as lines of JSON, for clients in other languages.
//!
//! ```json
//! {"client":1,"key":"k","op":"write","value":"v1","start":1000,"end":2000}
//! {"client":2,"key":"k","op":"read","value":"v1","start":2500,"end":2600}
//! {"client":2,"key":"k","op":"read","value":null,"start":2700,"end":2800}
//! {"client":1,"key":"k","op":"delete","start":3000,"outcome":"unknown"}
//! ```
//!
//! `start` and `end` are whole nanoseconds on one clock of all clients. `outcome` is `ok` (where it is left out), `failed` or
//! `unknown`; without an `end` it is `unknown`. A value is any JSON but `null`, which in a read means that there was none.

use std::io::BufRead;

use serde::Deserialize;
use serde_json::Value;

use super::{Action, Operation, Outcome};

/// Why a history cannot be checked.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// It cannot be read.
    #[error("the history cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// A line is no operation.
    #[error("line {line} is no operation: {reason}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What was expected.
        reason: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default)]
    client: u64,
    key: String,
    op: Kind,
    #[serde(default)]
    value: Option<Value>,
    start: u64,
    #[serde(default)]
    end: Option<u64>,
    #[serde(default)]
    outcome: Outcome,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Write,
    Delete,
    Read,
}

/// Reads one operation from each line; empty lines are skipped.
///
/// # Errors
/// A line is no operation, ends before it starts, or the text cannot be read.
pub fn read_lines(text: impl BufRead) -> Result<Vec<Operation<String, Value>>, HistoryError> {
    let mut history = Vec::new();
    for (index, text) in text.lines().enumerate() {
        let text = text?;
        if text.trim().is_empty() {
            continue;
        }
        let operation = serde_json::from_str(&text).map_err(|error| error.to_string()).and_then(operation);
        history.push(operation.map_err(|reason| HistoryError::Line { line: index + 1, reason })?);
    }
    Ok(history)
}

fn operation(line: Line) -> Result<Operation<String, Value>, String> {
    let Line { client, key, op, value, start, end, outcome } = line;
    let action = match (op, value) {
        (Kind::Write, Some(value)) => Action::Write(value),
        (Kind::Write, None) => return Err("a write needs a value that is not null".to_owned()),
        (Kind::Delete, None) => Action::Delete,
        (Kind::Delete, Some(_)) => return Err("a delete has no value".to_owned()),
        (Kind::Read, value) => Action::Read(value),
    };
    if end.is_some_and(|end| end < start) {
        return Err(format!("it ends before its start, {start}"));
    }
    let outcome = if end.is_none() && outcome == Outcome::Ok { Outcome::Unknown } else { outcome };
    Ok(Operation { client, key, action, start, end: end.unwrap_or(u64::MAX), outcome })
}
