//! A ledger in this process.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use futures_core::future::BoxFuture;
use parking_lot::Mutex;

use crate::book::Book;
use crate::ledger::{Claim, Granted, Ledger, LedgerError};
use crate::window::Windows;

/// Accounts in memory: for minutes, which nobody misses after a restart. Its minutes begin with it, by a clock that cannot be set.
#[derive(Debug)]
pub struct MemoryLedger {
    book: Mutex<Book>,
}

impl Default for MemoryLedger {
    fn default() -> Self {
        let now = now();
        Self { book: Mutex::new(Book::new(Windows::new(None, since_1970(), now), now)) }
    }
}

impl Ledger for MemoryLedger {
    fn claim(&self, claim: Claim) -> BoxFuture<'_, Result<Granted, LedgerError>> {
        let mut book = self.book.lock();
        let (decision, granted) = book.consider(&claim, since_1970(), now());
        book.apply(&claim.account, claim.instance, &decision);
        drop(book);
        Box::pin(std::future::ready(Ok(granted)))
    }
}

/// The time of day.
pub(crate) fn since_1970() -> std::time::Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The clock that cannot be set; in tests, tokio's.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
