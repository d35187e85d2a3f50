//! Golden translations, both ways, and what holds of all of them.

mod answers_in;
mod answers_out;
mod embeddings;
mod properties;
mod requests_in;
mod requests_out;

use serde_json::Value;

use crate::WireError;

fn tree(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[track_caller]
fn field_of<T: std::fmt::Debug>(result: Result<T, WireError>) -> String {
    match result {
        Err(WireError::Invalid { field, .. }) => field,
        other => panic!("{other:?}"),
    }
}
