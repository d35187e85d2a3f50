//! What is added to a request before a model is asked: instructions of the operator, turns of the conversation so far, and passages
//! that may help.
//!
//! [`pack`] chooses what fits into a budget of tokens: nothing twice, nothing that the request says already, never a part of a
//! turn or a passage. [`Passages`] finds the passages that a question is about, by BM25. [`Packed::instructions`] writes
//! instructions and passages as one message, the passages marked as data between boundaries that their text cannot contain.
//!
//! ```
//! use context_pack::{Piece, Role, pack};
//!
//! let pieces = vec![
//!     Piece::instruction("house-rules", "Answer in French."),
//!     Piece::turn("memory", 1, Role::User, "My name is Ada."),
//!     Piece::passage("handbook#3", 2.4, "Refunds take five days."),
//! ];
//! let packed = pack(pieces, 50, &[], |piece| piece.text.len() as u64 / 3 + 1);
//! assert_eq!(packed.added.len(), 3);
//! assert!(packed.instructions().unwrap().contains("Refunds take five days."));
//! ```
//!
//! # What it deliberately does not know
//! Where any of it comes from, who is asked, how messages are written in a dialect.

mod pack;
mod passages;
mod piece;
mod write;

pub use pack::{Added, Left, Packed, Why, pack};
pub use passages::{Found, Passages};
pub use piece::{Kind, Piece, Role};
