//! Admits requests.

use std::sync::Arc;

use crate::key::Key;
use crate::ledger::{Ledger, LedgerError};
use crate::refused::Refused;
use crate::reservation::{Ask, Reservation};
use crate::usage::{UsageLog, UsageQuery, UsageRow};

/// What is done while a ledger is away and what was claimed before is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnOutage {
    /// Requests are refused: no limit is ever exceeded.
    #[default]
    Refuse,
    /// This process goes on alone, with the whole limit for itself: several may exceed it together.
    Local,
}

/// How limits are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settings {
    /// See there.
    pub on_outage: OnOutage,
}

/// Who owns which accounts, and where usage is kept.
#[derive(Clone)]
pub struct Ledgers {
    /// Requests and tokens a minute.
    pub minute: Arc<dyn Ledger>,
    /// Money a day.
    pub day: Arc<dyn Ledger>,
    /// What was used.
    pub usage: Arc<dyn UsageLog>,
}

impl Ledgers {
    /// All in this process: gone when it ends.
    pub fn in_memory() -> Self {
        todo!()
    }

    /// Minutes in this process; money and usage in this folder, which one process may have at a time. Blocks; for start-up.
    ///
    /// # Errors
    /// [`LedgerError::Locked`] where another process has it, [`LedgerError::Storage`].
    pub fn on_disk(_state_dir: &std::path::Path) -> Result<Self, LedgerError> {
        todo!()
    }

    /// One ledger for everything, such as one that several processes share.
    pub fn shared(ledger: Arc<dyn Ledger>, usage: Arc<dyn UsageLog>) -> Self {
        Self { minute: Arc::clone(&ledger), day: ledger, usage }
    }
}

/// Admits requests within the limits of their keys. One for a process's life: it survives reloads of the configuration, since a key's
/// limits come with the key.
#[derive(Debug)]
pub struct Allowances {}

impl Allowances {
    /// Nothing is asked of the ledgers before the first request.
    pub fn new(_ledgers: Ledgers, _settings: Settings) -> Self {
        todo!()
    }

    /// Goes on with other settings.
    pub fn set(&self, _settings: Settings) {
        todo!()
    }

    /// Reserves what the request may use at most. Without I/O where the process holds enough, which is the rule; else within
    /// [`CLAIM_TIME`](crate::CLAIM_TIME). Needs tokio.
    ///
    /// # Errors
    /// [`Refused`]; then nothing is reserved.
    pub async fn admit(&self, _key: &Arc<Key>, _ask: Ask) -> Result<Reservation, Refused> {
        todo!()
    }

    /// What was used, this process's last seconds included.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn usage(&self, _query: &UsageQuery) -> Result<Vec<UsageRow>, LedgerError> {
        todo!()
    }

    /// Why each ledger counts as away, if it does: for a report of readiness.
    pub fn outage(&self) -> Option<Arc<str>> {
        todo!()
    }

    /// Writes what was used and not written yet.
    ///
    /// # Errors
    /// [`LedgerError`]: then it is tried again later.
    pub async fn flush(&self) -> Result<(), LedgerError> {
        todo!()
    }

    /// Admits nothing more, gives back what is not reserved, and writes what was used. Requests that have not ended may still
    /// settle before this; what they reserved counts otherwise.
    pub async fn close(&self) {
        todo!()
    }
}
