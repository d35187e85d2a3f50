use hyper::Request;
use serde_json::json;

use crate::support::Gateway;

#[tokio::test]
async fn a_rebound_name_reaches_nothing() {
    let gateway = Gateway::start().await;
    let port = gateway.addr.port();
    for path in ["/v1/models", "/metrics", "/nowhere"] {
        let reply = gateway.send(Request::get(path).header("host", format!("evil.example:{port}"))).await;
        assert_eq!((reply.status, &reply.json()["error"]["code"]), (421, &json!("foreign_host")), "{path}");
    }
    let reply = gateway.send(Request::get("/health/live").header("host", format!("localhost:{port}"))).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn a_foreign_page_reaches_nothing_and_reads_nothing() {
    let gateway = Gateway::start().await;
    let reply = gateway.send(Request::get("/v1/models").header("origin", "https://evil.example")).await;
    assert_eq!(reply.status, 403);
    assert_eq!(reply.header("access-control-allow-origin"), None);
    let preflight = Request::options("/v1/chat/completions")
        .header("origin", "https://evil.example")
        .header("access-control-request-method", "POST");
    assert_eq!(gateway.send(preflight).await.status, 403);
}

#[tokio::test]
async fn an_allowed_page_may_ask_and_read() {
    let gateway = Gateway::with(json!({ "allowed_origins": ["https://app.example"] })).await;
    for origin in ["https://app.example", "http://localhost:5173"] {
        let preflight = Request::options("/v1/chat/completions")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type, authorization");
        let reply = gateway.send(preflight).await;
        assert_eq!(reply.status, 204, "{origin}");
        assert_eq!(reply.header("access-control-allow-origin"), Some(origin));
        assert_eq!(reply.header("access-control-allow-headers"), Some("content-type, authorization"));
        let reply = gateway.send(Request::get("/v1/models").header("origin", origin)).await;
        assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, Some(origin)));
        assert!(reply.header("access-control-expose-headers").unwrap().contains("x-request-id"));
        assert_eq!(reply.header("vary"), Some("origin"));
    }
}
