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

/// One thing that is wrong in a configuration; all of them together are [`ConfigErrors`].
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

    /// The place and what is wrong there, without the hint.
    pub fn sentence(&self) -> String {
        match (&self.location, self.path.as_str()) {
            (Location::Object, path) if !path.is_empty() => {
                format!("{}: at {path}: {}", self.location, self.message)
            }
            _ => format!("{}: {}", self.location, self.message),
        }
    }
}

impl Location {
    /// By which several are listed: the file from top to bottom, then variables by name, then what has no place.
    fn order(&self) -> (u8, usize, usize, &str) {
        match self {
            Self::File { line, column, .. } => (0, *line, *column, ""),
            Self::Environment { variable } => (1, 0, 0, variable),
            Self::Object | Self::Default => (2, 0, 0, ""),
        }
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
        f.write_str(&self.sentence())?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}

/// So many are told at once; whoever has more has another problem than the next one.
pub(super) const MOST_ERRORS: usize = 100;

/// Everything that is wrong in a configuration, in the order of where it stands; nothing of it is used. Never empty.
///
/// Its `Display` is the first and how many more there are, on one line; the alternate form (`{:#}`) has one line for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    /// Boxed, so that results which carry it stay small.
    first: Box<ConfigError>,
    rest: Vec<ConfigError>,
}

impl ConfigErrors {
    /// `found` in the order of where it stands; nothing where nothing is wrong.
    pub(super) fn of(mut found: Vec<ConfigError>) -> Option<Self> {
        // Stable: what stands at the same place stays in the order in which it was found.
        found.sort_by(|a, b| a.location.order().cmp(&b.location.order()));
        found.truncate(MOST_ERRORS);
        let mut found = found.into_iter();
        Some(Self { first: Box::new(found.next()?), rest: found.collect() })
    }

    /// The one that stands first.
    pub fn first(&self) -> &ConfigError {
        &self.first
    }

    /// All of them, from the first line to the last; those of environment variables come after those of the file.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        std::iter::once(self.first()).chain(&self.rest)
    }

    /// How many there are, at least 1.
    pub fn count(&self) -> usize {
        1 + self.rest.len()
    }

    /// Always `UAT_CONFIG`.
    pub fn code(&self) -> &'static str {
        self.first.code()
    }

    /// The same configuration is wrong the next time too.
    pub fn retryable(&self) -> bool {
        self.first.retryable()
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(first: ConfigError) -> Self {
        Self { first: Box::new(first), rest: Vec::new() }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        match (f.alternate(), self.rest.len()) {
            (_, 0) => Ok(()),
            (true, _) => self.rest.iter().try_for_each(|error| write!(f, "\n{error}")),
            (false, more) => write!(f, " (and {more} more)"),
        }
    }
}

impl std::error::Error for ConfigErrors {}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: usize, message: &str) -> ConfigError {
        ConfigError {
            location: Location::File { file: "uat.toml".into(), line, column: 1 },
            path: "server.bind".into(),
            message: message.into(),
            hint: None,
        }
    }

    #[test]
    fn one_reads_as_itself_and_many_as_the_first_and_a_number() {
        assert_eq!(ConfigErrors::of(Vec::new()), None);
        let one = ConfigErrors::of(vec![at(1, "no")]).unwrap();
        assert_eq!((one.to_string(), one.count()), ("uat.toml:1:1: no".to_owned(), 1));
        let variable = Location::Environment { variable: "UAT__A".into() };
        let elsewhere = ConfigError { location: variable, ..at(0, "nor here") };
        let many = ConfigErrors::of(vec![elsewhere, at(9, "never"), at(2, "no")]).unwrap();
        assert_eq!(many.to_string(), "uat.toml:2:1: no (and 2 more)");
        let lines = "uat.toml:2:1: no\nuat.toml:9:1: never\nenvironment variable UAT__A: nor here";
        assert_eq!((format!("{many:#}"), many.count(), many.iter().count()), (lines.to_owned(), 3, 3));
    }
}
