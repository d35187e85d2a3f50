//! Services, and waiting for what takes a moment.

use std::time::{Duration, Instant};

use redis_service::envelope::CacheValue;
use redis_service::{Mode, Options, RedisService, SetOptions};
use testkit::redis::RedisServer;

pub(crate) fn server() -> RedisServer {
    RedisServer::start().unwrap()
}

pub(crate) fn options(url: impl Into<String>) -> Options {
    Options { url: Some(url.into()), ..Options::default() }
}

/// A service with default options.
pub(crate) async fn service(url: impl Into<String>) -> RedisService {
    connect(options(url)).await
}

pub(crate) async fn connect(options: Options) -> RedisService {
    RedisService::connect(options, None).await.unwrap()
}

pub(crate) fn text(value: impl Into<String>) -> CacheValue {
    CacheValue::Text(value.into().into())
}

pub(crate) async fn set(service: &RedisService, key: &str, value: &str) {
    assert!(service.set(key, &text(value), &SetOptions::default()).await.unwrap());
}

/// The text under a key.
pub(crate) async fn get(service: &RedisService, key: &str) -> Option<String> {
    service.get(key).await.unwrap().map(|value| match value {
        CacheValue::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
        other => format!("{other:?}"),
    })
}

/// Waits for a mode; a test that waits ten seconds has failed.
pub(crate) async fn until_mode(service: &RedisService, mode: Mode) {
    until(&format!("mode {mode:?}"), || service.status().mode == mode).await;
}

/// Waits until Redis has answered for a second without a break: the nodes of a cluster agree on a failover only after a while.
pub(crate) async fn until_settled(service: &RedisService) {
    until("a second without an outage", || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let status = service.status();
        status.mode == Mode::Redis && now > Duration::from_millis(status.since_ms + 1000)
    })
    .await;
}

pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let from = Instant::now();
    while !holds() {
        assert!(from.elapsed() < Duration::from_secs(10), "waited ten seconds for {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// How often a long test repeats: a sample, and the whole with `UAT_SOAK=1`.
pub(crate) fn rounds(sample: usize, whole: usize) -> usize {
    if std::env::var_os("UAT_SOAK").is_some() { whole } else { sample }
}
