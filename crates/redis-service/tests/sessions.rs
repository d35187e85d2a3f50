//! Sessions over a real Redis and over the memory of the process: the same promises, where both can keep them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]
#![allow(clippy::print_stdout, reason = "figures for whoever runs them by hand")]

mod on_sessions;

use std::time::Duration;

use on_sessions::{connect, of_user, options, wait_for};
use redis_service::{CreateOptions, Mode, Options, RedisService, RedisServiceError, Session};
use testkit::redis::RedisServer;

/// Both places.
async fn everywhere(server: &RedisServer) -> [RedisService; 2] {
    [connect(options(server)).await, connect(Options::default()).await]
}

#[track_caller]
fn is_not_found<T: std::fmt::Debug>(outcome: &Result<T, RedisServiceError>) {
    assert!(matches!(outcome, Err(RedisServiceError::NotFound { .. })), "{outcome:?}");
}

#[track_caller]
fn is_conflict<T: std::fmt::Debug>(outcome: &Result<T, RedisServiceError>) {
    assert!(matches!(outcome, Err(RedisServiceError::Conflict { .. })), "{outcome:?}");
}

fn lives(ttl_ms: u64, rolling: bool, absolute_ms: Option<u64>) -> CreateOptions {
    CreateOptions {
        ttl: Duration::from_millis(ttl_ms),
        rolling,
        absolute_ttl: absolute_ms.map(Duration::from_millis),
        ..CreateOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_lives_from_create_to_destroy() {
    let server = RedisServer::start().unwrap();
    for service in everywhere(&server).await {
        let sessions = service.sessions();
        let made = sessions.create(br#"{"n":1}"#, of_user("ann")).await.unwrap();
        assert_eq!(
            (made.id.len(), made.user_id.as_deref(), &made.data[..]),
            (43, Some("ann"), &br#"{"n":1}"#[..])
        );
        // Redis counts a millisecond as gone that has only begun.
        let lifetime = made.expires_at_ms - made.created_at_ms;
        assert!((86_399_998..=86_400_001).contains(&lifetime), "{lifetime}");
        let found = sessions.get(&made.id).await.unwrap().unwrap();
        assert!(found.expires_at_ms.abs_diff(made.expires_at_ms) <= 2, "{found:?} {made:?}");
        assert_eq!(Session { expires_at_ms: made.expires_at_ms, ..found }, made);
        let updated = sessions.update(&made.id, br#"{"n":2}"#).await.unwrap();
        assert_eq!((&updated.data[..], updated.created_at_ms), (&br#"{"n":2}"#[..], made.created_at_ms));
        let moved = sessions.regenerate(&made.id).await.unwrap();
        assert_ne!(moved.id, made.id);
        assert_eq!((&moved.data, &moved.user_id), (&updated.data, &updated.user_id));
        assert_eq!(sessions.get(&made.id).await.unwrap(), None);
        is_not_found(&sessions.regenerate(&made.id).await);
        assert!(sessions.destroy(&moved.id).await.unwrap());
        assert!(!sessions.destroy(&moved.id).await.unwrap());
        assert_eq!(sessions.get(&moved.id).await.unwrap(), None);
        is_not_found(&sessions.update(&moved.id, b"{}").await);
        is_not_found(&sessions.update("never was", b"{}").await);
        is_conflict(&sessions.put(&moved.id, b"{}", CreateOptions::default()).await);
        assert!(!sessions.touch(&moved.id, None).await.unwrap());
        service.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_of_the_callers_own_is_made_replaced_and_never_used_again() {
    let server = RedisServer::start().unwrap();
    for service in everywhere(&server).await {
        let sessions = service.sessions();
        let first = sessions.put("mine", br#"{"n":1}"#, CreateOptions::default()).await.unwrap();
        let second = sessions.put("mine", br#"{"n":2}"#, of_user("ann")).await.unwrap();
        assert_eq!(first.created_at_ms, second.created_at_ms);
        assert_eq!(sessions.get("mine").await.unwrap().unwrap().data, &br#"{"n":2}"#[..]);
        let [listed] = &sessions.list_for_user("ann").await.unwrap()[..] else { panic!("one is listed") };
        assert!(sessions.destroy(&listed.handle).await.unwrap());
        is_conflict(&sessions.put("mine", b"{}", CreateOptions::default()).await);
        assert!(!sessions.destroy("never was").await.unwrap());
        is_conflict(&sessions.put("never was", b"{}", CreateOptions::default()).await);
        service.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_expire_roll_on_and_end_in_any_case() {
    let server = RedisServer::start().unwrap();
    for service in everywhere(&server).await {
        let sessions = service.sessions();
        let fixed = sessions.create(b"{}", lives(300, false, None)).await.unwrap();
        let rolling = sessions.create(b"{}", lives(300, true, None)).await.unwrap();
        let ended = sessions.create(b"{}", lives(60_000, true, Some(300))).await.unwrap();
        assert!(ended.expires_at_ms <= ended.created_at_ms + 302);
        for _ in 0..8 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let seen = sessions.get(&rolling.id).await.unwrap().expect("it rolls on");
            assert!(seen.expires_at_ms > rolling.expires_at_ms);
            sessions.get(&ended.id).await.unwrap();
        }
        assert_eq!(sessions.get(&fixed.id).await.unwrap(), None);
        assert_eq!(sessions.get(&ended.id).await.unwrap(), None);
        is_not_found(&sessions.update(&ended.id, b"{}").await);
        assert!(sessions.touch(&rolling.id, Some(Duration::from_secs(60))).await.unwrap());
        let seen = sessions.get(&rolling.id).await.unwrap().unwrap();
        assert!(seen.expires_at_ms > rolling.expires_at_ms + 50_000);
        service.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sessions_of_a_user_are_listed_by_handle_and_revoked_together() {
    let server = RedisServer::start().unwrap();
    for service in everywhere(&server).await {
        let sessions = service.sessions();
        let mut ids = Vec::new();
        for _ in 0..3 {
            ids.push(sessions.create(b"{}", of_user("ann")).await.unwrap().id);
        }
        let other = sessions.create(b"{}", of_user("bob")).await.unwrap();
        let listed = sessions.list_for_user("ann").await.unwrap();
        assert_eq!(listed.len(), 3);
        assert!(listed.iter().all(|info| info.handle.starts_with("s:") && !ids.contains(&info.handle)));
        assert_eq!(sessions.revoke_all("ann").await.unwrap(), 3);
        assert_eq!(sessions.revoke_all("ann").await.unwrap(), 0);
        assert!(sessions.list_for_user("ann").await.unwrap().is_empty());
        for id in &ids {
            is_not_found(&sessions.update(id, b"{}").await);
        }
        assert!(sessions.get(&other.id).await.unwrap().is_some());
        service.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_given_to_another_user_is_no_longer_the_firsts() {
    let server = RedisServer::start().unwrap();
    for service in everywhere(&server).await {
        let sessions = service.sessions();
        sessions.put("mine", b"{}", of_user("ann")).await.unwrap();
        sessions.put("mine", b"{}", of_user("bob")).await.unwrap();
        assert!(sessions.list_for_user("ann").await.unwrap().is_empty());
        assert_eq!(sessions.revoke_all("ann").await.unwrap(), 0);
        assert_eq!(sessions.list_for_user("bob").await.unwrap().len(), 1);
        service.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_session_is_refused_by_name() {
    let server = RedisServer::start().unwrap();
    for service in everywhere(&server).await {
        let sessions = service.sessions();
        let check = |outcome: Result<(), RedisServiceError>, field: &str| match outcome {
            Err(RedisServiceError::InvalidInput { field: got, .. }) => assert_eq!(got, field),
            other => panic!("{field}: {other:?}"),
        };
        let make = async |data: &[u8], options| sessions.create(data, options).await.map(|_| ());
        check(make(b"{", CreateOptions::default()).await, "data");
        check(make(b"[1]", CreateOptions::default()).await, "data");
        check(make(b"{}", lives(0, false, None)).await, "options.ttl");
        check(make(b"{}", lives(1, false, Some(0))).await, "options.absoluteTtl");
        check(make(b"{}", of_user("")).await, "options.userId");
        check(sessions.get("").await.map(|_| ()), "id");
        let handle = format!("s:{}", "0".repeat(64));
        check(sessions.put(&handle, b"{}", CreateOptions::default()).await.map(|_| ()), "id");
        service.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_holds_no_id_and_the_data_like_a_value() {
    let server = RedisServer::start().unwrap();
    let service = connect(Options { enable_compression: true, ..options(&server) }).await;
    let data = format!(r#"{{"secret":"{}"}}"#, "x".repeat(2000));
    let made = service.sessions().create(data.as_bytes(), of_user("ann")).await.unwrap();
    let keys = server.cli(&["KEYS", "*"]).unwrap();
    let key = keys.lines().find(|key| key.starts_with("app:~uat:session:")).expect("a session");
    assert!(keys.contains("app:~uat:user:ann") && !keys.contains(&made.id));
    let length: usize = server.cli(&["HSTRLEN", key, "d"]).unwrap().parse().unwrap();
    assert!(length < 500, "{length} bytes of 2,000 that are all alike");
    // What another program wrote as plain text is read, too; an envelope that is broken is an error.
    server.cli(&["HSET", key, "d", r#"{"plain":true}"#]).unwrap();
    let read = service.sessions().get(&made.id).await.unwrap().unwrap();
    assert_eq!(read.data, &br#"{"plain":true}"#[..]);
    server.call(&[&b"HSET"[..], key.as_bytes(), b"d", b"\xF5\x55\x41\x01\x03 broken"]).unwrap();
    is_conflict(&service.sessions().get(&made.id).await);
    service.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_forgot_the_scripts_learns_them_again() {
    let server = RedisServer::start().unwrap();
    let service = connect(options(&server)).await;
    for _ in 0..2 {
        server.cli(&["SCRIPT", "FLUSH"]).unwrap();
        let made = service.sessions().create(b"{}", of_user("ann")).await.unwrap();
        server.cli(&["SCRIPT", "FLUSH"]).unwrap();
        assert_eq!(service.sessions().list_for_user("ann").await.unwrap().len(), 1);
        server.cli(&["SCRIPT", "FLUSH"]).unwrap();
        assert!(service.sessions().destroy(&made.id).await.unwrap());
    }
    service.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_every_call_fails_closed() {
    let server = RedisServer::start().unwrap();
    let service = connect(options(&server)).await;
    let sessions = service.sessions();
    let made = sessions.create(b"{}", of_user("ann")).await.unwrap();
    let check = async |when: &str| {
        let outcomes = [
            sessions.create(b"{}", CreateOptions::default()).await.map(|_| ()),
            sessions.put("mine", b"{}", CreateOptions::default()).await.map(|_| ()),
            sessions.get(&made.id).await.map(|_| ()),
            sessions.update(&made.id, b"{}").await.map(|_| ()),
            sessions.regenerate(&made.id).await.map(|_| ()),
            sessions.destroy(&made.id).await.map(|_| ()),
            sessions.touch(&made.id, None).await.map(|_| ()),
            sessions.list_for_user("ann").await.map(|_| ()),
            sessions.revoke_all("ann").await.map(|_| ()),
        ];
        for outcome in outcomes {
            let is_away = matches!(outcome, Err(RedisServiceError::Unavailable { .. }));
            assert!(is_away, "{when}: {outcome:?}");
        }
    };
    server.freeze().unwrap();
    check("frozen").await;
    server.thaw().unwrap();
    wait_for(&service, Mode::Redis).await;
    server.kill();
    check("killed").await;
    server.restart().unwrap();
    wait_for(&service, Mode::Redis).await;
    assert_eq!(sessions.get(&made.id).await.unwrap(), None, "Redis came back empty");
    service.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_memory_of_the_process_cannot_hold_is_refused_and_nothing_is_evicted() {
    let service = connect(Options { fallback_max_bytes: 100_000, ..Options::default() }).await;
    let sessions = service.sessions();
    let mut ids = Vec::new();
    let refused = loop {
        match sessions.create(br#"{"n":1}"#, CreateOptions::default()).await {
            Ok(session) => ids.push(session.id),
            Err(error) => break error,
        }
    };
    assert_eq!((refused.code(), refused.retryable()), ("UAT_STORAGE", true));
    assert!(ids.len() > 100);
    for id in &ids {
        assert!(sessions.get(id).await.unwrap().is_some());
    }
    service.close().await;
}
