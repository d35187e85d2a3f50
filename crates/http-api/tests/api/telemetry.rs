//! What is told of requests to others: traces, the access log, reports and counts.

use hyper::Request;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Otlp;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::{Value, json};
use testkit::{Answer, Behaviour, FakeCollector};

use crate::support::{Exchange, Gateway, PATIENCE, chat, chat_with};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn asking(path: &str) -> hyper::http::request::Builder {
    Request::post(path)
}

async fn ask(
    gateway: &Gateway,
    request: hyper::http::request::Builder,
    body: String,
) -> crate::support::Reply {
    Exchange::begin(gateway.addr, request, body.into()).await.whole().await
}

fn sent_by(sampled: bool) -> hyper::http::request::Builder {
    let flags = if sampled { "01" } else { "00" };
    asking("/v1/chat/completions")
        .header("traceparent", format!("00-{TRACE}-b7ad6b7169203331-{flags}"))
        .header("tracestate", "vendor=opaque")
}

fn told_to_endpoint(gateway: &Gateway, header: &str) -> Vec<Option<String>> {
    gateway.provider.requests().iter().map(|request| request.header(header).map(str::to_owned)).collect()
}

fn attribute(span: &Span, key: &str) -> Option<Otlp> {
    span.attributes.iter().find(|attribute| attribute.key == key)?.value.clone()?.value
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn without_traces_the_callers_own_is_passed_on_as_it_came() {
    let gateway = Gateway::start().await;
    ask(&gateway, sent_by(true), chat(false)).await;
    ask(&gateway, asking("/v1/chat/completions"), chat(false)).await;
    assert_eq!(
        told_to_endpoint(&gateway, "traceparent"),
        [Some(format!("00-{TRACE}-b7ad6b7169203331-01")), None]
    );
    assert_eq!(told_to_endpoint(&gateway, "tracestate"), [Some("vendor=opaque".to_owned()), None]);
}

#[tokio::test]
async fn a_request_and_its_attempts_become_spans_of_the_callers_trace() {
    let collector = FakeCollector::start().unwrap();
    let mut gateway = Gateway::with_telemetry(json!({ "otlp_endpoint": collector.base_url() })).await;
    gateway.provider.enqueue(Behaviour::Status { code: 503, headers: Vec::new(), body: None });
    let body = chat_with(json!({ "messages": [{ "role": "user", "content": "a secret prompt" }] }));
    let request =
        sent_by(true).header("authorization", "Bearer a-secret-key").header("x-request-id", "my-id");
    let reply = ask(&gateway, request, body).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    gateway.shutdown.cancel();
    gateway.ended().await;

    let spans = collector.spans();
    let [request, first, second] = spans.as_slice() else { panic!("{spans:#?}") };
    assert!(spans.iter().all(|span| hexadecimal(&span.trace_id) == TRACE));
    assert_eq!(hexadecimal(&request.parent_span_id), "b7ad6b7169203331");
    assert_eq!(request.name, "POST /v1/chat/completions");
    let told: Vec<String> =
        [first, second].iter().map(|span| format!("00-{TRACE}-{}-01", hexadecimal(&span.span_id))).collect();
    let heard: Vec<String> = told_to_endpoint(&gateway, "traceparent").into_iter().flatten().collect();
    assert_eq!(heard, told, "each attempt is told of its own span");
    assert_eq!(attribute(first, "error.type"), Some(Otlp::StringValue("UAT_UPSTREAM".into())));
    assert_eq!(attribute(second, "gen_ai.request.model"), Some(Otlp::StringValue("upstream-m".into())));
    assert_eq!(attribute(request, "uat.request.id"), Some(Otlp::StringValue("my-id".into())));
    assert!(matches!(attribute(request, "gen_ai.usage.input_tokens"), Some(Otlp::IntValue(1..))));
    let all = format!("{:?}", collector.posts());
    assert!(!all.contains("secret"), "{all}");
}

#[tokio::test]
async fn a_callers_trace_that_is_not_kept_is_passed_on_and_not_told() {
    let collector = FakeCollector::start().unwrap();
    let mut gateway = Gateway::with_telemetry(json!({ "otlp_endpoint": collector.base_url() })).await;
    ask(&gateway, sent_by(false), chat(false)).await;
    gateway.shutdown.cancel();
    gateway.ended().await;
    assert_eq!(told_to_endpoint(&gateway, "traceparent"), [Some(format!("00-{TRACE}-b7ad6b7169203331-00"))]);
    assert!(collector.posts().is_empty());
}

#[tokio::test]
async fn each_request_is_one_line_of_the_access_log_and_says_nothing_of_what_was_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    let mut gateway = Gateway::with_telemetry(json!({ "access_log": file })).await;
    let secret = chat_with(
        json!({ "messages": [{ "role": "user", "content": "a secret prompt" }], "stream": true, "stream_options": { "include_usage": true } }),
    );
    ask(&gateway, asking("/v1/chat/completions").header("authorization", "Bearer a-secret"), secret).await;
    ask(&gateway, asking("/v1/messages?key=a-secret"), "{}".to_owned()).await;
    gateway.get("/nowhere").await;
    let running = gateway.stream("/v1/chat/completions", chat(true)).await;
    gateway.provider.set_default(Behaviour::Hang);
    drop(running);
    gateway.shutdown.cancel();
    gateway.ended().await;
    let text = std::fs::read_to_string(file).unwrap();
    assert!(!text.contains("secret"), "{text}");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [stream, refused, unknown, ..] = lines.as_slice() else { panic!("{text}") };
    assert_eq!(
        (&stream["outcome"], &stream["model"], &stream["endpoint"]),
        (&json!("ok"), &json!("m"), &json!("fake"))
    );
    assert!(
        stream["completion_tokens"].as_u64() > Some(0) && stream["first_content_ms"].is_number(),
        "{stream}"
    );
    let tokens = |kind: &str| stream[kind].as_f64().unwrap();
    let cost = (tokens("prompt_tokens") + 10.0 * tokens("completion_tokens")) / 1e6;
    assert!((stream["cost_usd"].as_f64().unwrap() - cost).abs() < 1e-12, "{stream}");
    assert!(stream["total_ms"].as_f64() >= stream["first_content_ms"].as_f64());
    assert_eq!((&refused["status"], &refused["code"]), (&json!(400), &json!("UAT_INVALID_INPUT")));
    assert_eq!(refused["path"], "/v1/messages");
    assert_eq!((&unknown["status"], &unknown["path"]), (&json!(404), &json!("/nowhere")));
    assert_eq!(lines.len(), 4);
}

