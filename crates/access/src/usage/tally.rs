//! What was used since the log was last written.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use super::{Place, UsageLog, UsageRow};
use crate::ledger::{InstanceId, LedgerError};

/// Rows that are held at most while the log cannot be written: a key, a model and an hour are a row.
const MOST_ROWS: usize = 50_000;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    rows: Mutex<HashMap<Place, UsageRow>>,
    /// Rows that were on their way when the log failed: they are tried again as they were, so that nothing counts twice.
    unsure: tokio::sync::Mutex<Option<(u64, Vec<UsageRow>)>>,
}

impl Tally {
    /// Adds a row.
    pub(crate) fn add(&self, row: &UsageRow) {
        let mut rows = self.rows.lock();
        let place = (row.hour, row.key.clone(), row.model.clone());
        let known = rows.len();
        match rows.get_mut(&place) {
            Some(sum) => sum.add(row),
            None if known < MOST_ROWS => {
                rows.insert(place, row.clone());
            }
            None => {
                tracing::error!(key = %row.key, model = %row.model, "usage is not written any more: the log has failed for too long");
            }
        }
    }

    /// Brings everything to the log.
    pub(crate) async fn write(&self, log: &dyn UsageLog) -> Result<(), LedgerError> {
        let mut unsure = self.unsure.lock().await;
        loop {
            if let Some((batch, rows)) = &*unsure {
                log.add(*batch, rows).await?;
                *unsure = None;
            }
            let rows: Vec<UsageRow> = std::mem::take(&mut *self.rows.lock()).into_values().collect();
            if rows.is_empty() {
                return Ok(());
            }
            *unsure = Some((InstanceId::new().0, rows));
        }
    }

    /// What the log may not have yet.
    pub(crate) async fn unwritten(&self) -> Vec<UsageRow> {
        let unsure = self.unsure.lock().await;
        let mut rows: Vec<UsageRow> = unsure.iter().flat_map(|(_, rows)| rows.iter().cloned()).collect();
        rows.extend(self.rows.lock().values().cloned());
        rows
    }
}

/// Hours since 1970.
pub(crate) fn hour_of(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs() / 3600
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use futures_core::future::BoxFuture;

    use super::*;
    use crate::usage::MemoryUsage;

    /// A log that fails when told to, and notes which batches it was given.
    #[derive(Default)]
    struct Moody {
        inner: MemoryUsage,
        fails: AtomicBool,
        batches: Mutex<Vec<u64>>,
    }

    impl UsageLog for Moody {
        fn add<'a>(&'a self, batch: u64, rows: &'a [UsageRow]) -> BoxFuture<'a, Result<(), LedgerError>> {
            self.batches.lock().push(batch);
            if self.fails.load(Ordering::Relaxed) {
                return Box::pin(async { Err(LedgerError::Storage { reason: "full".to_owned() }) });
            }
            self.inner.add(batch, rows)
        }

        fn read(&self, since: u64, until: u64) -> BoxFuture<'_, Result<Vec<UsageRow>, LedgerError>> {
            self.inner.read(since, until)
        }
    }

    fn row(cost: u64) -> UsageRow {
        UsageRow { key: "a".into(), model: "m".into(), hour: 3, cost, ..UsageRow::default() }
    }

    #[tokio::test]
    async fn what_the_log_did_not_take_is_brought_again_as_the_same_batch() {
        let (tally, log) = (Tally::default(), Moody::default());
        log.fails.store(true, Ordering::Relaxed);
        tally.add(&row(1));
        tally.add(&row(2));
        assert!(tally.write(&log).await.is_err());
        tally.add(&row(4));
        assert!(tally.write(&log).await.is_err());
        assert_eq!(tally.unwritten().await.iter().map(|row| row.cost).sum::<u64>(), 7);
        log.fails.store(false, Ordering::Relaxed);
        tally.write(&log).await.unwrap();
        assert_eq!(log.read(0, 9).await.unwrap(), [row(7)]);
        assert!(tally.unwritten().await.is_empty());
        let batches = log.batches.lock().clone();
        assert!(
            batches[0] == batches[1] && batches[1] == batches[2] && batches[2] != batches[3],
            "{batches:?}"
        );
    }
}
