use std::path::PathBuf;

use rusqlite::ErrorCode;

/// Why a study could not be read. One variant for each thing that a caller can do differently.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// It is not there, or may not be read.
    #[error("`{}` cannot be opened: {problem}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// Something else than a database.
    #[error("`{}` is no SQLite database; give the file that is named in Optuna's `sqlite:///FILE`", path.display())]
    NotSqlite {
        /// The file.
        path: PathBuf,
    },
    /// A database of something else.
    #[error("`{}` is a SQLite database without Optuna's table `{missing}`", path.display())]
    NotOptuna {
        /// The file.
        path: PathBuf,
        /// A table that it should have.
        missing: &'static str,
    },
    /// Of an Optuna that is too old or too new.
    #[error(
        "the file has Optuna's schema {found}, and {known} can be read; `optuna storage upgrade --storage sqlite:///FILE` brings an older file up to date"
    )]
    Version {
        /// Of the file.
        found: String,
        /// Those that can be read.
        known: String,
    },
    /// There is no such study.
    #[error("the file has no study `{name}`; it has {}", listed(known))]
    UnknownStudy {
        /// The one that was asked for.
        name: String,
        /// Those that are there.
        known: Vec<String>,
    },
    /// Somebody is writing to it.
    #[error("the file is being written to, and was not free for a second; try again")]
    Busy,
    /// What is written cannot be.
    #[error("the file is damaged, or was not written by Optuna: {problem}")]
    Damaged {
        /// Where, and what is wrong.
        problem: String,
    },
}

fn listed(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    if quoted.is_empty() { "none".to_owned() } else { quoted.join(", ") }
}

impl ImportError {
    /// The stable code, one of `api.d.ts`'s `ErrorCode`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Open { .. } | Self::UnknownStudy { .. } => "UAT_NOT_FOUND",
            Self::NotSqlite { .. } | Self::NotOptuna { .. } => "UAT_INVALID_INPUT",
            Self::Version { .. } => "UAT_UNSUPPORTED",
            Self::Busy => "UAT_CONFLICT",
            Self::Damaged { .. } => "UAT_STORAGE",
        }
    }

    pub(crate) fn damaged(problem: impl Into<String>) -> Self {
        Self::Damaged { problem: problem.into() }
    }
}

impl From<rusqlite::Error> for ImportError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            _ => Self::damaged(error.to_string()),
        }
    }
}
