use crate::bandit::BanditError;
use crate::journal::JournalError;
use crate::storage::{LogName, StorageError};
use crate::study::StudyError;

/// Whatever can go wrong with what is kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnalyticsError {
    /// The study refuses.
    #[error(transparent)]
    Study(#[from] StudyError),
    /// The bandit refuses.
    #[error(transparent)]
    Bandit(#[from] BanditError),
    /// A name that cannot be one.
    #[error(transparent)]
    Name(StorageError),
    /// There is no advice, or an outcome was not taken.
    #[error(transparent)]
    Advice(#[from] crate::advice::AdviceError),
    /// What it belongs to could not be read or written; the sentence of the error that another one has.
    #[error("{reason}")]
    Refused {
        /// Its stable code.
        code: &'static str,
        /// Its sentence.
        reason: String,
    },
    /// It cannot be read or written.
    #[error("{name}: {source}")]
    Storage {
        /// What.
        name: LogName,
        /// Why.
        source: StorageError,
    },
    /// What was read is not what was written.
    #[error("{name}: {source}")]
    Journal {
        /// What.
        name: LogName,
        /// Why.
        source: JournalError,
    },
    /// An event does not follow from those before it.
    #[error("{name}: line {line} does not fit those before it: {problem}")]
    Misfit {
        /// What.
        name: LogName,
        /// From 1.
        line: usize,
        /// Why.
        problem: String,
    },
    /// It is not there.
    #[error("there is no {kind} `{name}`{nearest}", kind = .name.kind, name = .name.name)]
    NotFound {
        /// What was looked for.
        name: LogName,
        /// What there is instead, as the end of a sentence; may be empty.
        nearest: String,
    },
    /// It is there, and made of something else.
    #[error("{name} exists and differs: {}; open it without options, or choose another name", .differences.join("; "))]
    Differs {
        /// What.
        name: LogName,
        /// Each by its field: what it was created with, what was given.
        differences: Vec<String>,
    },
    /// A field is wrong.
    #[error("{field}: expected {expected}, got {got}")]
    Input {
        /// Which.
        field: String,
        /// What it can be.
        expected: String,
        /// What came.
        got: String,
    },
    /// A trial's name that was never given.
    #[error("there is no trial `{trial}`; give the trialId of an `optimize` back as it was")]
    UnknownTrial {
        /// Its beginning.
        trial: String,
    },
    /// It was said before, and otherwise.
    #[error("{problem}")]
    Conflict {
        /// What was said when.
        problem: String,
    },
    /// Not made yet.
    #[error("{what} is not supported; use {instead}")]
    Unsupported {
        /// What was asked for.
        what: &'static str,
        /// What there is.
        instead: &'static str,
    },
    /// More of them are in use than fit.
    #[error("{most} {kinds} are in use at once, and one more would be too many; remove some, or wait until their decisions are an hour old", kinds = .kind.plural())]
    TooMany {
        /// Of what.
        kind: crate::storage::Kind,
        /// How many fit.
        most: usize,
    },
    /// The thread that keeps what bandits learn cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    /// It was closed.
    #[error("this ParameterAnalytics was closed")]
    Closed,
}

impl AnalyticsError {
    /// The stable code, one of `api.d.ts`'s `ErrorCode`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Study(error) => error.code(),
            Self::Bandit(error) => error.code(),
            Self::Advice(error) => error.code(),
            Self::Refused { code, .. } => code,
            Self::Storage { source, .. } | Self::Name(source) => source.code(),
            Self::Journal { .. } | Self::Misfit { .. } => "UAT_STORAGE",
            Self::NotFound { .. } | Self::UnknownTrial { .. } => "UAT_NOT_FOUND",
            Self::Differs { .. } | Self::Conflict { .. } => "UAT_CONFLICT",
            Self::Input { .. } => "UAT_INVALID_INPUT",
            Self::Unsupported { .. } => "UAT_UNSUPPORTED",
            Self::TooMany { .. } => "UAT_OVERLOADED",
            Self::Thread(_) => "UAT_INTERNAL",
            Self::Closed => "UAT_CLOSED",
        }
    }

    /// Whether the same call may succeed later.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Storage { source, .. } => {
                matches!(
                    source,
                    StorageError::Overtaken | StorageError::Away { .. } | StorageError::Taken { .. }
                )
            }
            Self::TooMany { .. } => true,
            _ => false,
        }
    }
}
