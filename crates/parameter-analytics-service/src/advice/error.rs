use std::sync::Arc;

use crate::space::SpaceError;

/// Why there is no advice, or why a record was not taken. Its code is always `UAT_INVALID_INPUT`.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AdviceError {
    /// The space, or parameters that are not a point of it.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// A number that cannot be.
    #[error("`{field}` is {value}; it must be {expected}")]
    Number {
        /// Where it came.
        field: Arc<str>,
        /// What came.
        value: f64,
        /// What could have.
        expected: &'static str,
    },
    /// The first record that has a context says which features there are.
    #[error("`context` has the feature `{feature}`, which no record has; known are {known}")]
    UnknownFeature {
        /// What came.
        feature: Arc<str>,
        /// Those that are known.
        known: String,
    },
    /// A context has all features, or is left out.
    #[error("`context` lacks the feature `{0}`; give all that records have, or no context at all")]
    MissingFeature(Arc<str>),
    /// A record from which nothing is learned.
    #[error("a record needs at least one of `reward`, `latency_ms`, `cost_usd`, `tokens` and `error`")]
    EmptyRecord,
}

impl AdviceError {
    /// The stable code, one of `api.d.ts`'s `ErrorCode`.
    pub fn code(&self) -> &'static str {
        "UAT_INVALID_INPUT"
    }
}
