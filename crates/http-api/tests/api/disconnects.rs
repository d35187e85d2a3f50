use std::time::Duration;

use serde_json::json;
use testkit::{Answer, Behaviour};
use tokio::io::AsyncWriteExt;

use crate::support::{Gateway, PATIENCE, chat};

/// From the client's close to the provider's noticing it; the design allows 100 ms.
const PROMPT: Duration = Duration::from_millis(100);

async fn raw_request(gateway: &Gateway, body: &str) -> tokio::net::TcpStream {
    let mut stream = gateway.connect().await;
    let (addr, length) = (gateway.addr, body.len());
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {addr}\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_closes_the_upstream() {
    let gateway = Gateway::start().await;
    let endless = Answer::tokens(100_000).paced(Duration::from_millis(5));
    gateway.provider.set_default(Behaviour::Answer(endless));
    let mut exchange = gateway.stream("/v1/chat/completions", chat(true)).await;
    assert!(exchange.next().await.is_some());
    drop(exchange);
    gateway.provider.wait_for_disconnect(PROMPT).await.expect("the upstream is closed");
}

#[tokio::test]
async fn a_client_that_leaves_a_silent_stream_closes_the_upstream() {
    let gateway = Gateway::start().await;
    gateway.provider.set_default(Behaviour::StallAfter { chunks: 1, answer: Answer::tokens(9) });
    let mut exchange = gateway.stream("/v1/chat/completions", chat(true)).await;
    assert!(exchange.next().await.is_some());
    drop(exchange);
    gateway.provider.wait_for_disconnect(PROMPT).await.expect("the upstream is closed");
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_closes_the_upstream() {
    for stream in [false, true] {
        let gateway = Gateway::start().await;
        gateway.provider.set_default(Behaviour::Hang);
        let client = raw_request(&gateway, &chat(stream)).await;
        gateway.provider.wait_for_requests(1).await.unwrap();
        drop(client);
        gateway.provider.wait_for_disconnect(PROMPT).await.expect("the upstream is closed");
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_the_wait_is_bridged_closes_the_upstream() {
    let gateway = Gateway::with(json!({ "hold_ms": 10 })).await;
    gateway.provider.set_default(Behaviour::Hang);
    let mut exchange = gateway.stream("/v1/chat/completions", chat(true)).await;
    assert_eq!(exchange.next().await.as_deref(), Some(": keep-alive\n\n"));
    drop(exchange);
    gateway.provider.wait_for_disconnect(PROMPT).await.expect("the upstream is closed");
}

#[tokio::test]
async fn nothing_is_left_of_a_client_that_went_away() {
    let gateway = Gateway::start().await;
    gateway.provider.set_default(Behaviour::Hang);
    let client = raw_request(&gateway, &chat(true)).await;
    gateway.provider.wait_for_requests(1).await.unwrap();
    assert_eq!(gateway.metric("uat_in_flight").await, 1.0);
    drop(client);
    gateway.provider.wait_for_disconnect(PATIENCE).await.unwrap();
    assert_eq!(gateway.metric("uat_in_flight").await, 0.0);
    assert_eq!(gateway.metric("uat_errors_total").await, 0.0, "a client that went away is no error");
}
