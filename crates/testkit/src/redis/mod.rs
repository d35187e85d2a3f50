//! Real Redis servers for tests: one alone, a cluster of six, or a master with a replica and three sentinels.
//!
//! They run Debian's `redis-server` (7.0 or later; `UAT_REDIS_SERVER` names another program, such as `valkey-server`) on
//! free ports of 127.0.0.1, write nothing but their own temporary folder, and can be killed, frozen and started again.
//!
//! ```
//! # fn main() -> std::io::Result<()> {
//! use testkit::redis::RedisServer;
//!
//! let server = RedisServer::builder().password("secret").start()?;
//! server.cli(&["SET", "k", "v"])?;
//! assert_eq!(server.cli(&["GET", "k"])?, "v");
//! server.kill();
//! server.restart()?; // The same port, and empty.
//! assert_eq!(server.cli(&["EXISTS", "k"])?, "0");
//! # Ok(())
//! # }
//! ```
//!
//! Everything blocks, so that a test on threads and one on tokio can use it alike: a start takes some 30 ms, a cluster's
//! some 2 s. Dropping ends the processes by their ids and removes the folders. A server also ends, within milliseconds, with
//! the process that started it, however that ends.

mod cluster;
mod guarded;
mod resp;
mod sentinels;
mod server;
mod waiting;

pub use cluster::RedisCluster;
pub use resp::Reply;
pub use sentinels::Sentinels;
pub use server::{RedisServer, RedisServerBuilder};
