//! Why no estimate can be given.

use std::io;
use std::path::PathBuf;

use gguf::GgufError;

/// One variant per thing a caller can do differently.
#[derive(Debug, thiserror::Error)]
pub enum EstimateError {
    /// The content is not a sound model file.
    #[error("{reason} (at byte {offset})")]
    Corrupt {
        /// Where what does not fit begins, in bytes from the start.
        offset: u64,
        /// What was expected and what is there.
        reason: String,
    },
    /// What was asked for makes no sense.
    #[error("{option}: {reason}")]
    Option {
        /// Which of the options.
        option: &'static str,
        /// What was expected and what was given.
        reason: String,
    },
    /// The file is sound, but it does not say what a context of it takes.
    #[error("{what} cannot be estimated: {reason}")]
    Unsupported {
        /// What the file is, for example `a diffusion model (flux)`.
        what: String,
        /// Why, and what to do instead.
        reason: String,
    },
    /// The header says numbers that no model has.
    #[error("the size of {what} overflows: the header cannot be right")]
    Overflow {
        /// What was being added up.
        what: &'static str,
    },
    /// A file that the model needs is not there.
    #[error("{} is missing: {needed_by}", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
        /// What names it.
        needed_by: String,
    },
    /// A file could not be read, or what was learnt not be kept.
    #[error("cannot read or write {}: {source}", path.display())]
    Io {
        /// Which file; empty where only its content was given.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Which of the files is at fault.
    #[error("{}: {error}", path.display())]
    In {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        error: Box<EstimateError>,
    },
}

impl EstimateError {
    /// The stable code of this error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Corrupt { .. } | Self::Option { .. } | Self::Overflow { .. } | Self::Missing { .. } => {
                "UAT_INVALID_INPUT"
            }
            Self::Unsupported { .. } => "UAT_UNSUPPORTED",
            Self::Io { .. } => "UAT_STORAGE",
            Self::In { error, .. } => error.code(),
        }
    }

    /// Where the file is at fault, in bytes from its start, if that is what is wrong.
    pub fn offset(&self) -> Option<u64> {
        match self {
            Self::Corrupt { offset, .. } => Some(*offset),
            Self::In { error, .. } => error.offset(),
            _ => None,
        }
    }

    pub(crate) fn option(option: &'static str, reason: impl Into<String>) -> Self {
        Self::Option { option, reason: reason.into() }
    }

    pub(crate) fn unsupported(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into(), reason: reason.into() }
    }
}

impl From<GgufError> for EstimateError {
    fn from(error: GgufError) -> Self {
        match error {
            GgufError::Corrupt { offset, reason } => Self::Corrupt { offset, reason },
            GgufError::Split { count } => Self::Unsupported {
                what: "one file of a split model".to_owned(),
                reason: format!("the model has {count} files, and only this one was given"),
            },
            GgufError::Io { source, .. } => Self::Io { path: PathBuf::new(), source },
        }
    }
}
