//! Reading and writing what Redis speaks: RESP2 and RESP3, as pure functions over bytes.
//!
//! Our own rather than redis-rs' parser, because the hot path wants values that are slices of the bytes that were read,
//! and a frame that arrives in many pieces is scanned once: `scan` finds where a frame ends and remembers how far it
//! came, `parse` then builds the value.

mod command;
mod parse;
mod scan;
mod value;

pub use command::Command;
pub(crate) use command::{put_bulk, put_bulk_parts, put_header};
pub use parse::parse_frame;
pub use scan::{ProtocolError, Scanner};
pub use value::{ServerError, Value};
