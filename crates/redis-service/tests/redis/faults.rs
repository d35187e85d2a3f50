//! Servers that refuse, fill up, load, lie, or break off in the middle of a frame.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use redis_service::{Mode, Options, RedisServiceError, SetOptions};
use testkit::redis::RedisServer;
use testkit::{Direction, FaultProxy};

use crate::support::{connect, get, options, server, service, set, text, until, until_mode};

#[tokio::test]
async fn a_full_redis_says_so_and_the_old_value_is_not_taken_for_the_new() {
    let server = RedisServer::builder().maxmemory("3mb").start().unwrap();
    let service = service(server.url()).await;
    set(&service, "k", "old").await;
    let large = text("x".repeat(4 << 20));
    let error = loop {
        // What is too much for the limit is noticed by the command after it.
        if let Err(error) = service.set("k", &large, &SetOptions::default()).await {
            break error;
        }
    };
    assert!(matches!(&error, RedisServiceError::Storage { message } if message.contains("OOM")), "{error:?}");
    assert!(error.retryable());
    assert_eq!(service.status().mode, Mode::Redis, "a full server is not away");
}

#[tokio::test]
async fn a_server_that_became_a_replica_is_left_until_it_is_a_master_again() {
    let (server, other) = (server(), server());
    let service = service(server.url()).await;
    server.cli(&["REPLICAOF", "127.0.0.1", &other.port().to_string()]).unwrap();
    let refused = service.set("k", &text("v"), &SetOptions::default()).await;
    if let Err(error) = refused {
        assert!(error.retryable(), "{error}");
    }
    server.cli(&["REPLICAOF", "NO", "ONE"]).unwrap();
    until_mode(&service, Mode::Redis).await;
    set(&service, "k", "v").await;
    assert_eq!(server.cli(&["GET", "k"]).unwrap(), "v");
}

#[tokio::test]
async fn a_rotated_password_is_an_outage_that_ends_with_the_right_one() {
    let server = RedisServer::builder().acl_user("app", "one", "~* &* +@all").start().unwrap();
    let service = service(server.url_for("app").unwrap()).await;
    set(&service, "k", "v").await;
    server.cli(&["ACL", "SETUSER", "app", "resetpass", ">two"]).unwrap();
    server.cli(&["CLIENT", "KILL", "USER", "app"]).unwrap();
    until_mode(&service, Mode::Fallback).await;
    until("the reason", || service.status().last_error.is_some_and(|error| error.contains("WRONGPASS")))
        .await;
    assert_eq!(get(&service, "k").await, None);
    server.cli(&["ACL", "SETUSER", "app", "resetpass", ">one"]).unwrap();
    until_mode(&service, Mode::Redis).await;
    assert_eq!(get(&service, "k").await.as_deref(), Some("v"));
}

#[tokio::test]
async fn a_frame_that_breaks_off_is_a_lost_connection_and_no_value() {
    let server = server();
    server.cli(&["SET", "k", &"x".repeat(100_000)]).unwrap();
    let proxy = FaultProxy::start(std::net::SocketAddr::from(([127, 0, 0, 1], server.port()))).await.unwrap();
    // Without the near tier, which would answer the second read.
    let service =
        connect(Options { near_cache: false, ..options(format!("redis://{}", proxy.addr())) }).await;
    for cut in [1, 7, 1000, 60_000] {
        until_mode(&service, Mode::Redis).await;
        proxy.reset_after(Direction::Downstream, cut);
        assert!(get(&service, "k").await.is_none(), "{cut}");
        until_mode(&service, Mode::Redis).await;
        let again = get(&service, "k").await.map(|value| value.len());
        assert!(again.is_none_or(|length| length == 100_000), "{again:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_loading_is_away_until_it_has_loaded() {
    // Redis answers everything but HELLO like this while it reads its file.
    let (address, _thread) = scripted(|line| {
        if line.contains("HELLO") {
            "%1\r\n$2\r\nid\r\n:7\r\n"
        } else {
            "-LOADING Redis is loading the dataset in memory\r\n"
        }
    });
    let service = service(format!("redis://{address}")).await;
    assert_eq!(service.status().mode, Mode::Fallback);
    assert!(service.status().last_error.unwrap().contains("LOADING"));
    assert_eq!(get(&service, "k").await, None);
}

#[tokio::test]
async fn something_that_is_no_redis_is_named_and_does_not_hang() {
    let (address, _thread) = scripted(|_| "HTTP/1.1 400 Bad Request\r\n\r\n");
    let service = service(format!("redis://{address}")).await;
    let status = service.status();
    assert_eq!(status.mode, Mode::Fallback);
    assert!(status.last_error.as_deref().unwrap().contains("expected RESP"), "{status:?}");
}

#[tokio::test]
async fn an_older_redis_without_resp3_works_without_the_near_tier() {
    let (address, _thread) = scripted(|line| {
        if line.contains("HELLO") {
            "-ERR unknown command 'HELLO'\r\n"
        } else if line.contains("PING") {
            "+PONG\r\n"
        } else {
            "$1\r\nv\r\n:-1\r\n"
        }
    });
    let service = service(format!("redis://{address}")).await;
    assert_eq!(service.status().mode, Mode::Redis);
    for _ in 0..3 {
        assert_eq!(get(&service, "k").await.as_deref(), Some("v"));
    }
    assert_eq!(service.stats().near_hits, 0, "nobody would tell of changes");
}

#[tokio::test]
async fn a_very_large_value_passes_and_does_not_end_the_connection_for_others() {
    let server = server();
    let service = Arc::new(
        connect(Options { command_timeout_ms: 20_000, read_budget_ms: 20_000, ..options(server.url()) })
            .await,
    );
    let large = "x".repeat(100 << 20);
    set(&service, "large", &large).await;
    let (value, defaults) = (text("v"), SetOptions::default());
    let (whole, small) = tokio::join!(get(&service, "large"), service.set("small", &value, &defaults));
    assert_eq!(whole.map(|value| value.len()), Some(large.len()));
    assert!(small.unwrap());
    assert_eq!((service.status().mode, service.stats().reconnects), (Mode::Redis, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_load_every_call_ends_and_what_follows_works() {
    let server = server();
    let service = Arc::new(service(server.url()).await);
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..50 {
        let service = Arc::clone(&service);
        clients.spawn(async move {
            for n in 0..200 {
                let key = format!("{client}:{n}");
                // Every outcome is allowed but a hang or a wrong value.
                let _ = service.set(&key, &text(key.clone()), &SetOptions::default()).await;
                if let Some(value) = get(&service, &key).await {
                    assert_eq!(value, key);
                }
            }
        });
    }
    tokio::time::sleep(Duration::from_millis(30)).await;
    server.kill();
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.restart().unwrap();
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    until_mode(&service, Mode::Redis).await;
    set(&service, "k", "v").await;
    assert_eq!(get(&service, "k").await.as_deref(), Some("v"));
}

/// A server that answers each command as the function says.
fn scripted(answer: fn(&str) -> &'static str) -> (std::net::SocketAddr, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::Builder::new()
        .name("scripted-redis".to_owned())
        .spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let mut buffer = [0_u8; 4096];
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    let line = String::from_utf8_lossy(&buffer[..count]).into_owned();
                    if stream.write_all(answer(&line).as_bytes()).is_err() {
                        break;
                    }
                }
            }
        })
        .unwrap();
    (address, thread)
}
