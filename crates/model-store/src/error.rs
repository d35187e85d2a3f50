//! What can go wrong with a model file, one variant per thing a caller can do differently.

use std::io;
use std::path::{Path, PathBuf};

/// Why a model file could not be found, pulled, verified or removed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No model of this name is in the catalogue.
    #[error(
        "model \"{name}\" is not in the catalogue{}; `uat models list` shows every name, and the path of a .gguf file works too",
        did_you_mean(nearest)
    )]
    Unknown {
        /// The name asked for.
        name: String,
        /// Names that look alike, best first.
        nearest: Vec<String>,
    },
    /// The model is known, but its file is not on this machine.
    #[error(
        "model \"{name}\" is not on this machine (looked in {}): run `uat models pull {name}`",
        listed(looked)
    )]
    NotPulled {
        /// The name asked for.
        name: String,
        /// Every folder that was searched.
        looked: Vec<PathBuf>,
    },
    /// A path was given instead of a name, and there is no file.
    #[error("there is no file at {}: expected a model file (.gguf)", path.display())]
    NoSuchFile {
        /// The path asked for.
        path: PathBuf,
    },
    /// The content is not the catalogue's.
    #[error(
        "{what} is not the file that the catalogue describes: expected {expected}, got {got}; `uat models pull` fetches a good one"
    )]
    Corrupt {
        /// The file or archive member that was read.
        what: String,
        /// `sha256 ...` or `... bytes` of the catalogue.
        expected: String,
        /// The same of what was read.
        got: String,
    },
    /// The downloaded archive cannot be read.
    #[error("{} cannot be unpacked: {reason}; pull again, and if it stays so check the package index that pip is configured for", archive.display())]
    Archive {
        /// The archive.
        archive: PathBuf,
        /// Why.
        reason: String,
    },
    /// Every attempt to download failed.
    #[error(
        "pip could not download {requirement} in {attempts} attempts; check the network, the proxy and pip's configuration. pip's last words: {output}"
    )]
    Download {
        /// What was asked of pip.
        requirement: String,
        /// How often it was tried.
        attempts: u32,
        /// The end of what pip printed in the last attempt.
        output: String,
    },
    /// There is no Python to download with.
    #[error("{} could not be started ({reason}): pulling models needs Python 3 with pip, on Debian `apt-get install python3 python3-pip`; UAT_PYTHON may name another interpreter", python.display())]
    PythonMissing {
        /// The interpreter that was tried.
        python: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Python is there, its pip module is not.
    #[error("{} has no pip module: pulling models needs it, on Debian `apt-get install python3-pip`; UAT_PYTHON may name another interpreter", python.display())]
    PipMissing {
        /// The interpreter that was tried.
        python: PathBuf,
    },
    /// Another process pulls or removes this model right now.
    #[error("model \"{name}\" is being pulled by another process: try again when it has finished")]
    Busy {
        /// The model.
        name: String,
    },
    /// The file lies in a folder that belongs to another program.
    #[error("model \"{name}\" lies at {}, in a folder of another program: delete it there if it is no longer needed", path.display())]
    NotOurs {
        /// The model.
        name: String,
        /// Where it lies.
        path: PathBuf,
    },
    /// The caller gave up.
    #[error("the pull of model \"{name}\" was cancelled")]
    Cancelled {
        /// The model.
        name: String,
    },
    /// Neither a home directory nor a folder for models is known.
    #[error("no folder for models is known: set UAT_MODELS to a folder, or HOME")]
    NoFolder,
    /// The file system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl StoreError {
    /// The stable code of this error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } | Self::NotPulled { .. } | Self::NoSuchFile { .. } => "UAT_MODEL_NOT_FOUND",
            Self::Corrupt { .. } | Self::Archive { .. } => "UAT_CORRUPT_VALUE",
            Self::Cancelled { .. } => "UAT_CANCELLED",
            Self::NotOurs { .. } => "UAT_INVALID_INPUT",
            Self::Download { .. }
            | Self::PythonMissing { .. }
            | Self::PipMissing { .. }
            | Self::Busy { .. }
            | Self::NoFolder
            | Self::Io { .. } => "UAT_STORAGE",
        }
    }

    /// Whether the same call may succeed later without anybody changing anything.
    pub fn retryable(&self) -> bool {
        matches!(self, Self::Download { .. } | Self::Archive { .. } | Self::Busy { .. })
    }

    /// For `map_err`: says what was tried on which path.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

fn did_you_mean(nearest: &[String]) -> String {
    if nearest.is_empty() { String::new() } else { format!("; did you mean {}?", nearest.join(", ")) }
}

fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
