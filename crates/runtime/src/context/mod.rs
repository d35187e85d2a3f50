//! What is added to requests that the router decides: instructions, the session's memory, passages. What of it fits is decided by the
//! crate `context-pack`; here is where it comes from and where it goes.

mod ask;
mod gathered;
mod memory;
mod providers;
mod report;
mod retriever;
mod turn;

pub use ask::{ContextAsk, Document};
pub use report::{ContextReport, Missing};

pub(crate) use gathered::{Fitted, Gathered};
pub(crate) use memory::Memory;
pub(crate) use providers::Providers;
pub(crate) use turn::Turn;
