use std::collections::HashMap;
use std::time::Duration;

use http::StatusCode;
use runtime::telemetry::Fate;
use runtime::{CacheOutcome, RoutingReport};

use super::*;
use crate::trail::Known;

fn known() -> Known {
    let report = RoutingReport {
        request_id: "r".into(),
        model: "m".into(),
        endpoint: "a\"b".into(),
        cache: CacheOutcome::Bypass,
        attempts: Vec::new(),
        overhead_us: 80,
        dropped: Vec::new(),
        usage: None,
    };
    Known {
        key: Some("team-a".into()),
        report: Some(report),
        status: Some(200),
        first_content: Some(Duration::from_millis(20)),
        ..Known::default()
    }
}

fn text() -> String {
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
    let (series, told) = (Series::new(), Counts::default());
    series.ended(Some(&"m".into()), &known(), Fate::Answered, Duration::from_millis(70));
    let endpoints = [endpoint];
    exposition(&Snapshot {
        stats: &stats,
        endpoints: &endpoints,
        traffic: &traffic,
        reloads: &Reloads { total: 3, failed: 1, last_failed: true, last_success_ms: 1_500 },
        limits_up: false,
        budgets_used: &[("team-a".into(), 0.25)],
        series: &series,
        told: &told,
        gpus: None,
    })
    .unwrap()
}

#[test]
fn the_exposition_is_what_prometheus_reads() {
    let text = text();
    for line in [
        "# TYPE uat_requests_total counter",
        "uat_requests_total 3",
        "uat_overhead_seconds{quantile=\"0.5\"} 0.00008",
        "uat_endpoint_state{endpoint=\"a\\\"b\",state=\"half-open\"} 1",
        "uat_endpoint_queued{endpoint=\"a\\\"b\"} 5",
        "uat_endpoint_first_token_seconds{endpoint=\"a\\\"b\"} 0.0125",
        "uat_http_responses_total{class=\"4xx\"} 1",
        "uat_model_requests_total{endpoint=\"a\\\"b\",model=\"m\",outcome=\"ok\",status=\"200\"} 1",
        "uat_key_requests_total{key=\"team-a\",outcome=\"ok\"} 1",
        "# TYPE uat_request_duration_seconds histogram",
        "uat_request_duration_seconds_bucket{endpoint=\"a\\\"b\",model=\"m\",le=\"0.05\"} 0",
        "uat_request_duration_seconds_bucket{endpoint=\"a\\\"b\",model=\"m\",le=\"0.1\"} 1",
        "uat_request_duration_seconds_bucket{endpoint=\"a\\\"b\",model=\"m\",le=\"+Inf\"} 1",
        "uat_first_content_seconds_count{endpoint=\"a\\\"b\",model=\"m\"} 1",
        concat!("uat_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        "uat_config_reload_failed_total 1",
        "uat_config_last_reload_success_timestamp_seconds 1.5",
        "uat_limits_up 0",
        "uat_key_budget_used_ratio{key=\"team-a\"} 0.25",
        "# TYPE process_resident_memory_bytes gauge",
    ] {
        assert!(text.lines().any(|have| have == line), "no line {line:?} in\n{text}");
    }
    assert!(text.lines().all(|line| line.starts_with('#') || line.split(' ').count() == 2), "{text}");
}

/// The rules of `promtool check metrics` that a program can break: see prometheus/client_golang's `promlint`.
#[test]
fn names_and_help_are_as_prometheus_asks() {
    let text = text();
    let mut kinds = HashMap::new();
    let mut helped = HashMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(kinds.insert(name, kind).is_none(), "{name} stands there twice");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
            assert!(!["_count", "_sum", "_bucket"].iter().any(|end| name.ends_with(end)), "{name}");
            assert!(
                !name.split('_').any(|word| ["ms", "us", "milliseconds", "kb", "mb"].contains(&word)),
                "{name}"
            );
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        } else if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(!help.is_empty() && helped.insert(name, help).is_none());
        } else {
            let name = line.split(['{', ' ']).next().unwrap();
            let base =
                ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            assert!(kinds.contains_key(name) || kinds.contains_key(base), "{name} has no type");
        }
    }
    assert_eq!(kinds.len(), helped.len());
}
