//! What the tests of sessions share: a service on a real Redis, and patience for its modes.
#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use redis_service::{CreateOptions, Mode, Options, RedisService, RedisServiceError, Session};
use tempfile::{TempDir, tempdir};
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

/// One Redis, one folder.
pub struct Scene {
    pub server: RedisServer,
    pub folder: TempDir,
}

impl Scene {
    pub fn new() -> Self {
        Self { server: RedisServer::start().unwrap(), folder: tempdir().unwrap() }
    }

    pub async fn replaying(&self) -> RedisService {
        connect(replaying(&self.server, self.folder.path())).await
    }

    /// Another process, which has no journal.
    pub async fn other(&self) -> RedisService {
        connect(options(&self.server)).await
    }

    /// Redis stops, and the service has seen it.
    pub async fn leave(&self, service: &RedisService) {
        self.server.freeze().unwrap();
        let _ = service.sessions().get("nobody").await;
        wait_for(service, Mode::Fallback).await;
    }

    /// Redis goes on, and the service has brought everything to it.
    pub async fn come_back(&self, service: &RedisService) {
        self.server.thaw().unwrap();
        wait_for(service, Mode::Redis).await;
        wait_until("all is replayed", || service.status().pending_replays == 0).await;
    }

    pub fn journals(&self) -> Vec<PathBuf> {
        std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

#[track_caller]
pub fn is_unavailable<T: std::fmt::Debug>(outcome: Result<T, RedisServiceError>) {
    assert!(matches!(outcome, Err(RedisServiceError::Unavailable { .. })), "{outcome:?}");
}

pub async fn data(service: &RedisService, id: &str) -> Option<String> {
    let session = service.sessions().get(id).await.unwrap();
    session.map(|session| String::from_utf8(session.data.to_vec()).unwrap())
}

pub async fn make(service: &RedisService, data: &str) -> Session {
    service.sessions().create(data.as_bytes(), of_user("ann")).await.unwrap()
}
