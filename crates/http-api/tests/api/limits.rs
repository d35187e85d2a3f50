use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Gateway, PATIENCE, chat, chat_with};

/// What a client reads that writes `bytes` as they are.
async fn raw(gateway: &Gateway, bytes: &[u8]) -> String {
    let mut stream = gateway.connect().await;
    // The server may answer, and close, before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(PATIENCE, reading).await.expect("the connection is closed in time");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_announced_or_not() {
    let gateway = Gateway::with(json!({ "max_body_mb": 1 })).await;
    let large = chat_with(json!({ "padding": "x".repeat(1 << 20) }));
    let reply = gateway.post("/v1/chat/completions", large.clone()).await;
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (413, &json!("request_too_large")));
    let host = gateway.addr;
    let chunked = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{large}\r\n0\r\n\r\n",
        large.len()
    );
    assert!(raw(&gateway, chunked.as_bytes()).await.starts_with("HTTP/1.1 413 "));
    assert!(gateway.provider.requests().is_empty());
    let fits = chat_with(json!({ "padding": "x".repeat((1 << 20) - 200) }));
    assert_eq!(gateway.post("/v1/chat/completions", fits).await.status, 200);
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let gateway = Gateway::start().await;
    let (host, flood) = (gateway.addr, "x".repeat(40 << 10));
    let one = format!("GET / HTTP/1.1\r\nhost: {host}\r\ncookie: {flood}\r\n\r\n");
    assert!(raw(&gateway, one.as_bytes()).await.starts_with("HTTP/1.1 431 "));
    let many: String = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect();
    let many = format!("GET / HTTP/1.1\r\nhost: {host}\r\n{many}\r\n");
    assert!(raw(&gateway, many.as_bytes()).await.starts_with("HTTP/1.1 431 "));
}

#[tokio::test]
async fn what_is_not_http_is_refused() {
    let gateway = Gateway::start().await;
    assert!(raw(&gateway, b"\x16\x03\x01\x02\x00 hello over TLS\r\n\r\n").await.starts_with("HTTP/1.1 400 "));
    assert_eq!(gateway.get("/health/live").await.status, 200);
}

#[tokio::test]
async fn several_requests_share_a_connection() {
    let gateway = Gateway::start().await;
    let mut stream = gateway.connect().await;
    let (host, body) = (gateway.addr, chat(false));
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let last = format!("GET /health/live HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(format!("{request}{request}{last}").as_bytes()).await.unwrap();
    let mut answers = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answers)).await.expect("in time").unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 3, "{answers}");
    assert_eq!(gateway.metric("uat_http_connections_total").await, 2.0);
}

#[tokio::test]
async fn connections_over_the_limit_wait_their_turn() {
    let gateway = Gateway::with(json!({ "max_connections": 1 })).await;
    let first = gateway.connect().await;
    // The only place is taken: the second request is answered as soon as the first connection ends.
    let second = gateway.get("/health/live");
    tokio::pin!(second);
    assert!(futures_util::poll!(&mut second).is_pending());
    let request = format!("GET /health/live HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", gateway.addr);
    let mut first = first;
    first.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    first.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"));
    drop(first);
    assert_eq!(second.await.status, 200);
}
