//! Who owns which accounts, and what is done while he is away.

use std::path::Path;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::file_ledger::FileLedger;
use crate::ledger::{Ledger, LedgerError};
use crate::memory_ledger::MemoryLedger;
use crate::usage::{FileUsage, MemoryUsage, UsageLog};

/// What is done while a ledger is away and what was claimed before is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
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
        Self::shared(Arc::new(MemoryLedger::default()), Arc::new(MemoryUsage::default()))
    }

    /// Minutes in this process; money and usage in this folder, which one process may have at a time. Blocks; for start-up.
    ///
    /// # Errors
    /// [`LedgerError::Locked`] where another process has it, [`LedgerError::Storage`].
    pub fn on_disk(state_dir: &Path) -> Result<Self, LedgerError> {
        let day = Arc::new(FileLedger::open(state_dir)?);
        Ok(Self {
            minute: Arc::new(MemoryLedger::default()),
            day,
            usage: Arc::new(FileUsage::open(state_dir)),
        })
    }

    /// One ledger for everything, such as one that several processes share.
    pub fn shared(ledger: Arc<dyn Ledger>, usage: Arc<dyn UsageLog>) -> Self {
        Self { minute: Arc::clone(&ledger), day: ledger, usage }
    }
}
