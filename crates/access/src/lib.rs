//! Who may ask for what, how often and for how much money.
//!
//! A [`Keyring`] knows callers by their [`Key`]s; [`Allowances`] admits what a key asks for: it reserves the most that a request
//! can cost before the request is sent, and takes what it did cost when it has ended. So any number of requests at once never
//! spend more than a budget allows, nor do several processes, nor one that is killed and started again.
//!
//! ```
//! use std::sync::Arc;
//! use access::{Allowances, Ask, KeyConfig, KeyHash, KeyText, Keyring, Ledgers, Used};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let text = KeyText::new().unwrap();
//! let config = KeyConfig { rpm: Some(2), ..KeyConfig::new("alice", KeyHash::of(text.expose().as_bytes())) };
//! let keyring = Keyring::new([config]).unwrap();
//! let allowances = Allowances::new(Ledgers::in_memory(), Default::default());
//!
//! let key = keyring.authenticate(text.expose().as_bytes()).unwrap();
//! let ask = Ask { model: "smollm2-135m".into(), prompt_tokens: 20, completion_tokens: 100, expected_tokens: None, price: None };
//! let reservation = allowances.admit(&key, ask.clone()).await.unwrap();
//! reservation.settle(Used { prompt_tokens: 12, completion_tokens: 40, ..Used::default() });
//! allowances.admit(&key, ask.clone()).await.unwrap().settle(Used::default());
//! let refused = allowances.admit(&key, ask).await.unwrap_err();
//! assert_eq!(refused.code(), "UAT_RATE_LIMITED");
//! allowances.close().await;
//! # });
//! ```
//!
//! # How it is kept
//!
//! What a key may have in one window of time (requests and tokens a minute, money a day) is an [`Account`]. Who owns accounts is a
//! [`Ledger`]: in this process ([`MemoryLedger`]), on disk ([`FileLedger`]), or elsewhere, behind the same trait. Nothing is asked
//! of a ledger for a single request. A process *claims* a part of an account, a small one, reserves from it in memory, claims
//! more before it runs dry, and gives back what it does not need. A claim is absolute ("mine shall be so much"), so that repeating
//! one is harmless and a ledger that forgot one is told again. The claim of a process that died stays, and counts as spent: so a
//! budget is never overrun, and what is lost is at most what the process held.
//!
//! Inside, `book` and `purse` decide (what a ledger grants; what a process claims), as pure data; `allowances` and the ledgers act.
//!
//! # What it deliberately does not know
//! HTTP, configuration files, endpoints, Redis.

mod account;
mod allowances;
mod book;
mod file_ledger;
mod journal;
mod key;
mod keyring;
pub mod keys_file;
mod ledger;
mod ledgers;
mod limits;
mod memory_ledger;
mod meters;
mod money;
mod purse;
mod refused;
mod reservation;
mod syncing;
mod usage;
mod window;

/// When: a key expires, or something was used.
pub use jiff::Timestamp;

pub use account::{Account, Period, What};
pub use allowances::{Allowances, Standing};
pub use file_ledger::FileLedger;
pub use key::{Key, KeyConfig, KeyHash, KeyText};
pub use keyring::{Denied, Keyring, KeyringError};
pub use ledger::{CLAIM_TIME, Claim, Granted, InstanceId, Ledger, LedgerError};
pub use ledgers::{Ledgers, OnOutage, Settings};
pub use memory_ledger::MemoryLedger;
pub use money::NanoUsd;
pub use refused::Refused;
pub use reservation::{Ask, Reservation, Used};
pub use usage::{FileUsage, KEPT_DAYS, MemoryUsage, UsageBy, UsageLog, UsageQuery, UsageRow, summarise};
