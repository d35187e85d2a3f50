//! For those who operate the server: is it alive, can it answer, what has it done.

use std::fmt::Write;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use http::{Response, StatusCode};
use runtime::{EndpointHealth, EndpointState, Reloads, Stats};
use serde_json::json;

use super::with_type;
use crate::gateway::Gateway;
use crate::headers::{JSON, PROMETHEUS, TEXT};
use crate::traffic::Traffic;

pub(super) async fn about() -> Response<Body> {
    let text = concat!(
        "universal-ai-tools ",
        env!("CARGO_PKG_VERSION"),
        " is running.\n\nOpenAI clients: base URL http://<this address>/v1\nAnthropic clients, Gemini clients, Ollama clients: base URL http://<this address>\n",
        "Models: /v1/models   Health: /health/ready   Metrics: /metrics\n"
    );
    with_type(text, TEXT)
}

pub(super) async fn live() -> Response<Body> {
    with_type(json!({ "status": "ok" }).to_string(), JSON)
}

/// 200 while at least one endpoint may be asked. A configuration that was refused is told and changes nothing in that: the
/// former one answers.
///
/// Which endpoints there are is nobody's business who needs no key to ask.
pub(super) async fn ready(State(gateway): State<Arc<Gateway>>) -> Response<Body> {
    let endpoints = gateway.runtime.health();
    let asked =
        |health: &EndpointHealth| !matches!(health.state, EndpointState::Open | EndpointState::Quarantined);
    let status = if gateway.is_draining() {
        "draining"
    } else if endpoints.iter().any(asked) {
        "ok"
    } else {
        "no endpoint can be asked"
    };
    let config = if gateway.runtime.reloads().last_failed { "last change refused" } else { "current" };
    let mut document = match gateway.asks_for_keys() {
        true => json!({ "status": status, "config": config }),
        false => json!({ "status": status, "config": config, "endpoints": endpoints }),
    };
    // It still answers: whoever has no limits, and the others from what was claimed before.
    if gateway.runtime.limits_outage().is_some() {
        document["limits"] = json!("cannot be counted at present");
    }
    let mut response = with_type(document.to_string(), JSON);
    if status != "ok" {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

/// What is known of each endpoint, and how it came to that.
pub(super) async fn endpoints(State(gateway): State<Arc<Gateway>>) -> Response<Body> {
    with_type(json!({ "endpoints": gateway.runtime.health() }).to_string(), JSON)
}

pub(super) async fn metrics(State(gateway): State<Arc<Gateway>>) -> Response<Body> {
    let runtime = &gateway.runtime;
    let text = exposition(&runtime.stats(), &runtime.health(), &gateway.traffic, &runtime.reloads());
    with_type(text, PROMETHEUS)
}

/// Prometheus' text format, <https://prometheus.io/docs/instrumenting/exposition_formats/>. Written here because the
/// counters live where they are counted, in the coordinator: a metrics library would want to own them.
fn exposition(stats: &Stats, endpoints: &[EndpointHealth], traffic: &Traffic, reloads: &Reloads) -> String {
    let mut out = String::with_capacity(4 << 10);
    let mut family = |name: &str, kind: &str, help: &str, samples: Vec<(String, f64)>| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(out, "{name}{labels} {value}");
        }
    };
    let one = |value: u64| vec![(String::new(), value as f64)];
    let of = |name: &str| format!("{{endpoint=\"{}\"}}", escape(name));
    family("uat_requests_total", "counter", "Requests accepted.", one(stats.requests));
    family("uat_errors_total", "counter", "Requests that ended in an error.", one(stats.errors));
    family("uat_failovers_total", "counter", "Attempts beyond the first of a request.", one(stats.failovers));
    family(
        "uat_resumes_total",
        "counter",
        "Continuations of streams that had broken off.",
        one(stats.resumes),
    );
    family(
        "uat_cache_answers_total",
        "counter",
        "What the response cache was asked for and had, or another request had under way; and what it had not.",
        vec![
            ("{outcome=\"hit\"}".into(), stats.cache_hits as f64),
            ("{outcome=\"miss\"}".into(), stats.cache_misses as f64),
        ],
    );
    family("uat_in_flight", "gauge", "Requests that have not ended.", one(stats.in_flight));
    family(
        "uat_tokens_total",
        "counter",
        "Tokens as the endpoints counted them.",
        vec![
            ("{kind=\"prompt\"}".into(), stats.prompt_tokens as f64),
            ("{kind=\"completion\"}".into(), stats.completion_tokens as f64),
        ],
    );
    family(
        "uat_overhead_seconds",
        "gauge",
        "The gateway's own share of a request's time, quantiles since the start.",
        vec![
            ("{quantile=\"0.5\"}".into(), stats.p50_overhead_us as f64 / 1e6),
            ("{quantile=\"0.99\"}".into(), stats.p99_overhead_us as f64 / 1e6),
        ],
    );
    family(
        "uat_endpoint_up",
        "gauge",
        "1 while the endpoint may be asked.",
        endpoints
            .iter()
            .map(|e| {
                let down = matches!(e.state, EndpointState::Open | EndpointState::Quarantined);
                (of(&e.endpoint), if down { 0.0 } else { 1.0 })
            })
            .collect(),
    );
    family(
        "uat_endpoint_state",
        "gauge",
        "1 for the state that the endpoint is in.",
        endpoints
            .iter()
            .map(|e| {
                (format!("{{endpoint=\"{}\",state=\"{}\"}}", escape(&e.endpoint), e.state.as_str()), 1.0)
            })
            .collect(),
    );
    family(
        "uat_endpoint_in_flight",
        "gauge",
        "Requests at the endpoint that have not ended.",
        endpoints.iter().map(|e| (of(&e.endpoint), f64::from(e.in_flight))).collect(),
    );
    family(
        "uat_endpoint_queued",
        "gauge",
        "Requests that wait for a place at the endpoint; one that waits at several counts at each.",
        endpoints.iter().map(|e| (of(&e.endpoint), f64::from(e.queued))).collect(),
    );
    family(
        "uat_endpoint_first_token_seconds",
        "gauge",
        "Peak-EWMA of the time to the first content.",
        endpoints.iter().map(|e| (of(&e.endpoint), e.ewma_first_token_ms / 1e3)).collect(),
    );
    family(
        "uat_endpoint_error_ratio",
        "gauge",
        "Share of the recent requests that failed.",
        endpoints.iter().map(|e| (of(&e.endpoint), e.error_rate)).collect(),
    );
    family(
        "uat_http_responses_total",
        "counter",
        "Answers by the class of their status.",
        traffic
            .responses()
            .map(|(class, count)| (format!("{{class=\"{class}xx\"}}"), count as f64))
            .collect(),
    );
    family("uat_http_connections", "gauge", "Open connections.", one(traffic.connections()));
    family("uat_http_connections_total", "counter", "Connections accepted.", one(traffic.accepted()));
    family(
        "uat_config_reload_total",
        "counter",
        "Attempts to take over another configuration.",
        one(reloads.total),
    );
    family(
        "uat_config_reload_failed_total",
        "counter",
        "Those that were refused; the former configuration went on.",
        one(reloads.failed),
    );
    family(
        "uat_config_last_reload_success_timestamp_seconds",
        "gauge",
        "When the configuration that counts was taken over, at the start or since.",
        vec![(String::new(), reloads.last_success_ms as f64 / 1e3)],
    );
    out
}

