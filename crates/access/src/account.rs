//! What a key may have in a window of time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum What {
    /// Requests, one by one.
    Requests,
    /// Tokens of prompts and answers together.
    Tokens,
    /// Nano-USD (1e-9 USD).
    Money,
}

/// How long a window is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Period {
    /// 60 seconds by the ledger's clock.
    Minute,
    /// A day of UTC.
    Day,
}

/// One count of one key.
///
/// The key is known by its name: one that is made anew under the same name, because it had leaked, goes on with what was spent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Account {
    /// The name of the key.
    pub key: Arc<str>,
    /// What is counted.
    pub what: What,
    /// In which windows.
    pub period: Period,
}

impl What {
    /// As it is written in journals and in Redis.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::Money => "money",
        }
    }

    /// The inverse of [`as_str`](Self::as_str).
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Requests, Self::Tokens, Self::Money].into_iter().find(|what| what.as_str() == text)
    }
}

impl Period {
    /// How long a window is.
    pub fn length(self) -> Duration {
        match self {
            Self::Minute => Duration::from_secs(60),
            Self::Day => Duration::from_secs(24 * 3600),
        }
    }

    /// As it is written in journals and in Redis.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Day => "day",
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
