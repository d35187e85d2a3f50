//! A cache, sessions and pub/sub that keep working when Redis does not.
//!
//! ```no_run
//! use redis_service::{Options, RedisService, SetOptions, envelope::CacheValue};
//!
//! # async fn example() -> Result<(), redis_service::RedisServiceError> {
//! let options = Options { url: Some("redis://127.0.0.1:6379".into()), ..Options::default() };
//! let cache = RedisService::connect(options, None).await?;
//! cache.set("city", &CacheValue::Json(r#"{"name":"Paris"}"#.into()), &SetOptions::default()).await?;
//! let city: Option<CacheValue> = cache.get("city").await?;
//! cache.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! `docs/cache.md` says what each call does while Redis is away.

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
