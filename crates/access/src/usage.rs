//! What was used, for those who ask afterwards: rows by key, model and hour.

use std::sync::Arc;

use futures_core::future::BoxFuture;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ledger::LedgerError;

/// What a key used of a model in an hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// Where rows are kept.
pub trait UsageLog: Send + Sync + 'static {
    /// Adds to what is kept. `batch` is different for each set of rows: one that is repeated counts once, as far as the log can tell.
    fn add<'a>(&'a self, batch: u64, rows: &'a [UsageRow]) -> BoxFuture<'a, Result<(), LedgerError>>;

    /// The rows of these hours, in any order; those of the same key, model and hour may be in several pieces.
    fn read(&self, since_hour: u64, until_hour: u64) -> BoxFuture<'_, Result<Vec<UsageRow>, LedgerError>>;
}

/// Adds rows up as the query says, sorted by hour, key and model.
pub fn summarise(_rows: Vec<UsageRow>, _query: &UsageQuery) -> Vec<UsageRow> {
    todo!()
}

/// Keeps rows in this process, for tests and where there is no folder.
#[derive(Debug, Default)]
pub struct MemoryUsage {}

/// Keeps rows in files, one a month, `usage-2026-11.jsonl`, in the state directory. Reading needs no running server.
#[derive(Debug)]
pub struct FileUsage {}

impl FileUsage {
    /// In this folder, which is made.
    ///
    /// # Errors
    /// [`LedgerError::Storage`].
    pub fn open(_state_dir: &std::path::Path) -> Result<Self, LedgerError> {
        todo!()
    }
}
