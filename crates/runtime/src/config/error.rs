use std::fmt;
use std::path::PathBuf;

/// Where a value of the configuration was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A line and a column of a file, both counted from 1; 0 where the file could not be read at all.
    File {
        /// As it was given, so that a terminal can open it.
        file: PathBuf,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
    },
    /// An environment variable such as `UAT__SERVER__BIND`.
    Environment {
        /// Its name.
        variable: String,
    },
    /// An object that a program passed.
    Object,
    /// Written nowhere: the default.
    Default,
}

/// One reason why a configuration is refused; nothing of it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Where it stands.
    pub location: Location,
    /// The key, like `server.bind` or `endpoints[0].protocol`; empty where the text is no TOML or JSON at all.
    pub path: String,
    /// What was expected and what was found.
    pub message: String,
    /// What to try.
    pub hint: Option<String>,
}

impl ConfigError {
    /// Always `UAT_CONFIG`.
    pub fn code(&self) -> &'static str {
        "UAT_CONFIG"
    }

    /// The same configuration is wrong the next time too.
    pub fn retryable(&self) -> bool {
        false
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line: 0, .. } => write!(f, "{}", file.display()),
            Self::File { file, line, column } => write!(f, "{}:{line}:{column}", file.display()),
            Self::Environment { variable } => write!(f, "environment variable {variable}"),
            Self::Object => f.write_str("configuration object"),
            Self::Default => f.write_str("default"),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.location)?;
        if matches!(self.location, Location::Object) && !self.path.is_empty() {
            write!(f, "at {}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}