fn escape(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exposition_is_what_prometheus_reads() {
        let stats = Stats { requests: 3, p50_overhead_us: 80, ..Stats::default() };
        let endpoint = EndpointHealth {
            endpoint: "a\"b".into(),
            state: EndpointState::HalfOpen,
            ewma_first_token_ms: 12.5,
            in_flight: 2,
            queued: 5,
            error_rate: 0.25,
            last_error: None,
            history: Vec::new(),
        };
        let traffic = Traffic::default();
        traffic.answered(StatusCode::NOT_FOUND);
        let reloads = Reloads { total: 3, failed: 1, last_failed: true, last_success_ms: 1_500 };
        let text = exposition(&stats, &[endpoint], &traffic, &reloads);
        for line in [
            "# TYPE uat_requests_total counter",
            "uat_requests_total 3",
            "uat_overhead_seconds{quantile=\"0.5\"} 0.00008",
            "uat_endpoint_state{endpoint=\"a\\\"b\",state=\"half-open\"} 1",
            "uat_endpoint_queued{endpoint=\"a\\\"b\"} 5",
            "uat_endpoint_first_token_seconds{endpoint=\"a\\\"b\"} 0.0125",
            "uat_http_responses_total{class=\"4xx\"} 1",
            "uat_config_reload_total 3",
            "uat_config_reload_failed_total 1",
            "uat_config_last_reload_success_timestamp_seconds 1.5",
        ] {
            assert!(text.lines().any(|have| have == line), "no line {line:?} in\n{text}");
        }
        assert!(text.lines().all(|line| line.starts_with('#') || line.split(' ').count() == 2), "{text}");
    }
}
