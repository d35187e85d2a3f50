//! A ledger on disk.

use std::path::Path;

use futures_core::future::BoxFuture;

use crate::ledger::{Claim, Granted, Ledger, LedgerError};

/// Accounts in a journal in a folder, which one process has at a time: what is granted survives `kill -9` at once, and a loss of
/// power after at most a second.
#[derive(Debug)]
pub struct FileLedger {}

impl FileLedger {
    /// Opens the folder, which is made. Blocks.
    ///
    /// # Errors
    /// [`LedgerError::Locked`] where another process has it, [`LedgerError::Storage`].
    pub fn open(_folder: &Path) -> Result<Self, LedgerError> {
        todo!()
    }
}

impl Ledger for FileLedger {
    fn claim(&self, _claim: Claim) -> BoxFuture<'_, Result<Granted, LedgerError>> {
        todo!()
    }
}
