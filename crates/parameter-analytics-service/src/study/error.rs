use std::sync::Arc;

use crate::space::SpaceError;
use crate::study::State;

/// Why a study did not do what was asked. One variant for each thing that a caller can do differently.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StudyError {
    /// A parameter, its range or its choices.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// There is no such trial.
    #[error("study `{study}` has no trial {trial}; it has {count}, numbered from 0")]
    UnknownTrial {
        /// The study.
        study: Arc<str>,
        /// The number that was asked for.
        trial: u64,
        /// How many trials there are.
        count: u64,
    },
    /// A trial ends once.
    #[error("trial {trial} is {state} already; a trial can be told once, while it is running")]
    AlreadyEnded {
        /// The trial.
        trial: u64,
        /// How it ended.
        state: State,
    },
    /// What is told must be a finite number.
    #[error(
        "trial {trial} was told {value} as {what}; tell a finite number, or null for a trial that failed"
    )]
    NotFinite {
        /// The trial.
        trial: u64,
        /// NaN or an infinity.
        value: f64,
        /// Which number it is.
        what: String,
    },
    /// A number too many or too few.
    #[error("trial {trial} was told {got} {what}, and the study has {expected}")]
    Count {
        /// The trial.
        trial: u64,
        /// Values or constraint values.
        what: &'static str,
        /// As many as the study has.
        expected: usize,
        /// As many as came.
        got: usize,
    },
    /// An option that cannot be.
    #[error("`{option}` {problem}")]
    Option {
        /// Its name.
        option: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// Not made yet.
    #[error("{0} are not supported yet")]
    Unsupported(&'static str),
    /// An event does not follow from those before it.
    #[error("event {number} does not fit those before it: {problem}")]
    Replay {
        /// From 1.
        number: usize,
        /// Why.
        problem: String,
    },
}

impl StudyError {
    /// The stable code, one of `api.d.ts`'s `ErrorCode`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Space(_) | Self::NotFinite { .. } | Self::Count { .. } | Self::Option { .. } => {
                "UAT_INVALID_INPUT"
            }
            Self::UnknownTrial { .. } => "UAT_NOT_FOUND",
            Self::AlreadyEnded { .. } => "UAT_CONFLICT",
            Self::Unsupported(_) => "UAT_UNSUPPORTED",
            Self::Replay { .. } => "UAT_STORAGE",
        }
    }
}
