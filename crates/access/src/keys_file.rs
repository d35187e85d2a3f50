//! The file of keys (`server.keys_file`): rows `[[keys]]` as in the configuration, with `id` and `created`.
//!
//! Changes are made under a lock and written whole: a reader sees the file as it was or as it is, and two who change it at once both
//! have their way. Only its owner may read it. Comments in it are lost at the next change.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::key::{KeyConfig, KeyText};

/// What can go wrong with the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeysFileError {
    /// It could not be read or written.
    #[error("{}: {reason}", path.display())]
    Storage {
        /// The file.
        path: PathBuf,
        /// What happened.
        reason: String,
    },
    /// It is no file of keys.
    #[error("{}: {message}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// There is a key of this name.
    #[error("{}: there is a key {name:?} already: revoke it first, or choose another name", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// There is no such key.
    #[error("{}: there is no key with the name or id {which:?}; `uat keys list` shows those that there are", path.display())]
    NotFound {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        which: String,
    },
    /// A value of the new key cannot be.
    #[error("{field}: {message}")]
    Value {
        /// Which field.
        field: &'static str,
        /// What was expected.
        message: String,
    },
}

impl KeysFileError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Storage { .. } => "UAT_STORAGE",
            Self::Wrong { .. } => "UAT_CONFIG",
            Self::Exists { .. } => "UAT_CONFLICT",
            Self::NotFound { .. } => "UAT_NOT_FOUND",
            Self::Value { .. } => "UAT_INVALID_INPUT",
        }
    }
}

/// What a new key may do. [`Default`]: everything, without limits, for ever.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NewKey {
    /// Unique in the file.
    pub name: String,
    /// Names and patterns; empty: every model.
    pub models: Vec<String>,
    /// Requests a minute.
    pub rpm: Option<u64>,
    /// Tokens a minute.
    pub tpm: Option<u64>,
    /// USD a day.
    pub budget_usd_per_day: Option<f64>,
    /// Whether it may administrate.
    pub admin: bool,
    /// When it stops being a key.
    pub expires: Option<Timestamp>,
}

/// Makes a key: its row, which the file has now, and its text, which nobody has but the caller. Makes the file if there is none.
///
/// # Errors
/// [`KeysFileError`]; then nothing has changed.
pub fn create(_path: &Path, _new: NewKey, _now: Timestamp) -> Result<(KeyConfig, KeyText), KeysFileError> {
    todo!()
}

/// The rows; none where there is no file.
///
/// # Errors
/// [`KeysFileError`].
pub fn list(_path: &Path) -> Result<Vec<KeyConfig>, KeysFileError> {
    todo!()
}

/// Takes a key out, by its id or its name, and says which it was. A server that watches the file ends what it began.
///
/// # Errors
/// [`KeysFileError`]; then nothing has changed.
pub fn revoke(_path: &Path, _which: &str) -> Result<KeyConfig, KeysFileError> {
    todo!()
}
