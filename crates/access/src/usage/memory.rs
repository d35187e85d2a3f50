//! Rows in this process.

use std::collections::BTreeMap;

use futures_core::future::BoxFuture;
use parking_lot::Mutex;

use super::{KEPT_DAYS, Place, UsageLog, UsageRow};
use crate::ledger::LedgerError;

/// Keeps rows in this process, for tests and where there is no folder.
#[derive(Debug, Default)]
pub struct MemoryUsage {
    rows: Mutex<BTreeMap<Place, UsageRow>>,
}

impl UsageLog for MemoryUsage {
    fn add<'a>(&'a self, _batch: u64, rows: &'a [UsageRow]) -> BoxFuture<'a, Result<(), LedgerError>> {
        let mut kept = self.rows.lock();
        for row in rows {
            let UsageRow { key, model, hour, .. } = row;
            let sum = kept.entry((*hour, key.clone(), model.clone()));
            sum.or_insert_with(|| UsageRow {
                key: key.clone(),
                model: model.clone(),
                hour: *hour,
                ..UsageRow::default()
            })
            .add(row);
        }
        if let Some(newest) = kept.last_key_value().map(|((hour, ..), _)| *hour) {
            let oldest = newest.saturating_sub(KEPT_DAYS * 24);
            while kept.first_key_value().is_some_and(|((hour, ..), _)| *hour < oldest) {
                kept.pop_first();
            }
        }
        drop(kept);
        Box::pin(std::future::ready(Ok(())))
    }

    fn read(&self, since_hour: u64, until_hour: u64) -> BoxFuture<'_, Result<Vec<UsageRow>, LedgerError>> {
        let rows = self
            .rows
            .lock()
            .values()
            .filter(|row| (since_hour..=until_hour).contains(&row.hour))
            .cloned()
            .collect();
        Box::pin(std::future::ready(Ok(rows)))
    }
}
