//! What callers get from a real Redis: messages and gaps, computations that are shared, tags, `clear`, and raw commands.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test fails, in its helpers too"
)]

mod clear;
mod command;
mod flight;
mod pubsub;
mod tags;

use bytes::Bytes;
use redis_service::{Op, Options, RedisService, Reply};
use testkit::redis::RedisServer;

/// A service with the prefix `p:`.
async fn service(url: String) -> RedisService {
    connect(Options { url: Some(url), key_prefix: "p:".to_owned(), ..Options::default() }).await
}

async fn connect(options: Options) -> RedisService {
    RedisService::connect(options, None).await.unwrap()
}

fn bytes(text: impl Into<String>) -> Bytes {
    Bytes::from(text.into())
}

async fn set(service: &RedisService, key: &str, value: &str) {
    let op = Op::Set { key: bytes(key), stored: bytes(value), ttl: None, only_if: None };
    assert_eq!(service.run(op).await.unwrap(), Reply::Was(true));
}

/// What the server itself says.
fn cli(server: &RedisServer, line: &str) -> String {
    server.cli(&line.split(' ').collect::<Vec<_>>()).unwrap()
}
