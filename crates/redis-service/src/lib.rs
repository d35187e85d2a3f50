//! A cache, sessions and pub/sub that keep working when Redis does not.

mod collect;
mod connection;
mod embedded;
pub mod envelope;
mod error;
mod op;
mod options;
pub mod resp;
mod service;
mod sessions;
mod status;
mod tier;
mod values;

pub use error::RedisServiceError;
pub use op::{OnlyIf, Op, Origin, Reply};
pub use options::{Address, CodecName, Login, Options, Place, Tls, Topology};
pub use service::RedisService;
pub use sessions::{CreateOptions, Session, SessionInfo, Sessions};
pub use status::{Mode, Status};
pub use tier::Watcher;
pub use tier::in_flight::{Done, Inbox, Outcome};
pub use values::{SetOptions, Stats};
