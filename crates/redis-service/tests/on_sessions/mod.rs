//! What the tests of sessions share: a service on a real Redis, and patience for its modes.
#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::Path;
use std::time::{Duration, Instant};

use redis_service::{CreateOptions, Mode, Options, RedisService};
use testkit::redis::RedisServer;

/// Until a change of mode must have been seen.
const PATIENCE: Duration = Duration::from_secs(20);

pub fn options(server: &RedisServer) -> Options {
    Options { url: Some(server.url()), key_prefix: "app:".to_owned(), ..Options::default() }
}

/// With a journal in the folder.
pub fn replaying(server: &RedisServer, folder: &Path) -> Options {
    Options { replay_writes: true, journal_dir: Some(folder.to_owned()), ..options(server) }
}

pub async fn connect(options: Options) -> RedisService {
    RedisService::connect(options, None).await.unwrap()
}

pub fn of_user(user: &str) -> CreateOptions {
    CreateOptions { user_id: Some(user.to_owned()), ..CreateOptions::default() }
}

pub async fn wait_until(what: &str, mut question: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !question() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub async fn wait_for(service: &RedisService, mode: Mode) {
    wait_until(&format!("the mode is {mode:?}"), || service.status().mode == mode).await;
}
