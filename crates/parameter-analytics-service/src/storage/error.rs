/// Why a log cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// A file cannot be read or written.
    #[error("{what} {path}: {source}")]
    File {
        /// What was being done, as in "cannot append to".
        what: &'static str,
        /// Which file or folder.
        path: std::path::PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A process that shares nothing has the log for itself.
    #[error(
        "{path} is in use by the TypeScript backend of process {pid}, which shares with nobody; close it there"
    )]
    Taken {
        /// The journal.
        path: std::path::PathBuf,
        /// Whose it is.
        pid: u32,
    },
    /// Somebody else has appended in the meantime.
    #[error("somebody else has written in the meantime")]
    Overtaken,
    /// A name that cannot be one.
    #[error("{problem}")]
    Name {
        /// What was expected and what came.
        problem: String,
    },
    /// A shared storage cannot be reached, or refuses.
    #[error("{reason}")]
    Away {
        /// Why, in its own words.
        reason: String,
    },
}

impl StorageError {
    /// The stable code, one of `api.d.ts`'s `ErrorCode`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Name { .. } => "UAT_INVALID_INPUT",
            Self::Taken { .. } => "UAT_CONFLICT",
            Self::File { .. } | Self::Overtaken | Self::Away { .. } => "UAT_STORAGE",
        }
    }
}
