//! A cache, sessions and pub/sub that keep working when Redis does not.
//!
//! Operations ([`Op`]) go to one of two tiers. With a URL that is Redis or Valkey: one server, the master that Sentinels name, or
//! the nodes of a cluster; and in front of it a *near* tier in the process, kept coherent by Redis' own invalidations. Without a URL
//! it is the *embedded* tier, the same operations in memory.
//!
//! ```no_run
//! use redis_service::envelope::CacheValue;
//! use redis_service::{Options, RedisService, SetOptions};
//!
//! # async fn example() -> Result<(), redis_service::RedisServiceError> {
//! let options = Options { url: Some("redis://127.0.0.1:6379".into()), ..Options::default() };
//! let cache = RedisService::connect(options, None).await?;
//! cache.set("greeting", &CacheValue::Text("hello".into()), &SetOptions::default()).await?;
//! assert_eq!(cache.get("greeting").await?, Some(CacheValue::Text("hello".into())));
//! # Ok(()) }
//! ```
//!
//! # While Redis is away
//!
//! A read has 50 ms (`read_budget_ms`); then it is a miss, and as long as the server stays silent further reads are misses at once.
//! Writes are noted aside, and their keys are deleted in Redis before it is read again. What needs Redis fails with
//! [`RedisServiceError::Unavailable`]. [`RedisService::status`] and [`RedisService::on_mode`] say so. Sessions fail closed, unless
//! `replay_writes` gives them a journal on disk.
//!
//! # Why the connections are our own
//!
//! What decides how fast Redis is from Node is not the parser but how often threads are woken and the border is crossed. An
//! asynchronous call for each command is no faster than ioredis. So a batch of commands is one call, one lock and one
//! `write`, made by the caller's own thread; one thread reads all sockets, and answers cross back in one call for each read of a
//! socket. That is what gives the throughput; the figures are in `docs/cache.md`, by `npm run bench:cache`.
//!
//! One connection to each server is enough for that: Redis answers one command after another whatever their number is, more
//! connections make the batches smaller, and one keeps the commands of a key, and the invalidations of what was read, in
//! order. A long reply does hold up the short ones behind it.
//!
//! With a single command under way two threads would have to be woken one after the other, which costs more than Redis does. A
//! caller that says so ([`RedisService::read_soon`]) waits up to 60 microseconds for the answer and reads it himself; where
//! answers take longer, it is not tried any more.
//!
//! The topology, too, is found out by this crate (`SENTINEL GET-MASTER-ADDR-BY-NAME`, `CLUSTER SLOTS`, `MOVED`, `ASK`): redis-rs
//! keeps its routing to itself, and its multiplexed connection wakes a task for each command.
//!
//! Inside: `op` is what is asked, as pure data; `tier` decides (whom to ask, what is noted aside, what is kept near) and `connection`
//! acts (sockets, threads, time). `envelope` is how values lie in Redis, see `docs/redis-format.md`; `sessions`, `pubsub`,
//! `flight` (shared computations), `tags`, `clear` and `command` build upon operations.

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
mod scripts;
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
