//! How well each model would answer a prompt, learned from answers that were judged.
//!
//! [`train`] learns from [`Examples`] (a CSV's, or recorded feedback); [`Learned`] estimates; [`evaluate`] measures
//! it against simpler ways. Knows nothing of files, sockets, clocks or how a request is routed: bytes and ages are
//! passed in.
//!
//! ```
//! use llm_router::learned::{PromptFeatures, Table, TrainOptions, train};
//! // Whoever answers rightly here is decided by the words: `slow` alone knows of whales.
//! let mut csv = String::from("prompt,quick,slow\n");
//! for i in 0..600 {
//!     let (topic, quick) = if i % 2 == 0 { ("whales", 0) } else { ("gardens", 1) };
//!     csv += &format!("Tell me fact {i} about {topic},{quick},1\n");
//! }
//! let table = Table::read(csv.as_bytes())?;
//! let learned = train(&table.examples(None), &TrainOptions::default())?;
//! let whales = PromptFeatures::of("What do you know about whales?", None);
//! let quality = |model| learned.quality(&whales, model).map_or(0.5, |estimate| estimate.mean);
//! assert!(quality("slow") > quality("quick"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod data;
pub mod evaluate;
mod features;
mod file;
mod linear;
mod model;
mod parts;
mod train;
mod trees;

pub use data::{Example, Examples, Table, TableError, fade};
pub use features::{BUCKETS, FORM, PromptFeatures};
pub use file::FileError;
pub use model::{Estimate, Learned};
pub use train::{Report, TrainError, TrainOptions, train, train_with_progress};
