//! A client of raw bytes, which hides nothing.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test file uses its part")]

use std::time::Duration;

use serde_json::Value;
use testkit::{Behaviour, FakeProvider};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const CHAT: &str = "/v1/chat/completions";
pub(crate) const MESSAGES: &str = "/v1/messages";
pub(crate) const ANTHROPIC: &str = "anthropic-version: 2023-06-01\r\n";

pub(crate) async fn provider_that(behaviour: Behaviour) -> FakeProvider {
    let provider = FakeProvider::start().await.unwrap();
    provider.set_default(behaviour);
    provider
}

/// Sends one request over `socket` and returns everything until the provider closes.
pub(crate) async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    mut socket: S,
    path: &str,
    headers: &str,
    body: &str,
) -> Vec<u8> {
    let method = if body.is_empty() { "GET" } else { "POST" };
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(10), socket.read_to_end(&mut bytes)).await.unwrap();
    bytes
}

/// The answer to one request on a connection of its own.
pub(crate) async fn ask(provider: &FakeProvider, path: &str, headers: &str, body: &str) -> String {
    let socket = TcpStream::connect(provider.addr()).await.unwrap();
    String::from_utf8_lossy(&exchange(socket, path, headers, body).await).into_owned()
}

/// The status of an answer.
pub(crate) fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default()
}

/// The body of an answer that has a length, as JSON.
pub(crate) fn json(answer: &str) -> Value {
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// The documents of a streamed answer, in their order; `[DONE]` is none.
pub(crate) fn documents(answer: &str) -> Vec<Value> {
    let line = |line: &str| line.strip_prefix("data: ").unwrap_or(line).to_owned();
    answer
        .lines()
        .map(line)
        .filter_map(|line| serde_json::from_str(&line).ok())
        .filter(Value::is_object)
        .collect()
}
