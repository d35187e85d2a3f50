//! The fault proxy between a client and a real Redis: a frame cut in the middle, a silent direction, all connections gone.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use testkit::redis::RedisServer;
use testkit::{Direction, FaultProxy, Mode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Long enough for loopback, short enough for a test.
const SILENCE: Duration = Duration::from_millis(100);

/// A server whose key `k` holds `value`, and a proxy before it.
async fn redis_behind_a_proxy() -> (RedisServer, FaultProxy) {
    let server = RedisServer::start().unwrap();
    server.cli(&["SET", "k", "value"]).unwrap();
    let addr: SocketAddr = server.address().parse().unwrap();
    (server, FaultProxy::start(addr).await.unwrap())
}

/// Sends a command and reads as many bytes as `answer` has, which must be those.
async fn ask(socket: &mut TcpStream, command: &str, answer: &str) {
    socket.write_all(format!("{command}\r\n").as_bytes()).await.unwrap();
    let mut bytes = vec![0; answer.len()];
    socket.read_exact(&mut bytes).await.unwrap();
    assert_eq!(String::from_utf8(bytes).unwrap(), answer);
}

#[tokio::test]
async fn an_answer_is_cut_in_the_middle_of_its_frame_and_reset() {
    let (_server, proxy) = redis_behind_a_proxy().await;
    let mut socket = TcpStream::connect(proxy.addr()).await.unwrap();
    ask(&mut socket, "PING", "+PONG\r\n").await;
    proxy.reset_after(Direction::Downstream, 6);
    ask(&mut socket, "GET k", "$5\r\nva").await;
    assert_eq!(socket.read(&mut [0; 16]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let mut next = TcpStream::connect(proxy.addr()).await.unwrap();
    ask(&mut next, "GET k", "$5\r\nvalue\r\n").await;
}

#[tokio::test]
async fn a_request_is_cut_in_the_middle_and_redis_does_nothing() {
    let (server, proxy) = redis_behind_a_proxy().await;
    let mut socket = TcpStream::connect(proxy.addr()).await.unwrap();
    ask(&mut socket, "PING", "+PONG\r\n").await;
    let request = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\nnew\r\n";
    proxy.reset_after(Direction::Upstream, request.len() as u64 - 3);
    socket.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(socket.read(&mut [0; 16]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(server.cli(&["GET", "k"]).unwrap(), "value");
}

#[tokio::test]
async fn a_write_is_done_while_its_answer_is_held_back() {
    let (server, proxy) = redis_behind_a_proxy().await;
    let mut socket = TcpStream::connect(proxy.addr()).await.unwrap();
    ask(&mut socket, "PING", "+PONG\r\n").await;
    proxy.stall(Direction::Downstream);
    socket.write_all(b"SET k new\r\n").await.unwrap();
    assert!(timeout(SILENCE, socket.read(&mut [0; 16])).await.is_err());
    assert_eq!(server.cli(&["GET", "k"]).unwrap(), "new");
    proxy.resume(Direction::Downstream);
    ask(&mut socket, "PING", "+OK\r\n+PONG\r\n").await;
}

#[tokio::test]
async fn a_request_that_is_held_back_is_done_late() {
    let (server, proxy) = redis_behind_a_proxy().await;
    let mut socket = TcpStream::connect(proxy.addr()).await.unwrap();
    ask(&mut socket, "SUBSCRIBE c", "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n").await;
    proxy.stall(Direction::Upstream);
    socket.write_all(b"UNSUBSCRIBE c\r\n").await.unwrap();
    assert!(timeout(SILENCE, socket.read(&mut [0; 16])).await.is_err());
    // The other direction goes on: the client is still subscribed, and hears.
    assert_eq!(server.cli(&["PUBLISH", "c", "m"]).unwrap(), "1");
    let message = "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n";
    ask(&mut socket, "", message).await;
    proxy.resume(Direction::Upstream);
    ask(&mut socket, "", "*3\r\n$11\r\nunsubscribe\r\n$1\r\nc\r\n:0\r\n").await;
}

#[tokio::test]
async fn all_connections_end_at_once_and_redis_notices() {
    let (server, proxy) = redis_behind_a_proxy().await;
    let mut sockets = Vec::new();
    for _ in 0..10 {
        let mut socket = TcpStream::connect(proxy.addr()).await.unwrap();
        ask(&mut socket, "PING", "+PONG\r\n").await;
        sockets.push(socket);
    }
    proxy.disconnect_all();
    for socket in &mut sockets {
        assert!(matches!(socket.read(&mut [0; 16]).await, Ok(0) | Err(_)));
    }
    // One is the connection that asks.
    while server.info("connected_clients").unwrap().as_deref() != Some("1") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    ask(&mut TcpStream::connect(proxy.addr()).await.unwrap(), "PING", "+PONG\r\n").await;
}

#[tokio::test]
async fn a_restarted_redis_is_reached_through_the_same_proxy() {
    let (server, proxy) = redis_behind_a_proxy().await;
    let mut socket = TcpStream::connect(proxy.addr()).await.unwrap();
    ask(&mut socket, "GET k", "$5\r\nvalue\r\n").await;
    server.kill();
    assert!(matches!(socket.read(&mut [0; 16]).await, Ok(0) | Err(_)));
    proxy.set_mode(Mode::Refuse).await.unwrap();
    assert!(TcpStream::connect(proxy.addr()).await.is_err());
    server.restart().unwrap();
    proxy.set_mode(Mode::Pass).await.unwrap();
    ask(&mut TcpStream::connect(proxy.addr()).await.unwrap(), "GET k", "$-1\r\n").await;
}
