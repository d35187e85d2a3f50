//! OpenAI's dialect as clients and providers really write it.

mod answers;
mod collector;
mod continuation;
mod embeddings;
mod plain_answer;
mod request;

use std::fmt::Debug;

use crate::WireError;

/// Asserts which field is refused, and that the message says what was expected and what came.
#[track_caller]
fn check_refused<T: Debug>(parsed: Result<T, WireError>, field: &str, expected: &str, got: &str) {
    match parsed {
        Err(WireError::Invalid { field: at, expected: wanted, got: came }) => {
            assert_eq!((at.as_str(), came.as_str()), (field, got));
            assert!(wanted.contains(expected), "{wanted:?} does not say {expected:?}");
        }
        other => panic!("gave {other:?}"),
    }
}
