//! Tags: what carries one is found and removed, whatever is written at the same time.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use redis_service::{OnlyIf, Op, RedisService, RedisServiceError, Reply};
use testkit::redis::{RedisCluster, RedisServer};
use tokio::task::JoinSet;

use crate::{bytes, cli, service};

async fn tag(service: &RedisService, key: &str, ttl: Option<u64>, tags: &[&str]) {
    let tags: Vec<_> = tags.iter().map(|tag| bytes(*tag)).collect();
    let ttl = ttl.map(Duration::from_secs);
    assert!(service.set_tagged(bytes(key), bytes("v"), ttl, None, &tags).await.unwrap());
}

async fn has(service: &RedisService, key: &str) -> bool {
    service.run(Op::Has { key: bytes(key) }).await.unwrap() == Reply::Was(true)
}

#[tokio::test]
async fn an_invalidation_removes_what_carries_the_tag_and_nothing_else() {
    let server = RedisServer::start().unwrap();
    let service = service(server.url()).await;
    tag(&service, "a", None, &["red", "round"]).await;
    tag(&service, "b", None, &["red"]).await;
    tag(&service, "c", None, &["round"]).await;
    let near = Op::Get { key: bytes("a"), timed: true };
    service.run(near.clone()).await.unwrap();
    assert_eq!(service.invalidate_tag(b"red").await.unwrap(), 2);
    assert!(matches!(service.run(near).await.unwrap(), Reply::Stored { stored: None, .. }));
    assert!(!has(&service, "b").await && has(&service, "c").await);
    assert_eq!(service.invalidate_tag(b"red").await.unwrap(), 0);
    assert_eq!(cli(&server, "EXISTS p:~uat:tag:red"), "0");
    assert_eq!(service.invalidate_tag(b"round").await.unwrap(), 1);
}

#[tokio::test]
async fn many_keys_are_removed_in_pieces() {
    let server = RedisServer::start().unwrap();
    let service = service(server.url()).await;
    for number in 0..3000 {
        tag(&service, &format!("k{number}"), None, &["many"]).await;
    }
    assert_eq!(service.invalidate_tag(b"many").await.unwrap(), 3000);
    assert_eq!(cli(&server, "DBSIZE"), "0");
}

#[tokio::test]
async fn a_tag_lives_as_long_as_the_longest_of_its_values() {
    let server = RedisServer::start().unwrap();
    let service = service(server.url()).await;
    let left = || cli(&server, "TTL p:~uat:tag:t").parse::<i64>().unwrap();
    tag(&service, "a", Some(100), &["t"]).await;
    assert!((99..=100).contains(&left()), "{}", left());
    tag(&service, "b", Some(50), &["t"]).await;
    assert!((99..=100).contains(&left()), "{}", left());
    tag(&service, "c", Some(200), &["t"]).await;
    assert!((199..=200).contains(&left()), "{}", left());
    tag(&service, "d", None, &["t"]).await;
    assert_eq!(left(), -1);
    tag(&service, "e", Some(100), &["t"]).await;
    assert_eq!(left(), -1);
}

/// After everything has come to rest, each value that is there must still be found through its tag.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_value_escapes_its_tag_when_it_is_written_during_invalidations() {
    let server = RedisServer::start().unwrap();
    let (here, there) = (Arc::new(service(server.url()).await), Arc::new(service(server.url()).await));
    let (mut writers, mut invalidators) = (JoinSet::new(), JoinSet::new());
    for writer in 0..6 {
        let service = Arc::clone(if writer % 2 == 0 { &here } else { &there });
        // Each key once: a value that escapes is not written again.
        writers.spawn(async move {
            for number in 0..1000 {
                tag(&service, &format!("k{writer}-{number}"), None, &["t"]).await;
            }
        });
    }
    for service in [&here, &there] {
        let service = Arc::clone(service);
        invalidators.spawn(async move {
            loop {
                service.invalidate_tag(b"t").await.unwrap();
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    // In the midst of one, too: whatever an invalidation has not finished is still to be found.
    invalidators.shutdown().await;
    let values: HashSet<_> = cli(&server, "KEYS p:k*")
        .split_whitespace()
        .filter(|word| word.starts_with("p:"))
        .map(str::to_owned)
        .collect();
    let tagged: HashSet<_> = cli(&server, "HKEYS p:~uat:tag:t")
        .split_whitespace()
        .filter(|word| word.starts_with('k'))
        .map(|key| format!("p:{key}"))
        .collect();
    assert!(values.is_subset(&tagged), "{:?}", values.difference(&tagged).collect::<Vec<_>>());
    here.invalidate_tag(b"t").await.unwrap();
    assert_eq!(cli(&server, "DBSIZE"), "0");
}

#[tokio::test]
async fn without_redis_a_tagged_value_is_kept_aside_and_an_invalidation_is_refused() {
    let server = RedisServer::start().unwrap();
    let service = service(server.url()).await;
    server.kill();
    while service.publish(b"x", bytes("")).await.is_ok() {}
    tag(&service, "a", None, &["t"]).await;
    assert!(has(&service, "a").await);
    let refused = service.invalidate_tag(b"t").await;
    assert!(matches!(refused, Err(RedisServiceError::Unavailable { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_condition_holds_for_tagged_values_too() {
    let server = RedisServer::start().unwrap();
    let service = service(server.url()).await;
    tag(&service, "a", None, &["t"]).await;
    let absent = service.set_tagged(bytes("a"), bytes("w"), None, Some(OnlyIf::Absent), &[bytes("t")]).await;
    assert!(!absent.unwrap());
}

#[tokio::test]
async fn tags_span_the_nodes_of_a_cluster() {
    let cluster = RedisCluster::start().unwrap();
    let service = service(cluster.url()).await;
    for number in 0..100 {
        tag(&service, &format!("k{number}"), Some(100), &["one", "two"]).await;
    }
    assert_eq!(service.invalidate_tag(b"one").await.unwrap(), 100);
    assert_eq!(service.invalidate_tag(b"two").await.unwrap(), 0);
    // `clear` asks every master.
    for number in 0..100 {
        tag(&service, &format!("k{number}"), None, &[]).await;
    }
    assert_eq!(service.clear(b"k").await.unwrap(), 100);
}
