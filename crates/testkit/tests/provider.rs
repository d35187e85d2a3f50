//! The fake provider does what it says: checked with a client of raw bytes, which hides nothing.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use testkit::{Answer, Behaviour, FakeProvider, Vectors};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

const CHAT: &str = "/v1/chat/completions";

/// A request with a streaming or a plain chat body.
fn request(path: &str, stream: bool) -> String {
    let body = format!(r#"{{"model":"m","stream":{stream},"messages":[{{"role":"user","content":"hi"}}]}}"#);
    format!("POST {path} HTTP/1.1\r\nhost: t\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// Sends one request on a fresh connection and returns everything until the provider closes or falls silent.
async fn ask(provider: &FakeProvider, path: &str, stream: bool) -> String {
    let mut socket = TcpStream::connect(provider.addr()).await.unwrap();
    let last = request(path, stream).replacen("host: t\r\n", "host: t\r\nconnection: close\r\n", 1);
    socket.write_all(last.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), socket.read_to_end(&mut bytes)).await.unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads until `needle` has arrived.
async fn read_until(socket: &mut TcpStream, needle: &str) -> String {
    let mut bytes = Vec::new();
    while !String::from_utf8_lossy(&bytes).contains(needle) {
        assert!(socket.read_buf(&mut bytes).await.unwrap() > 0, "closed before {needle:?}");
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn provider_that(behaviour: Behaviour) -> FakeProvider {
    let provider = FakeProvider::start().await.unwrap();
    provider.set_default(behaviour);
    provider
}

#[tokio::test]
async fn an_openai_answer_is_whole_or_streamed_as_asked() {
    let provider = provider_that(Behaviour::Answer(Answer::text("Hello there."))).await;
    let whole = ask(&provider, CHAT, false).await;
    assert!(whole.contains(r#""content":"Hello there.""#), "{whole}");
    let stream = ask(&provider, CHAT, true).await;
    assert!(stream.contains("content-type: text/event-stream"));
    assert!(stream.ends_with("data: [DONE]\n\n\r\n0\r\n\r\n"), "{stream}");
}

#[tokio::test]
async fn an_ollama_answer_is_lines_of_json() {
    let provider = provider_that(Behaviour::Answer(Answer::tokens(3))).await;
    let stream = ask(&provider, "/api/chat", true).await;
    assert!(stream.contains("content-type: application/x-ndjson"));
    assert_eq!(stream.matches(r#""done":false"#).count(), 3);
    assert_eq!(stream.matches(r#""done":true"#).count(), 1);
    let whole = ask(&provider, "/api/chat", false).await;
    assert!(whole.contains(r#""content":"t0 t1 t2""#), "{whole}");
}

/// The body that a request for embeddings gets.
async fn embed(provider: &FakeProvider, path: &str, body: &str) -> String {
    let mut socket = TcpStream::connect(provider.addr()).await.unwrap();
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}

#[tokio::test]
async fn embeddings_tell_their_input_in_every_way_of_writing_them() {
    let provider = provider_that(Behaviour::Vectors(Vectors { dimensions: 3, ..Vectors::default() })).await;
    let texts = embed(&provider, "/v1/embeddings", r#"{"model":"m","input":["@","@\u0080"]}"#).await;
    let vectors =
        r#""index":0,"embedding":[0.25,0.25,0.25]},{"object":"embedding","index":1,"embedding":[0.25,"#;
    assert!(texts.contains(vectors) && texts.contains(r#""prompt_tokens":14"#), "{texts}");
    let tokens = r#"{"model":"m","input":[64,512],"dimensions":2,"encoding_format":"base64"}"#;
    let base64 = embed(&provider, "/v1/embeddings", tokens).await;
    assert!(base64.contains(r#""embedding":"AACAPgAAAEA=""#), "{base64}");
    let ollama = embed(&provider, "/api/embed", r#"{"model":"m","input":"@"}"#).await;
    assert!(ollama.contains(r#""embeddings":[[0.25,0.25,0.25]]"#), "{ollama}");
}

#[tokio::test]
async fn embeddings_are_written_or_left_out_as_told_and_take_part_in_the_script() {
    let shape = Vectors { dimensions: 1, base64: Some(false), missing: 1 };
    let provider = provider_that(Behaviour::Vectors(shape)).await;
    provider.enqueue(Behaviour::status(503));
    let body = r#"{"model":"m","input":["@","@"],"encoding_format":"base64"}"#;
    assert!(embed(&provider, "/v1/embeddings", body).await.contains("was told to answer 503"));
    let one = embed(&provider, "/v1/embeddings", body).await;
    assert!(one.contains(r#""data":[{"object":"embedding","index":0,"embedding":[0.25]}],"#), "{one}");
    assert!(embed(&provider, "/v1/embeddings", r#"{"model":"m","input":""}"#).await.contains("not empty"));
}

#[tokio::test]
async fn queued_behaviours_come_first_and_listings_do_not_use_them_up() {
    let provider = provider_that(Behaviour::default()).await;
    provider.enqueue(Behaviour::status(503));
    provider.enqueue(Behaviour::rate_limited(2));
    let mut socket = TcpStream::connect(provider.addr()).await.unwrap();
    socket.write_all(b"GET /v1/models HTTP/1.1\r\nhost: t\r\n\r\n").await.unwrap();
    assert!(read_until(&mut socket, "fake-model").await.starts_with("HTTP/1.1 200"));
    assert!(ask(&provider, CHAT, false).await.starts_with("HTTP/1.1 503"));
    let limited = ask(&provider, CHAT, false).await;
    assert!(limited.starts_with("HTTP/1.1 429") && limited.contains("retry-after: 2\r\n"), "{limited}");
    assert!(ask(&provider, CHAT, false).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_connection_serves_several_requests() {
    let provider = provider_that(Behaviour::Answer(Answer::tokens(2))).await;
    let mut socket = TcpStream::connect(provider.addr()).await.unwrap();
    for _ in 0..3 {
        socket.write_all(request(CHAT, true).as_bytes()).await.unwrap();
        read_until(&mut socket, "0\r\n\r\n").await;
    }
    let connections: Vec<_> = provider.requests().iter().map(|request| request.connection).collect();
    assert_eq!(connections, [0, 0, 0]);
}

#[tokio::test]
async fn every_fault_leaves_the_answer_incomplete() {
    let answer = Answer::tokens(20);
    let chunks = 10;
    for behaviour in [
        Behaviour::CloseBeforeResponse,
        Behaviour::CloseBeforeContent,
        Behaviour::SseErrorBeforeContent,
        Behaviour::CutAfter { chunks, answer: answer.clone() },
        Behaviour::ResetAfter { chunks, answer: answer.clone() },
        Behaviour::EndAfter { chunks, answer: answer.clone() },
        Behaviour::ErrorEventAfter { chunks, answer: answer.clone() },
        Behaviour::ErrorInside200,
        Behaviour::Garbage,
        Behaviour::NotHttp,
    ] {
        let provider = provider_that(behaviour.clone()).await;
        let stream = ask(&provider, CHAT, true).await;
        assert!(!stream.contains("[DONE]") && !stream.contains(" t19"), "{behaviour:?} streamed {stream}");
        let whole = ask(&provider, CHAT, false).await;
        let complete = whole.contains(r#""content":"t0 "#) && whole.trim_end().ends_with('}');
        assert!(!complete, "{behaviour:?} answered {whole}");
        assert!(provider.disconnects().is_empty(), "{behaviour:?}: the provider ended it, not the client");
    }
}

#[tokio::test]
async fn a_cut_stream_has_the_chunks_before_the_cut() {
    let provider = provider_that(Behaviour::CutAfter { chunks: 10, answer: Answer::tokens(20) }).await;
    let stream = ask(&provider, CHAT, true).await;
    assert!(stream.contains(" t9") && !stream.contains(" t10"), "{stream}");
}

#[tokio::test]
async fn a_reset_is_a_reset_and_not_an_end() {
    let provider = provider_that(Behaviour::ResetAfter { chunks: 0, answer: Answer::tokens(1) }).await;
    let mut socket = TcpStream::connect(provider.addr()).await.unwrap();
    socket.write_all(request(CHAT, true).as_bytes()).await.unwrap();
    let error = socket.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_client_that_leaves_a_hanging_or_stalled_answer_is_seen_at_once() {
    for behaviour in [Behaviour::Hang, Behaviour::StallAfter { chunks: 2, answer: Answer::tokens(20) }] {
        let provider = provider_that(behaviour).await;
        let mut socket = TcpStream::connect(provider.addr()).await.unwrap();
        socket.write_all(request(CHAT, true).as_bytes()).await.unwrap();
        provider.wait_for_requests(1).await.unwrap();
        assert_eq!(provider.open_connections(), 1);
        let left = Instant::now();
        drop(socket);
        let seen = provider.wait_for_disconnect(Duration::from_secs(5)).await.unwrap();
        assert!(seen.at >= left && seen.request == 0);
        provider.wait_for_open_connections(0).await.unwrap();
    }
}

#[tokio::test]
async fn a_client_that_leaves_between_chunks_is_seen_and_the_rest_is_not_sent() {
    let paced = Answer::tokens(1000).paced(Duration::from_millis(20));
    let provider = provider_that(Behaviour::Answer(paced)).await;
    let mut socket = TcpStream::connect(provider.addr()).await.unwrap();
    socket.write_all(request(CHAT, true).as_bytes()).await.unwrap();
    read_until(&mut socket, "t0").await;
    drop(socket);
    let seen = provider.wait_for_disconnect(Duration::from_secs(5)).await.unwrap();
    assert!(seen.sent_bytes > 0 && seen.sent_bytes < 10_000, "{seen:?}");
}

#[tokio::test]
async fn each_disconnect_is_handed_out_once_and_in_order() {
    let provider = provider_that(Behaviour::Hang).await;
    for index in 0..3 {
        let mut socket = TcpStream::connect(provider.addr()).await.unwrap();
        socket.write_all(request(CHAT, true).as_bytes()).await.unwrap();
        provider.wait_for_requests(index + 1).await.unwrap();
        drop(socket);
        provider.wait_for_open_connections(0).await.unwrap();
    }
    for index in 0..3 {
        assert_eq!(provider.wait_for_disconnect(Duration::from_secs(5)).await.unwrap().request, index);
    }
    assert!(provider.wait_for_disconnect(Duration::ZERO).await.is_err());
    assert_eq!(provider.disconnects().len(), 3);
}

#[tokio::test]
async fn a_client_that_leaves_after_its_answer_is_no_disconnect() {
    let provider = provider_that(Behaviour::Answer(Answer::tokens(2))).await;
    let mut socket = TcpStream::connect(provider.addr()).await.unwrap();
    socket.write_all(request(CHAT, true).as_bytes()).await.unwrap();
    read_until(&mut socket, "0\r\n\r\n").await;
    drop(socket);
    provider.wait_for_open_connections(0).await.unwrap();
    assert!(provider.disconnects().is_empty());
}

#[tokio::test]
async fn a_request_is_remembered_as_it_arrived() {
    let provider = provider_that(Behaviour::default()).await;
    ask(&provider, CHAT, false).await;
    let requests = provider.wait_for_requests(1).await.unwrap();
    assert_eq!((requests[0].method.as_str(), requests[0].path.as_str()), ("POST", CHAT));
    assert_eq!(requests[0].header("connection"), Some("close"));
    assert_eq!(requests[0].json()["messages"][0]["content"], "hi");
}

#[tokio::test]
async fn a_malformed_request_is_refused_with_a_reason() {
    let provider = provider_that(Behaviour::default()).await;
    let mut socket = TcpStream::connect(provider.addr()).await.unwrap();
    socket.write_all(b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
    let answer = read_until(&mut socket, "}}").await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("`model` must be a string"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_not_met_says_what_was_seen() {
    let provider = provider_that(Behaviour::default()).await;
    let error = provider.wait_for_requests(1).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "waited 10s for 1 requests, saw 0 requests, 0 disconnects, 0 open connections"
    );
}

#[tokio::test]
async fn the_same_provider_answers_on_a_unix_socket() {
    let provider = provider_that(Behaviour::Answer(Answer::text("from the socket"))).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    provider.also_on_unix(&path).unwrap();
    let mut socket = UnixStream::connect(&path).await.unwrap();
    socket.write_all(request(CHAT, false).as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    while !String::from_utf8_lossy(&bytes).contains("from the socket") {
        assert!(socket.read_buf(&mut bytes).await.unwrap() > 0);
    }
}

#[tokio::test]
async fn after_shutdown_nothing_listens_and_no_connection_is_open() {
    let provider = provider_that(Behaviour::Hang).await;
    let mut socket = TcpStream::connect(provider.addr()).await.unwrap();
    socket.write_all(request(CHAT, true).as_bytes()).await.unwrap();
    provider.wait_for_requests(1).await.unwrap();
    provider.shutdown().await;
    assert_eq!(provider.open_connections(), 0);
    assert!(TcpStream::connect(provider.addr()).await.is_err());
    assert_eq!(socket.read(&mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_refused_address_refuses() {
    let refused = testkit::refused_addr().unwrap();
    let error = TcpStream::connect(*refused).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(FakeProvider::start_on(refused.port()).await.is_err(), "the port is nobody else's either");
}

#[tokio::test]
async fn an_answer_may_be_decided_by_what_is_asked() {
    let provider = provider_that(Behaviour::status(500)).await;
    provider.decide_by(|path, body| match String::from_utf8_lossy(body).contains(r#""stream":true"#) {
        true if path == CHAT => Behaviour::status(503),
        true => Behaviour::status(404),
        false => Behaviour::Answer(Answer::text("Four.")),
    });
    provider.enqueue(Behaviour::status(429));
    assert!(ask(&provider, CHAT, true).await.starts_with("HTTP/1.1 429"), "what is queued comes first");
    assert!(ask(&provider, CHAT, true).await.starts_with("HTTP/1.1 503"));
    assert!(ask(&provider, CHAT, false).await.contains("Four."));
    provider.set_default(Behaviour::status(500));
    assert!(ask(&provider, CHAT, false).await.starts_with("HTTP/1.1 500"));
}
