//! Nothing that a client or an endpoint names is fetched, and nothing is unpacked.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::Behaviour;
use tokio::net::TcpListener;

use crate::support::{Exchange, Gateway, chat, chat_with};

/// An address that notices when somebody connects to it.
struct Bait(TcpListener);

impl Bait {
    async fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn addr(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// A connection that was made is in the listener's queue by now: whoever made it has had its answer.
    async fn was_left_alone(&self) -> bool {
        tokio::time::timeout(Duration::from_millis(1), self.0.accept()).await.is_err()
    }
}

/// A question about an image at this address, in each of the clients' dialects.
fn questions(image: &str) -> [(&'static str, Value); 4] {
    [
        (
            "/v1/chat/completions",
            json!({ "model": "m", "messages": [{ "role": "user", "content": [
                { "type": "text", "text": "What is this?" }, { "type": "image_url", "image_url": { "url": image } }] }] }),
        ),
        (
            "/v1/responses",
            json!({ "model": "m", "input": [{ "role": "user", "content": [
                { "type": "input_text", "text": "What is this?" }, { "type": "input_image", "image_url": image }] }] }),
        ),
        (
            "/v1/messages",
            json!({ "model": "m", "max_tokens": 9, "messages": [{ "role": "user", "content": [
                { "type": "text", "text": "What is this?" },
                { "type": "image", "source": { "type": "url", "url": image } }] }] }),
        ),
        (
            "/v1beta/models/m:generateContent",
            json!({ "contents": [{ "role": "user", "parts": [
                { "text": "What is this?" }, { "fileData": { "fileUri": image, "mimeType": "image/png" } }] }] }),
        ),
    ]
}

#[tokio::test]
async fn an_address_in_a_question_is_passed_on_or_refused_and_never_fetched() {
    let bait = Bait::new().await;
    let image = format!("http://{}/image.png", bait.addr());
    for protocol in ["openai", "azure", "anthropic", "gemini", "ollama"] {
        let gateway = Gateway::speaking(protocol).await;
        for (path, question) in questions(&image) {
            let reply = gateway.post(path, question.to_string()).await;
            let passed_on = gateway.provider.requests();
            match reply.status {
                200 => {
                    let asked = String::from_utf8(passed_on.last().unwrap().body.to_vec()).unwrap();
                    assert!(asked.contains(&image), "{protocol} {path}: the address as it was: {asked}");
                }
                400 => assert!(passed_on.is_empty(), "{protocol} {path}: {}", reply.body),
                status => panic!("{protocol} {path}: {status} {}", reply.body),
            }
            gateway.provider.reset();
        }
    }
    assert!(bait.was_left_alone().await, "somebody fetched the client's address");
}

#[tokio::test]
async fn where_an_endpoint_is_asked_no_request_can_say() {
    let bait = Bait::new().await;
    let elsewhere = format!("http://{}", bait.addr());
    let gateway = Gateway::start().await;
    // The names under which other gateways took an address from the body.
    let fields = json!({ "api_base": elsewhere, "base_url": elsewhere, "custom_llm_provider": "openai",
        "extra_headers": { "x": "y" }, "user_config": { "model_list": [] } });
    let reply = gateway.post("/v1/chat/completions", chat_with(fields)).await;
    assert_eq!((reply.status, gateway.provider.requests().len()), (200, 1), "{}", reply.body);
    assert!(bait.was_left_alone().await);
}

#[tokio::test]
async fn an_endpoints_redirect_is_a_failure_and_not_followed() {
    let bait = Bait::new().await;
    let gateway = Gateway::start().await;
    for stream in [false, true] {
        gateway
            .provider
            .set_default(Behaviour::redirect(format!("http://{}/v1/chat/completions", bait.addr())));
        let reply = gateway.post("/v1/chat/completions", chat(stream)).await;
        assert_eq!(reply.status, 502, "{}", reply.body);
    }
    assert!(bait.was_left_alone().await);
}

#[tokio::test]
async fn answers_are_not_asked_for_packed_and_packed_ones_are_not_unpacked() {
    let gateway = Gateway::start().await;
    let packed = || Behaviour::Status {
        code: 200,
        headers: vec![
            ("content-encoding".into(), "gzip".into()),
            ("content-type".into(), "application/json".into()),
        ],
        body: Some("\u{1f}x\u{8}".into()),
    };
    gateway.provider.set_default(packed());
    let reply = gateway.post("/v1/chat/completions", chat(false)).await;
    assert_eq!(reply.status, 502, "{}", reply.body);
    for asked in gateway.provider.requests() {
        assert_eq!(asked.header("accept-encoding"), None);
    }
}

#[tokio::test]
async fn a_packed_question_is_not_unpacked() {
    let gateway = Gateway::start().await;
    let request = hyper::Request::post("/v1/chat/completions").header("content-encoding", "gzip");
    let gzip: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00";
    let reply = Exchange::begin(gateway.addr, request, gzip.into()).await.whole().await;
    assert_eq!(reply.status, 400, "{}", reply.body);
    assert!(gateway.provider.requests().is_empty());
}

#[tokio::test]
async fn a_question_that_is_too_deep_or_has_too_many_values_reaches_nobody() {
    let gateway = Gateway::start().await;
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    let wide = format!("[{}0]", "0,".repeat(llm_wire::bounds::MAX_VALUES));
    for (value, said) in [(deep, "100 levels"), (wide, "524288 values")] {
        for path in [
            "/v1/chat/completions",
            "/v1/embeddings",
            "/v1/responses",
            "/v1/messages",
            "/api/chat",
            "/api/show",
            "/v1beta/models/m:generateContent",
        ] {
            let reply = gateway.post(path, format!(r#"{{"x":{value}}}"#)).await;
            assert_eq!(reply.status, 400, "{path}: {}", reply.body);
            assert!(reply.body.contains(said), "{path}: {}", reply.body);
        }
    }
    assert!(gateway.provider.requests().is_empty());
}
