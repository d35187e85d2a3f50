//! Checks what many clients saw of a store: no read is stale, none returns what nobody wrote, nothing acknowledged is lost.
//!
//! Every client notes its operations with their start and end on one clock; the checker then looks at each key by itself.
//! It is a pure function, takes `n log n` time (a million operations in about a second), and reports every read that
//! no order of the writes explains by itself. It is weaker than a check of linearizability: it does not ask whether all
//! reads together fit one order. What it reports is wrong under every order.
//!
//! ```
//! use testkit::history::{Clock, Operation, Outcome, Action, Rules, check};
//!
//! let clock = Clock::start();
//! let mut history = Vec::new();
//! for value in ["old", "new"] {
//!     let start = clock.now_ns();
//!     // ... the client writes `value`, and is told that it is done ...
//!     let action = Action::Write(value);
//!     history.push(Operation { client: 1, key: "k", action, start, end: clock.now_ns(), outcome: Outcome::Ok });
//! }
//! let start = clock.now_ns();
//! let read = Operation {
//!     client: 2,
//!     key: "k",
//!     action: Action::Read(Some("old")),
//!     start,
//!     end: clock.now_ns(),
//!     outcome: Outcome::Ok,
//! };
//! history.push(read);
//! let report = check(&history, &Rules { slack_ns: 0, ..Rules::default() });
//! assert_eq!(report.stale(), 1);
//! ```
//!
//! # The rules
//!
//! A write or delete takes effect at some moment between its start and its end. If its outcome is [`Outcome::Unknown`], it
//! may take effect at any moment from its start on, or never ([`Rules::unknown_for_ns`] bounds that); if it is
//! [`Outcome::Failed`], it certainly had no effect. Then a read of value `v` is
//!
//! - **from nowhere** if no write of `v` with a possible effect began before the read ended;
//! - **stale** if there is an acknowledged write or delete that ended more than the slack before the read began, and that
//!   began after every such write of `v` had ended for good.
//!
//! For a store that may forget, such as a cache, an absent value is always right. With [`Rules::may_forget`] unset an absent
//! value must be explained by a delete, or by the key never having been written, in the same way; otherwise it is **lost**.
//! The value of every write of a key should be unique: if a value was written twice, the later write explains the read.

mod check;
mod lines;

use std::time::Instant;

pub use check::check;
pub use lines::{HistoryError, read_lines};

/// What a client did to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action<V> {
    /// It wrote this value.
    Write(V),
    /// It removed the value.
    Delete,
    /// It read, and got this value or none.
    Read(Option<V>),
}

/// What a client was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is done.
    #[default]
    Ok,
    /// It was certainly not done.
    Failed,
    /// A timeout, a closed connection, no answer yet: it may have been done, or may be done later.
    Unknown,
}

/// One operation of one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation<K, V> {
    /// Who did it; told in the report only.
    pub client: u64,
    /// What it was done to. Keys are independent of each other.
    pub key: K,
    /// What was done.
    pub action: Action<V>,
    /// Nanoseconds on a clock that all clients share: a moment before the request was sent.
    pub start: u64,
    /// A moment after the answer came. An operation without an answer is [`Outcome::Unknown`], whatever stands here.
    pub end: u64,
    /// What the client was told. Only reads that are `Ok` are looked at.
    pub outcome: Outcome,
}

/// What is asked of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Nanoseconds during which an overwritten value may still be read after the overwrite was acknowledged.
    pub slack_ns: u64,
    /// Whether the store may lose what it acknowledged: true for a cache, false for sessions.
    pub may_forget: bool,
    /// Nanoseconds after its end in which an operation of unknown outcome may still take effect; none: for ever. A bound
    /// finds more, and is right where the test knows that nothing is left under way.
    pub unknown_for_ns: Option<u64>,
}

/// A cache, under the product's definition of stale: 50 ms.
impl Default for Rules {
    fn default() -> Self {
        Self { slack_ns: 50_000_000, may_forget: true, unknown_for_ns: None }
    }
}

/// A read that is wrong. The numbers are indices into the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// The value was overwritten or deleted long before.
    Stale {
        /// The read.
        read: usize,
        /// An acknowledged write or delete that the read should have seen.
        overwrite: usize,
        /// Nanoseconds from the acknowledgement to the start of the read.
        late_ns: u64,
    },
    /// Nobody wrote the value, or only later.
    FromNowhere {
        /// The read.
        read: usize,
    },
    /// The read found nothing where an acknowledged value should be.
    Lost {
        /// The read.
        read: usize,
        /// The acknowledged write.
        write: usize,
        /// Nanoseconds from the acknowledgement to the start of the read.
        late_ns: u64,
    },
}

impl Violation {
    /// The index of the read.
    #[must_use]
    pub fn read(&self) -> usize {
        match *self {
            Self::Stale { read, .. } | Self::FromNowhere { read } | Self::Lost { read, .. } => read,
        }
    }
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// How many different keys there are.
    pub keys: usize,
    /// How many reads were judged.
    pub reads: usize,
    /// Wrong reads, in the order of the history.
    pub violations: Vec<Violation>,
}

impl Report {
    /// How many reads were stale.
    #[must_use]
    pub fn stale(&self) -> usize {
        self.count(|violation| matches!(violation, Violation::Stale { .. }))
    }

    /// How many reads returned what nobody had written.
    #[must_use]
    pub fn from_nowhere(&self) -> usize {
        self.count(|violation| matches!(violation, Violation::FromNowhere { .. }))
    }

    /// How many reads missed an acknowledged value.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.count(|violation| matches!(violation, Violation::Lost { .. }))
    }

    fn count(&self, kind: impl Fn(&Violation) -> bool) -> usize {
        self.violations.iter().filter(|violation| kind(violation)).count()
    }
}

/// The clock that the clients of one process share.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    /// Begins at nought.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds since the start.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.at(Instant::now())
    }

    /// Nanoseconds from the start to `instant`; 0 if that was before.
    #[must_use]
    pub fn at(&self, instant: Instant) -> u64 {
        let since = instant.saturating_duration_since(self.0);
        // After 584 years.
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}
