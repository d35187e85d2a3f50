//! Where logs are kept: lines that are appended, by one writer at a time.
//!
//! A [`Log`] is used in [turns](Turn): a writer waits for its own, is given what others appended since, and appends what follows from
//! that. So processes that share a log see the same events in the same order. This module knows nothing of what the lines say.

mod error;
mod files;
mod memory;

use std::fmt::Debug;
use std::sync::Arc;

pub use error::StorageError;
pub use files::Files;
pub use memory::Memory;

/// What a log is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A [`Study`](crate::study::Study).
    Study,
    /// A [`Bandit`](crate::bandit::Bandit).
    Bandit,
    /// What is known of a model at a task.
    Advice,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Study, Self::Bandit, Self::Advice];

    /// As a folder or a key is called.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Study => "studies",
            Self::Bandit => "bandits",
            Self::Advice => "advice",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Study => "study",
            Self::Bandit => "bandit",
            Self::Advice => "advice",
        })
    }
}

/// Which log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogName {
    /// What it is of.
    pub kind: Kind,
    /// See [`new`](Self::new).
    pub name: Arc<str>,
}

/// Percent-encoded with an ending, a name still fits the 255 bytes that file systems give one, unless most of it is encoded.
pub const LONGEST_NAME: usize = 200;

impl LogName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`StorageError::Name`]: it is empty or too long.
    pub fn new(kind: Kind, name: &str) -> Result<Self, StorageError> {
        let problem = match name.len() {
            0 => format!("the name of a {kind} must not be empty"),
            1..=LONGEST_NAME => return Ok(Self { kind, name: name.into() }),
            length => format!("the name of a {kind} has {length} bytes; at most {LONGEST_NAME} are possible"),
        };
        Err(StorageError::Name { problem })
    }
}

impl std::fmt::Display for LogName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the {} `{}`", self.kind, self.name)
    }
}

/// A place for logs. Its calls block.
pub trait Storage: Send + Sync + Debug {
    /// A log, which is empty if nobody has appended to it. Nothing is created before something is appended.
    ///
    /// # Errors
    /// [`StorageError`].
    fn log(&self, name: &LogName) -> Result<Box<dyn Log>, StorageError>;

    /// Whether others may have used it before, or use it now.
    fn is_shared(&self) -> bool {
        true
    }

    /// The names of the logs of a kind that are there, sorted.
    ///
    /// # Errors
    /// [`StorageError`].
    fn names(&self, kind: Kind) -> Result<Vec<Arc<str>>, StorageError>;
}

/// A log as one user of it sees it.
pub trait Log: Send + Debug {
    /// Waits until nobody else has a turn, and begins one. It ends when it is dropped.
    ///
    /// # Errors
    /// [`StorageError`].
    fn turn(&mut self) -> Result<(Tail, Box<dyn Turn + '_>), StorageError>;
}

/// What a user of a log has not seen yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tail {
    /// The log was replaced or removed, or this is its first turn: `bytes` are all of it.
    pub is_whole: bool,
    /// What was appended, from where the last turn ended: whole lines. What a crash left behind them is not given, and is cut by the next
    /// [`Turn::append`].
    pub bytes: Vec<u8>,
}

/// The right to write. A turn that ends without having written leaves the log as it was.
pub trait Turn {
    /// Appends lines; they are on the disk when it returns.
    ///
    /// # Errors
    /// [`StorageError::Overtaken`]: somebody else has appended, and the next turn gives what. Others: whether a line was kept is not
    /// known, and the next turn gives all of the log.
    fn append(&mut self, lines: &[u8]) -> Result<(), StorageError>;

    /// Puts other lines in place of all of the log, at once.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    fn replace(&mut self, lines: &[u8]) -> Result<(), StorageError>;

    /// Removes the log, so that it is as if nobody had ever appended.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    fn remove(&mut self) -> Result<(), StorageError>;
}

#[cfg(test)]
mod tests;
