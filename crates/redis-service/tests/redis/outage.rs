//! What callers see while Redis is away, and what is true when it is back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis_service::{Mode, OnlyIf, Options, RedisService, RedisServiceError, SetOptions};

use crate::support::{connect, get, options, server, service, set, text, until_mode};

/// Far above the budget of 50 ms and far below what clients without one take, so that a busy machine does not fail it.
const SOON: Duration = Duration::from_millis(700);

#[tokio::test]
async fn a_frozen_redis_is_an_outage_and_not_a_wait() {
    let (server, modes) = (server(), Arc::new(Mutex::new(Vec::new())));
    let service = service(server.url()).await;
    let heard = Arc::clone(&modes);
    service.on_mode(move |status| heard.lock().push(status.mode));
    set(&service, "before", "old").await;
    server.freeze().unwrap();
    // The signal takes a moment; no call takes long, before and after.
    for n in 0.. {
        let from = Instant::now();
        assert_eq!(get(&service, &format!("new{n}")).await, None);
        assert!(from.elapsed() < SOON, "{n}: {:?}", from.elapsed());
        if service.status().mode == Mode::Fallback {
            break;
        }
    }
    let from = Instant::now();
    for n in 0..100 {
        assert_eq!(get(&service, &format!("next{n}")).await, None);
    }
    assert!(from.elapsed() < SOON, "a hundred reads without Redis: {:?}", from.elapsed());
    assert!(service.status().last_error.unwrap().contains("does not answer"));
    set(&service, "before", "meanwhile").await;
    assert_eq!(get(&service, "before").await.as_deref(), Some("meanwhile"));
    assert_eq!(service.delete(&["before"]).await.unwrap(), 1);
    set(&service, "before", "again").await;
    assert_eq!(service.status().pending_replays, 1);
    server.thaw().unwrap();
    until_mode(&service, Mode::Redis).await;
    assert_eq!(service.status().pending_replays, 0);
    assert_eq!(
        get(&service, "before").await,
        None,
        "what was overwritten meanwhile is deleted before it is read"
    );
    assert_eq!(server.cli(&["EXISTS", "before"]).unwrap(), "0");
    assert_eq!(*modes.lock(), [Mode::Fallback, Mode::Redis]);
}

#[tokio::test]
async fn what_was_sent_before_a_freeze_is_not_carried_out_after_the_return() {
    let server = server();
    let service = Arc::new(service(server.url()).await);
    server.freeze().unwrap();
    // Enough that the frozen server needs many reads for what lies in its socket, and is overtaken by a new connection.
    let value = "x".repeat(200_000);
    let writes: Vec<_> = (0..20)
        .map(|n| {
            let (service, value) = (Arc::clone(&service), text(value.clone()));
            tokio::task::JoinSet::new()
                .spawn(async move { service.set(&format!("k{n}"), &value, &SetOptions::default()).await });
        })
        .collect();
    drop(writes);
    tokio::time::sleep(Duration::from_millis(1300)).await;
    for n in 0..20 {
        set(&service, &format!("k{n}"), "meanwhile").await;
    }
    server.thaw().unwrap();
    until_mode(&service, Mode::Redis).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    for n in 0..20 {
        assert_eq!(get(&service, &format!("k{n}")).await, None);
    }
}

#[tokio::test]
async fn without_redis_reads_miss_writes_are_kept_and_the_rest_says_so() {
    let server = server();
    let service = service(server.url()).await;
    set(&service, "k", "v").await;
    server.kill();
    until_mode(&service, Mode::Fallback).await;
    assert_eq!(get(&service, "k").await, None);
    set(&service, "k", "kept").await;
    assert_eq!(get(&service, "k").await.as_deref(), Some("kept"));
    assert!(service.has("k").await.unwrap());
    assert!(service.expire("k", Duration::from_secs(9)).await.unwrap());
    assert!(service.ttl("k").await.unwrap().unwrap() <= Duration::from_secs(9));
    let only_absent = SetOptions { only_if: Some(OnlyIf::Absent), ..SetOptions::default() };
    for refused in [
        service.increment("n", 1, None).await.map(drop),
        service.set("x", &text("v"), &only_absent).await.map(drop),
    ] {
        let error = refused.unwrap_err();
        assert!(matches!(error, RedisServiceError::Unavailable { .. }), "{error:?}");
        assert_eq!((error.code(), error.retryable()), ("UAT_STORAGE", true));
    }
    server.restart().unwrap();
    until_mode(&service, Mode::Redis).await;
    assert_eq!(service.increment("n", 2, None).await.unwrap(), 2);
    assert!(service.stats().fallback_ops > 0 && service.stats().reconnects == 1);
}

#[tokio::test]
async fn a_service_starts_without_redis_and_finds_it_later() {
    let server = server();
    server.kill();
    let service = service(server.url()).await;
    assert_eq!(service.status().mode, Mode::Fallback);
    assert_eq!(get(&service, "k").await, None);
    server.restart().unwrap();
    until_mode(&service, Mode::Redis).await;
    set(&service, "k", "v").await;
    assert_eq!(server.cli(&["GET", "k"]).unwrap(), "v");
}

#[tokio::test]
async fn what_waiting_does_not_mend_is_an_error_at_once() {
    async fn check(options: Options, code: &str, says: &str) {
        let error = RedisService::connect(options, None).await.err().expect("an error");
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(says) && !error.to_string().contains("hunter2"), "{error}");
    }
    let server = testkit::redis::RedisServer::builder().password("right").start().unwrap();
    let port = server.port();
    check(options(format!("redis://:hunter2@127.0.0.1:{port}")), "UAT_UNAUTHORIZED", "password").await;
    check(options(format!("redis://127.0.0.1:{port}")), "UAT_UNAUTHORIZED", "NOAUTH").await;
    check(options("redis://:hunter2@no-such-host.invalid"), "UAT_CONFIG", "no-such-host.invalid").await;
    check(options("redis:/localhost"), "UAT_CONFIG", "url").await;
    check(Options { read_budget_ms: 0, ..options("redis://localhost") }, "UAT_CONFIG", "readBudgetMs").await;
}

#[tokio::test]
async fn closing_ends_what_waits() {
    let server = server();
    let service = Arc::new(connect(Options { command_timeout_ms: 60_000, ..options(server.url()) }).await);
    server.freeze().unwrap();
    let asked = Arc::clone(&service);
    let mut waiting = tokio::task::JoinSet::new();
    waiting.spawn(async move { asked.increment("n", 1, None).await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    service.close().await;
    assert!(matches!(
        waiting.join_next().await.unwrap().unwrap(),
        Err(RedisServiceError::Closed | RedisServiceError::Unavailable { .. })
    ));
    assert!(service.increment("n", 1, None).await.is_err());
}
