use std::path::PathBuf;

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// An option cannot be carried out.
    #[error("`{field}`: {message}")]
    Option {
        /// The option's name in its section.
        field: &'static str,
        /// What was expected, what was found, what to try.
        message: String,
    },
    /// The access log cannot be written.
    #[error("the access log {} cannot be opened: {error}; name a file in a folder that exists and may be written", path.display())]
    AccessLog {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
}

impl TelemetryError {
    /// Always `UAT_CONFIG`: it is found out at the start, of what is configured.
    pub fn code(&self) -> &'static str {
        "UAT_CONFIG"
    }

    /// The same options are wrong the next time too.
    pub fn retryable(&self) -> bool {
        false
    }
}
