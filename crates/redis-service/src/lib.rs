//! A cache, sessions and pub/sub that keep working when Redis does not.

mod batch;
mod clear;
mod command;
mod connection;
mod dedicated;
mod embedded;
pub mod envelope;
mod error;
mod flight;
mod op;
mod options;
mod pubsub;
pub mod resp;
mod section;
mod service;
mod sessions;
mod status;
mod tags;
mod tier;
mod values;

pub use error::RedisServiceError;
pub use flight::{Begin, ComputeError, FlightOptions, Lease, RENEW_EVERY};
pub use op::{OnlyIf, Op, Origin, Reply};
pub use options::{Address, CodecName, Login, Options, Place, Tls, Topology};
pub use pubsub::{Event, Subscription};
pub use service::RedisService;
pub use sessions::{CreateOptions, Session, SessionInfo, Sessions};
pub use status::{Mode, Status};
pub use tier::Watcher;
pub use tier::in_flight::{Done, Inbox, Outcome};
pub use values::{SetOptions, Stats};
