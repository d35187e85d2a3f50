//! A ledger in this process.

use futures_core::future::BoxFuture;

use crate::ledger::{Claim, Granted, Ledger, LedgerError};

/// Accounts in memory: for minutes, which nobody misses after a restart. Its minutes begin with it, by a clock that cannot be set.
#[derive(Debug, Default)]
pub struct MemoryLedger {}

impl Ledger for MemoryLedger {
    fn claim(&self, _claim: Claim) -> BoxFuture<'_, Result<Granted, LedgerError>> {
        todo!()
    }
}
