use std::time::Duration;

use serde_json::json;
use testkit::{Answer, Behaviour};

use crate::support::{Gateway, chat};

#[tokio::test]
async fn running_answers_finish_and_nobody_new_is_let_in() {
    let mut gateway = Gateway::start().await;
    let answer = Answer::tokens(20).paced(Duration::from_millis(10));
    gateway.provider.set_default(Behaviour::Answer(answer.clone()));
    let mut exchange = gateway.stream("/v1/chat/completions", chat(true)).await;
    let begun = exchange.next().await.unwrap();
    gateway.shutdown.cancel();
    let mut reply = exchange.whole().await;
    reply.body.insert_str(0, &begun);
    assert_eq!(reply.streamed_text(), answer.full_text());
    assert!(reply.body.ends_with("data: [DONE]\n\n"));
    gateway.ended().await;
    assert!(tokio::net::TcpStream::connect(gateway.addr).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_the_shutdown() {
    let mut gateway = Gateway::start().await;
    let idle = gateway.connect().await;
    assert_eq!(gateway.metric("uat_http_connections").await, 2.0);
    gateway.shutdown.cancel();
    gateway.ended().await;
    drop(idle);
}

#[tokio::test]
async fn what_does_not_finish_in_time_is_cut_and_its_upstream_closed() {
    let mut gateway = Gateway::with(json!({ "drain_timeout_s": 0 })).await;
    gateway.provider.set_default(Behaviour::StallAfter { chunks: 1, answer: Answer::tokens(9) });
    let mut exchange = gateway.stream("/v1/chat/completions", chat(true)).await;
    exchange.next().await.unwrap();
    gateway.shutdown.cancel();
    gateway.ended().await;
    gateway.provider.wait_for_disconnect(Duration::from_secs(1)).await.expect("the upstream is closed");
}

#[tokio::test]
async fn a_closed_runtime_refuses_with_its_own_code() {
    let gateway = Gateway::start().await;
    gateway.runtime.close().await;
    let reply = gateway.post("/v1/chat/completions", chat(false)).await;
    assert_eq!((reply.status, reply.header("x-uat-code")), (503, Some("UAT_CLOSED")));
    assert_eq!(reply.header("retry-after"), Some("1"));
}
