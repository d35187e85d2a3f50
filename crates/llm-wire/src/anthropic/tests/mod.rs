//! What golden files cannot say well: bytes that stay as they are, refusals, facts, properties.
//!
//! The golden files are `tests/golden/anthropic`, and `tests/golden.rs` compares them.

mod answers;
mod bytes_in_pieces;
mod requests;
mod round_trip;

use serde_json::Value;

use crate::WireError;

fn tree(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(bytes)))
}

#[track_caller]
fn field_of<T: std::fmt::Debug>(result: Result<T, WireError>) -> String {
    match result {
        Err(error @ (WireError::Invalid { .. } | WireError::Json { .. })) => {
            error.param().unwrap_or("$").to_owned()
        }
        other => panic!("{other:?}"),
    }
}