#[tokio::test]
async fn a_report_can_be_asked_for_while_a_stream_runs_and_is_final_once_it_ended() {
    let gateway = Gateway::start().await;
    let pace = std::time::Duration::from_millis(50);
    gateway.provider.set_default(Behaviour::Answer(Answer::tokens(5).paced(pace)));
    let request = asking("/v1/chat/completions").header("x-request-id", "my-stream");
    let running = Exchange::begin(gateway.addr, request, chat(true).into()).await;
    let report = gateway.get("/v1/routing/my-stream").await.json();
    assert_eq!(
        (&report["isFinal"], &report["model"], &report["endpoint"]),
        (&json!(false), &json!("m"), &json!("fake"))
    );
    running.whole().await;
    let report = gateway.get("/v1/routing/my-stream").await.json();
    assert_eq!(
        (&report["isFinal"], &report["outcome"], &report["status"]),
        (&json!(true), &json!("ok"), &json!(200))
    );
    let attempt = &report["attempts"][0];
    assert!(attempt["totalMs"].as_f64() > Some(150.0), "up to the end of the stream: {attempt}");
    assert!(attempt["startedMs"].as_f64() < attempt["totalMs"].as_f64());
}

#[tokio::test]
async fn a_report_of_what_failed_says_what_was_tried() {
    let gateway = Gateway::start().await;
    gateway.provider.set_default(Behaviour::Status { code: 400, headers: Vec::new(), body: None });
    let failed = gateway.post("/v1/chat/completions", chat(false)).await;
    let id = failed.header("x-request-id").unwrap();
    let report = gateway.get(&format!("/v1/routing/{id}")).await.json();
    assert_eq!((&report["outcome"], &report["status"]), (&json!("error"), &json!(failed.status)));
    assert_eq!(
        (&report["code"], &report["attempts"][0]["endpoint"]),
        (&json!("UAT_INVALID_INPUT"), &json!("fake"))
    );
    assert!(report["attempts"][0]["error"].is_string());
}

