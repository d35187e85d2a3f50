//! Races of sessions over a real Redis, from two services: what was destroyed or revoked stays so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]
#![allow(clippy::print_stdout, reason = "figures for whoever runs them by hand")]

mod on_sessions;

use std::sync::Arc;
use std::time::Duration;

use on_sessions::{connect, of_user, options};
use redis_service::{Options, RedisServiceError};
use testkit::redis::RedisServer;
use testkit::{Direction, FaultProxy};
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread")]
async fn a_destroyed_session_is_never_resurrected_by_a_racing_write() {
    const ROUNDS: usize = 1000;
    let server = RedisServer::start().unwrap();
    for [one, other] in
        [[Arc::new(connect(options(&server)).await), Arc::new(connect(options(&server)).await)], {
            let service = Arc::new(connect(Options::default()).await);
            [Arc::clone(&service), service]
        }]
    {
        let mut resurrected = 0;
        for round in 0..ROUNDS {
            let id = one.sessions().create(b"{}", of_user("ann")).await.unwrap().id;
            let mut tasks = JoinSet::new();
            for n in 0..4 {
                let (service, id) = (Arc::clone(if n % 2 == 0 { &one } else { &other }), id.clone());
                tasks.spawn(async move {
                    let _ = service.sessions().update(&id, b"{\"late\":true}").await;
                    let _ = service.sessions().put(&id, b"{}", of_user("ann")).await;
                });
            }
            let (service, destroyed) = (Arc::clone(&other), id.clone());
            tasks.spawn(async move {
                if round % 2 == 0 {
                    tokio::task::yield_now().await;
                }
                assert!(service.sessions().destroy(&destroyed).await.unwrap());
            });
            while let Some(done) = tasks.join_next().await {
                done.unwrap();
            }
            resurrected += usize::from(one.sessions().get(&id).await.unwrap().is_some());
        }
        assert_eq!(resurrected, 0, "of {ROUNDS}");
        one.close().await;
        other.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_made_before_survives_revoke_all() {
    const ROUNDS: usize = 300;
    let server = RedisServer::start().unwrap();
    let (one, other) = (Arc::new(connect(options(&server)).await), Arc::new(connect(options(&server)).await));
    let mut survivors = 0;
    for round in 0..ROUNDS {
        let user = format!("user{round}");
        let old = one.sessions().create(b"{}", of_user(&user)).await.unwrap().id;
        let mut tasks = JoinSet::new();
        // An id that is passed on from regenerate to regenerate must not get away.
        let (service, mut id) = (Arc::clone(&one), old.clone());
        tasks.spawn(async move {
            while let Ok(next) = service.sessions().regenerate(&id).await {
                id = next.id;
                let _ = service.sessions().update(&id, b"{\"n\":1}").await;
            }
        });
        let (service, id, name) = (Arc::clone(&one), old.clone(), user.clone());
        tasks.spawn(async move {
            let _ = service.sessions().list_for_user(&name).await;
            let _ = service.sessions().update(&id, b"{}").await;
        });
        let (service, name) = (Arc::clone(&other), user.clone());
        tasks.spawn(async move {
            for _ in 0..round % 20 {
                tokio::task::yield_now().await;
            }
            service.sessions().revoke_all(&name).await.unwrap();
        });
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        let tombstones = server.cli(&["EVAL", "local n = 0 for _, k in ipairs(redis.call('KEYS', 'app:~uat:session:*')) do if redis.call('HGET', k, 'u') == ARGV[1] then n = n + 1 end end return n", "0", &user]).unwrap();
        survivors += tombstones.parse::<usize>().unwrap();
        server.cli(&["FLUSHALL"]).unwrap();
    }
    assert_eq!(survivors, 0, "of {ROUNDS} rounds");
    one.close().await;
    other.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_revoke_all_overtakes_either_fails_or_is_newer() {
    let server = RedisServer::start().unwrap();
    let service = Arc::new(connect(options(&server)).await);
    for round in 0..300 {
        let user = format!("user{round}");
        let (creator, name) = (Arc::clone(&service), user.clone());
        let creating = tokio::task::JoinSet::from_iter([async move {
            creator.sessions().create(b"{}", of_user(&name)).await
        }]);
        service.sessions().revoke_all(&user).await.unwrap();
        let made = creating.join_all().await.remove(0);
        match made {
            Ok(session) => {
                let lives = service.sessions().get(&session.id).await.unwrap().is_some();
                let listed = service.sessions().list_for_user(&user).await.unwrap().len();
                assert_eq!(listed, usize::from(lives), "what lives can be revoked");
            }
            Err(error) => assert!(matches!(error, RedisServiceError::Conflict { .. }), "{error}"),
        }
    }
    service.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_regenerated_while_its_user_is_revoked_does_not_get_away() {
    let server = RedisServer::start().unwrap();
    let upstream: std::net::SocketAddr = server.address().parse().unwrap();
    let proxy = FaultProxy::start(upstream).await.unwrap();
    // What the revoking service is told comes late, and so there is time between its reading the list and its destroying.
    proxy.set_delay(Direction::Downstream, Duration::from_millis(10));
    let slow = Options { url: Some(format!("redis://{}", proxy.addr())), ..options(&server) };
    let (slow, quick) = (Arc::new(connect(slow).await), connect(options(&server)).await);
    for round in 0..20 {
        let user = format!("user{round}");
        let old = quick.sessions().create(b"{}", of_user(&user)).await.unwrap().id;
        let (revoker, name) = (Arc::clone(&slow), user.clone());
        let mut revoking = JoinSet::new();
        revoking.spawn(async move { revoker.sessions().revoke_all(&name).await });
        tokio::time::sleep(Duration::from_millis(round)).await;
        let new = quick.sessions().regenerate(&old).await;
        revoking.join_all().await.remove(0).unwrap();
        if let Ok(new) = new {
            assert_eq!(quick.sessions().get(&new.id).await.unwrap(), None, "round {round}");
        }
    }
    slow.close().await;
    quick.close().await;
}
