//! `clear` by prefix.

use redis_service::RedisService;
use testkit::redis::RedisServer;

use crate::{cli, service, set};

async fn check(service: &RedisService, prefix: &str, removed: u64) {
    assert_eq!(service.clear(prefix.as_bytes()).await.unwrap(), removed, "{prefix}");
}

#[tokio::test]
async fn what_begins_alike_is_removed_and_nothing_else() {
    let server = RedisServer::start().unwrap();
    let service = service(server.url()).await;
    for key in ["a:1", "a:2", "b:1", "a*x", "[z", "~uat:tag:t"] {
        set(&service, key, "v").await;
    }
    for key in ["~uat:session:s", "~uat:user:u", "~uat:limits:l", "~uat:usage:{1}"] {
        set(&service, key, "v").await;
    }
    cli(&server, "SET a:1 unprefixed");
    check(&service, "a*", 1).await;
    check(&service, "[", 1).await;
    check(&service, "a:", 2).await;
    check(&service, "", 2).await;
    let left = cli(&server, "KEYS *");
    assert!(left.contains("session") && left.contains("user") && left.contains("a:1"), "{left}");
    assert!(left.contains("limits") && left.contains("usage"), "{left}");
    assert_eq!(cli(&server, "DBSIZE"), "5");
}

#[tokio::test]
async fn many_keys_are_removed_page_by_page_without_keys() {
    let server = RedisServer::start().unwrap();
    let service = service(server.url()).await;
    cli(&server, "DEBUG POPULATE 20000 p:k");
    cli(&server, "CONFIG RESETSTAT");
    check(&service, "k", 20_000).await;
    let stats = cli(&server, "INFO commandstats");
    assert!(stats.contains("cmdstat_scan:") && !stats.contains("cmdstat_keys:"), "{stats}");
}

#[tokio::test]
async fn without_redis_nothing_can_be_cleared() {
    let server = RedisServer::start().unwrap();
    let service = service(server.url()).await;
    server.kill();
    assert!(service.clear(b"").await.unwrap_err().retryable());
}
