//! Who owns the accounts: the trait that this crate implements in memory and on disk, and its users elsewhere.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use futures_core::future::BoxFuture;

use crate::account::Account;

/// How long a claim may take. Whoever waits for it is a request: then the account lives from what is held.
pub const CLAIM_TIME: Duration = Duration::from_millis(50);

/// One life of one process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceId(pub u64);

impl InstanceId {
    /// A fresh one. It has to be another than all others, not a secret.
    pub fn new() -> Self {
        // The random state comes from the operating system once in a thread, and differs each time.
        Self(RandomState::new().hash_one((std::process::id(), SystemTime::now())))
    }
}

impl Default for InstanceId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InstanceId({self})")
    }
}

/// "My claim on this account shall be so much." It is absolute: repeating it is harmless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// On what.
    pub account: Account,
    /// Who claims.
    pub instance: InstanceId,
    /// Grows with each claim of the instance: one that arrives after a later one is late, and changes nothing.
    pub number: u64,
    /// What all claims together may be in one window.
    pub limit: u64,
    /// The window that `held` and `total` are about; `None` before the first answer.
    pub window: Option<u64>,
    /// What the instance has been granted in it and may have spent: no answer takes it back. A ledger that forgot it learns it
    /// again.
    pub held: u64,
    /// What its claim shall be in it, at least `held`.
    pub total: u64,
    /// How much of `held` is spent for certain, the rest being reserved or unused: by which others know what may yet be free.
    pub spent: u64,
    /// What its claim shall be if the current window is a later one.
    pub fresh: u64,
}

/// What a ledger grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted {
    /// The current window. Numbers grow, and an earlier window never comes again.
    pub window: u64,
    /// How long it lasts from now; never longer than the period.
    pub ends_in: Duration,
    /// The instance's claim in it.
    pub granted: u64,
    /// What all other instances claim in it.
    pub others: u64,
    /// How much of that is spent for certain.
    pub others_spent: u64,
}

/// Owns accounts, and grants claims on them: what an instance wants, as far as the limit less the claims of all others allows.
///
/// A caller gives up after [`CLAIM_TIME`]; the claim may be carried out all the same.
pub trait Ledger: Send + Sync + 'static {
    /// Sets a claim.
    fn claim(&self, claim: Claim) -> BoxFuture<'_, Result<Granted, LedgerError>>;
}

/// Why a ledger did not answer, or could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// It is away, or did not answer in its time.
    #[error("the ledger of limits does not answer: {reason}; limits keep to what was claimed before")]
    Unavailable {
        /// What happened.
        reason: String,
    },
    /// It could not write or read.
    #[error("the ledger of limits could not be written or read: {reason}")]
    Storage {
        /// What happened.
        reason: String,
    },
    /// Another process has it.
    #[error(
        "another process keeps its limits in {}: expected a state directory for each process; set server.state_dir, or share limits \
         through [redis]", path.display()
    )]
    Locked {
        /// The folder.
        path: PathBuf,
    },
}

impl LedgerError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } | Self::Storage { .. } => "UAT_STORAGE",
            Self::Locked { .. } => "UAT_CONFLICT",
        }
    }

    /// Whether the same may succeed later.
    pub fn retryable(&self) -> bool {
        !matches!(self, Self::Locked { .. })
    }
}
