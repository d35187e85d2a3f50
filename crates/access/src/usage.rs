//! What was used, for those who ask afterwards: rows by key, model and hour.

mod file;
mod memory;
mod tally;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_core::future::BoxFuture;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ledger::LedgerError;

pub use file::FileUsage;
pub use memory::MemoryUsage;
pub(crate) use tally::{Tally, hour_of};

/// What a key used of a model in an hour.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UsageRow {
    /// The key's name; empty where the rows of all keys were added up.
    pub key: Arc<str>,
    /// The model's public name; empty where the rows of all models were added up.
    pub model: Arc<str>,
    /// Hours since 1970; 0 where the rows of all hours were added up.
    pub hour: u64,
    /// Requests, also those that the cache answered.
    pub requests: u64,
    /// Requests whose tokens nobody counted, so that they stand here with an upper bound.
    pub estimated: u64,
    /// Tokens of prompts.
    pub prompt_tokens: u64,
    /// How many of them the provider had read before.
    pub cached_prompt_tokens: u64,
    /// Tokens of answers.
    pub completion_tokens: u64,
    /// In nano-USD; 0 for models without a price.
    pub cost: u64,
}

impl UsageRow {
    /// Adds the counts of another row.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in [
            (&mut self.requests, other.requests),
            (&mut self.estimated, other.estimated),
            (&mut self.prompt_tokens, other.prompt_tokens),
            (&mut self.cached_prompt_tokens, other.cached_prompt_tokens),
            (&mut self.completion_tokens, other.completion_tokens),
            (&mut self.cost, other.cost),
        ] {
            *count = count.saturating_add(more);
        }
    }
}

/// By what rows are added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageBy {
    /// One row for each key.
    Key,
    /// One row for each model.
    Model,
    /// One row for each hour.
    Hour,
}

/// Which rows are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UsageQuery {
    /// From the hour of this time on; absent: from the beginning.
    pub since: Option<Timestamp>,
    /// Up to the hour of this time, that one included; absent: up to now.
    pub until: Option<Timestamp>,
    /// Only this key's.
    pub key: Option<Arc<str>>,
    /// What is told apart; everything else is added up. Empty: one row.
    pub by: Vec<UsageBy>,
}

impl UsageQuery {
    /// The first and the last hour that are wanted, `now` being the present one.
    pub fn hours(&self, now: Timestamp) -> (u64, u64) {
        let hour = |time: Timestamp| u64::try_from(time.as_second()).unwrap_or(0) / 3600;
        (self.since.map_or(0, hour), hour(self.until.unwrap_or(now)))
    }
}

/// An hour, a key and a model.
pub(crate) type Place = (u64, Arc<str>, Arc<str>);

/// Days for which rows are kept.
pub const KEPT_DAYS: u64 = 400;

/// Where rows are kept, for [`KEPT_DAYS`].
pub trait UsageLog: Send + Sync + 'static {
    /// Adds to what is kept. `batch` is another for each set of rows: one that is repeated, because it was not known whether it had
    /// arrived, counts once as far as the log can tell.
    fn add<'a>(&'a self, batch: u64, rows: &'a [UsageRow]) -> BoxFuture<'a, Result<(), LedgerError>>;

    /// The rows of these hours, the last included, in any order; those of the same key, model and hour may be in several pieces.
    fn read(&self, since_hour: u64, until_hour: u64) -> BoxFuture<'_, Result<Vec<UsageRow>, LedgerError>>;
}

/// Adds rows up as the query says, sorted by hour, key and model. Without rows there is none.
pub fn summarise(rows: impl IntoIterator<Item = UsageRow>, query: &UsageQuery) -> Vec<UsageRow> {
    let by = |by| query.by.contains(&by);
    let (by_key, by_model, by_hour) = (by(UsageBy::Key), by(UsageBy::Model), by(UsageBy::Hour));
    let mut sums: BTreeMap<Place, UsageRow> = BTreeMap::new();
    let wanted = |row: &UsageRow| query.key.as_ref().is_none_or(|key| *key == row.key);
    for row in rows.into_iter().filter(wanted) {
        let key = if by_key { row.key.clone() } else { Arc::default() };
        let model = if by_model { row.model.clone() } else { Arc::default() };
        let hour = if by_hour { row.hour } else { 0 };
        let sum = sums.entry((hour, key.clone(), model.clone()));
        sum.or_insert_with(|| UsageRow { key, model, hour, ..UsageRow::default() }).add(&row);
    }
    sums.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &str, model: &str, hour: u64, cost: u64) -> UsageRow {
        UsageRow { key: key.into(), model: model.into(), hour, requests: 1, cost, ..UsageRow::default() }
    }

    fn check(by: &[UsageBy], key: Option<&str>, expected: &[(&str, &str, u64, u64)]) {
        let rows = vec![row("b", "x", 1, 1), row("a", "x", 1, 2), row("a", "y", 2, 4), row("a", "x", 1, 8)];
        let query = UsageQuery { by: by.to_vec(), key: key.map(Arc::from), ..UsageQuery::default() };
        let sums = summarise(rows, &query);
        let found: Vec<_> = sums.iter().map(|row| (&*row.key, &*row.model, row.hour, row.cost)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn rows_are_added_up_by_what_is_asked_for() {
        check(&[], None, &[("", "", 0, 15)]);
        check(&[UsageBy::Key], None, &[("a", "", 0, 14), ("b", "", 0, 1)]);
        check(&[UsageBy::Key, UsageBy::Model], Some("a"), &[("a", "x", 0, 10), ("a", "y", 0, 4)]);
        check(&[UsageBy::Hour], None, &[("", "", 1, 11), ("", "", 2, 4)]);
        check(&[], Some("c"), &[]);
    }

    #[test]
    fn a_query_is_about_whole_hours() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let query = UsageQuery { since: Some(at("1970-01-01T02:59:59Z")), ..UsageQuery::default() };
        assert_eq!(query.hours(at("1970-01-01T05:00:00Z")), (2, 5));
    }
}
