//! Raw commands: shared, blocking, and in a cluster.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use redis_service::resp::Value;
use redis_service::{Options, RedisService, RedisServiceError};
use testkit::redis::{RedisCluster, RedisServer};
use tokio::task::JoinSet;

use crate::{bytes, cli, connect, service};

async fn run(service: &RedisService, line: &str) -> Result<Value, RedisServiceError> {
    service.command(line.split(' ').map(bytes).collect()).await
}

fn pair(key: &'static str, value: &'static str) -> Value {
    Value::Array([key, value].map(|text| Value::Bulk(Bytes::from_static(text.as_bytes()))).to_vec())
}

#[tokio::test]
async fn any_command_is_run_as_it_is() {
    let server = RedisServer::start().unwrap();
    let service = service(server.url()).await;
    assert_eq!(run(&service, "HSET h f 1").await.unwrap(), Value::Integer(1));
    assert_eq!(cli(&server, "HGET h f"), "1");
    let refused = run(&service, "SUBSCRIBE c").await.unwrap_err();
    assert!(matches!(refused, RedisServiceError::InvalidInput { .. }), "{refused:?}");
    let unknown = run(&service, "NOSUCH x").await.unwrap_err();
    assert!(matches!(unknown, RedisServiceError::Upstream { .. }), "{unknown:?}");
}

#[tokio::test]
async fn what_blocks_keeps_nobody_waiting_and_has_the_time_that_it_asks_for() {
    let server = RedisServer::start().unwrap();
    let service = Arc::new(service(server.url()).await);
    let blocked = Arc::clone(&service);
    let mut waiting = JoinSet::new();
    waiting.spawn(async move { run(&blocked, "BLPOP l 10").await });
    tokio::time::sleep(Duration::from_millis(1300)).await;
    let start = Instant::now();
    run(&service, "PING").await.unwrap();
    assert!(start.elapsed() < Duration::from_millis(500));
    cli(&server, "RPUSH l v");
    assert_eq!(waiting.join_next().await.unwrap().unwrap().unwrap(), pair("l", "v"));
    assert_eq!(run(&service, "BLPOP l 0.05").await.unwrap(), Value::Null);
}

#[tokio::test]
async fn blocking_commands_queue_for_the_few_connections_that_there_are() {
    let server = RedisServer::start().unwrap();
    let options = Options { url: Some(server.url()), max_connections: 3, ..Options::default() };
    let service = Arc::new(connect(options).await);
    let start = Instant::now();
    let mut waiting = JoinSet::new();
    for _ in 0..4 {
        let service = Arc::clone(&service);
        waiting.spawn(async move { run(&service, "BLPOP l 0.3").await });
    }
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(server.info("blocked_clients").unwrap().as_deref(), Some("2"));
    while let Some(done) = waiting.join_next().await {
        assert_eq!(done.unwrap().unwrap(), Value::Null);
    }
    assert!((550..2000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    let connections = cli(&server, "CLIENT LIST").matches("universal-ai-tools").count();
    assert_eq!(connections, 3, "two were used twice");
}

#[tokio::test]
async fn a_caller_that_gives_up_takes_nothing_from_the_list() {
    let server = RedisServer::start().unwrap();
    let service = service(server.url()).await;
    let given_up = tokio::time::timeout(Duration::from_millis(200), run(&service, "BLPOP l 0")).await;
    assert!(given_up.is_err());
    while server.info("blocked_clients").unwrap().as_deref() != Some("0") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    cli(&server, "RPUSH l v");
    assert_eq!(cli(&server, "LLEN l"), "1");
    service.close().await;
    assert!(matches!(run(&service, "BLPOP l 0").await, Err(RedisServiceError::Closed)));
}

#[tokio::test]
async fn in_a_cluster_a_command_goes_to_its_keys() {
    let cluster = RedisCluster::start().unwrap();
    let service = service(cluster.url()).await;
    for number in 0..20 {
        run(&service, &format!("RPUSH l{number} v")).await.unwrap();
        let popped = run(&service, &format!("BLPOP l{number} 1")).await.unwrap();
        assert!(matches!(popped, Value::Array(_)), "{popped:?}");
        let sum = run(&service, &format!("EVAL return(redis.call('INCR',KEYS[1])) 1 n{number}")).await;
        assert_eq!(sum.unwrap(), Value::Integer(1));
    }
    let crossed = run(&service, "MGET a b c").await.unwrap_err();
    assert!(crossed.to_string().contains("CROSSSLOT"), "{crossed}");
    assert!(run(&service, "PING").await.is_ok());
}

#[tokio::test]
async fn a_command_for_a_node_that_is_down_is_refused_although_others_answer() {
    let cluster = RedisCluster::start().unwrap();
    let service = service(cluster.url()).await;
    run(&service, "RPUSH l v").await.unwrap();
    cluster.kill_master_of("l").unwrap();
    let start = Instant::now();
    while let Err(refused) = run(&service, "RPUSH l w").await {
        assert!(refused.retryable(), "{refused:?}");
        assert!(start.elapsed() < Duration::from_secs(20), "the cluster fails over");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
