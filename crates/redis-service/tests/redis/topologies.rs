//! Sentinels, a cluster, TLS, logins and socket files.

use std::time::Duration;

use redis_service::{Mode, Options, RedisService, RedisServiceError};
use testkit::redis::{RedisCluster, RedisServer, Sentinels};

use crate::support::{connect, get, options, service, set, text, until_mode, until_settled};

/// What every topology must be able to do.
async fn check_works(service: &RedisService) {
    until_mode(service, Mode::Redis).await;
    for n in 0..50 {
        set(service, &format!("k{n}"), &format!("v{n}")).await;
    }
    for n in 0..50 {
        assert_eq!(get(service, &format!("k{n}")).await, Some(format!("v{n}")));
        assert_eq!(get(service, &format!("k{n}")).await, Some(format!("v{n}")), "near");
    }
    let keys: Vec<String> = (0..50).map(|n| format!("k{n}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    assert_eq!(service.mget(&keys).await.unwrap().iter().flatten().count(), 50);
    assert_eq!(service.increment("n", 5, Some(Duration::from_secs(60))).await.unwrap(), 5);
    assert!(service.ttl("n").await.unwrap().is_some());
    assert_eq!(service.delete(&keys).await.unwrap(), 50);
    assert_eq!(service.delete(&["n"]).await.unwrap(), 1);
}

#[tokio::test]
async fn a_cluster_works_and_survives_the_loss_of_a_master() {
    let cluster = RedisCluster::start().unwrap();
    let service = service(cluster.url()).await;
    check_works(&service).await;
    let lost = cluster.kill_master_of("k1").unwrap();
    cluster.wait_for_failover_from(lost).unwrap();
    until_settled(&service).await;
    check_works(&service).await;
}

#[tokio::test]
async fn a_cluster_that_moves_a_slot_is_followed() {
    let cluster = RedisCluster::start().unwrap();
    // Patient, because a miss for lack of time would say nothing about the way.
    let service = connect(Options { read_budget_ms: 900, ..options(cluster.url()) }).await;
    until_mode(&service, Mode::Redis).await;
    set(&service, "k1", "v").await;
    let slot = cluster.slot_of("k1").unwrap().to_string();
    let from = cluster.master_of("k1").unwrap();
    let to = (0..3).find(|node| *node != from).unwrap();
    let id = |node: usize| cluster.servers()[node].cli(&["CLUSTER", "MYID"]).unwrap();
    let port = cluster.servers()[to].port().to_string();
    cluster.servers()[to].cli(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &id(from)]).unwrap();
    cluster.servers()[from].cli(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &id(to)]).unwrap();
    cluster.servers()[from].cli(&["MIGRATE", "127.0.0.1", &port, "k1", "0", "1000"]).unwrap();
    // ASK: the key is over there already, the slot is not.
    assert_eq!(get(&service, "k1").await.as_deref(), Some("v"));
    for node in [to, from] {
        cluster.servers()[node].cli(&["CLUSTER", "SETSLOT", &slot, "NODE", &id(to)]).unwrap();
    }
    // MOVED.
    set(&service, "k1", "moved").await;
    assert_eq!(get(&service, "k1").await.as_deref(), Some("moved"));
}

#[tokio::test]
async fn sentinels_lead_to_the_new_master() {
    let sentinels = Sentinels::start().unwrap();
    let service = service(sentinels.url()).await;
    check_works(&service).await;
    let lost = sentinels.kill_master().unwrap();
    until_mode(&service, Mode::Fallback).await;
    sentinels.wait_for_failover_from(lost).unwrap();
    until_mode(&service, Mode::Redis).await;
    check_works(&service).await;
}

#[tokio::test]
async fn tls_is_spoken_and_a_stranger_is_not_trusted() {
    let server = RedisServer::builder().tls().password("pw").start().unwrap();
    let with_ca = format!("{}?ca={}", server.url(), server.ca_file().unwrap().display());
    let service = service(with_ca).await;
    check_works(&service).await;
    let large = "x".repeat(3 << 20);
    set(&service, "large", &large).await;
    let patient =
        connect(Options { read_budget_ms: 5000, command_timeout_ms: 5000, ..service_options(&server) }).await;
    assert_eq!(get(&patient, "large").await, Some(large));
    let error = RedisService::connect(options(server.url()), None).await.err().expect("an error");
    assert!(matches!(error, RedisServiceError::Config { .. }), "{error}");
}

fn service_options(server: &RedisServer) -> Options {
    options(format!("{}?ca={}", server.url(), server.ca_file().unwrap().display()))
}

#[tokio::test]
async fn an_acl_user_reaches_its_keys_and_no_others() {
    let server = RedisServer::builder()
        .acl_user("app", "pw", "~app:* &app:* +@all -@dangerous -@admin")
        .start()
        .unwrap();
    let url = server.url_for("app").unwrap();
    let service = connect(Options { key_prefix: "app:".to_owned(), ..options(url.clone()) }).await;
    check_works(&service).await;
    let stranger = connect(options(url)).await;
    let error = stranger.set("k", &text("v"), &redis_service::SetOptions::default()).await.unwrap_err();
    assert_eq!(error.code(), "UAT_UNAUTHORIZED", "{error}");
}

#[tokio::test]
async fn a_socket_file_works_like_an_address() {
    let server = RedisServer::start().unwrap();
    let path = server.socket();
    check_works(&service(format!("unix://{}", path.display())).await).await;
}