#[tokio::test]
async fn a_report_of_nothing_is_not_found() {
    let gateway = Gateway::start().await;
    let reply = gateway.get("/v1/routing/req_unknown").await;
    assert_eq!((reply.status, reply.header("x-uat-code")), (404, Some("UAT_NOT_FOUND")));
    assert!(reply.body.contains("req_unknown"), "{}", reply.body);
    // What asks no model leaves no report.
    gateway.send(Request::get("/v1/models").header("x-request-id", "list")).await;
    assert_eq!(gateway.get("/v1/routing/list").await.status, 404);
}

#[tokio::test]
async fn a_client_that_leaves_is_reported_as_that() {
    let gateway = Gateway::start().await;
    gateway.provider.set_default(Behaviour::Hang);
    let request = asking("/v1/chat/completions").header("x-request-id", "gone");
    let leaving = tokio::time::timeout(
        std::time::Duration::from_millis(200),
        Exchange::begin(gateway.addr, request, chat(false).into()),
    );
    assert!(leaving.await.is_err());
    gateway.provider.wait_for_disconnect(PATIENCE).await.unwrap();
    let report = gateway.get("/v1/routing/gone").await;
    assert_eq!(report.json()["outcome"], "cancelled", "{}", report.body);
    assert_eq!(report.json()["status"], 499);
}

#[tokio::test]
async fn requests_are_counted_by_model_and_endpoint_under_configured_names_alone() {
    let gateway = Gateway::start().await;
    gateway.post("/v1/chat/completions", chat(false)).await;
    gateway.post("/v1/chat/completions", chat(true)).await;
    gateway.post("/v1/chat/completions", chat_with(json!({ "model": "anybody's-typing-error" }))).await;
    let of = |outcome: &str, status: &str, endpoint: &str, model: &str| {
        format!(
            "uat_model_requests_total{{endpoint=\"{endpoint}\",model=\"{model}\",outcome=\"{outcome}\",status=\"{status}\"}}"
        )
    };
    let count = |name: String| {
        let gateway = &gateway;
        async move { gateway.metric(&name).await }
    };
    assert!((count(of("ok", "200", "fake", "m")).await - 2.0).abs() < 0.1);
    assert!((count(of("error", "404", "", "")).await - 1.0).abs() < 0.1);
    assert!(
        (count("uat_request_duration_seconds_count{endpoint=\"fake\",model=\"m\"}".into()).await - 2.0).abs()
            < 0.1
    );
    assert!((count("uat_attempts_total{endpoint=\"fake\",outcome=\"ok\"}".into()).await - 2.0).abs() < 0.1);
    assert!(count("process_resident_memory_bytes".into()).await > 1e6);
}

/// Only where the program is installed (Debian's package `prometheus`); `metrics::exposition` checks its main rules anyway.
#[tokio::test]
async fn promtool_finds_nothing_wrong_with_the_metrics() {
    let gateway = Gateway::start().await;
    gateway.post("/v1/chat/completions", chat(false)).await;
    let text = gateway.get("/metrics").await.body;
    let checked = tokio::task::spawn_blocking(move || {
        use std::io::Write;
        use std::process::{Command, Stdio};
        let mut promtool = match Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
        {
            Ok(promtool) => promtool,
            Err(error) => {
                println!("skipped: promtool cannot be run ({error})");
                return None;
            }
        };
        promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        Some(promtool.wait_with_output().unwrap())
    });
    if let Some(output) = checked.await.unwrap() {
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.trim().is_empty(), "{said}");
    }
}

#[tokio::test]
async fn endpoints_that_are_gone_can_be_read_until_the_reload_after_and_then_take_no_memory() {
    let gateway =
        Gateway::configured(json!({ "models": [{ "name": "m", "endpoints": [{ "endpoint": "fake" }] }] }))
            .await;
    let named = async |gateway: &Gateway, name: &str| {
        let mut config = (*gateway.runtime.config()).clone();
        config.endpoints[0].name = name.into();
        config.models[0].endpoints[0].endpoint = name.into();
        gateway.runtime.reload(config).await.unwrap();
        assert_eq!(
            gateway.post("/v1/chat/completions", chat_with(json!({ "model": "m" }))).await.status,
            200
        );
        let text = gateway.get("/metrics").await.body;
        let seen = |name: &str| text.contains(&format!("uat_attempts_total{{endpoint=\"{name}\""));
        ["fake", "second", "third"].map(seen)
    };
    assert_eq!(gateway.post("/v1/chat/completions", chat_with(json!({ "model": "m" }))).await.status, 200);
    assert_eq!(named(&gateway, "second").await, [true, true, false]);
    assert_eq!(named(&gateway, "third").await, [false, true, true]);
}
