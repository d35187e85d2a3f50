//! Reads studies out of Optuna's SQLite files.
//!
//! A [`File`] is opened for reading only and gives plain data: what was tried, from which distribution, and what came of it. Files of
//! Optuna 3 to 5 are understood; older ones are brought up to date by `optuna storage upgrade --storage sqlite:///FILE`.
//!
//! ```no_run
//! let file = optuna_import::File::open("optuna.db".as_ref())?;
//! for name in file.names()? {
//!     println!("{name}: {} trials", file.study(&name)?.trials.len());
//! }
//! # Ok::<(), optuna_import::ImportError>(())
//! ```
//!
//! # What it deliberately does not know
//! What is done with a study: several objectives, infinite values and distributions that change from trial to trial are handed out as
//! they were written.

mod distribution;
mod error;
mod file;
mod python;
mod read;
mod study;

pub use distribution::Distribution;
pub use error::ImportError;
pub use file::File;
pub use study::{Direction, Setting, State, Study, Trial, Value};
