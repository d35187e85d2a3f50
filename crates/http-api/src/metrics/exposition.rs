//! Prometheus' text format, <https://prometheus.io/docs/instrumenting/exposition_formats/>.
//!
//! The crate `prometheus` writes it, and counts what has labels. What the coordinator and the server count themselves is
//! handed to its encoder as it stands: those counters live where they are counted. `prometheus-client`, the other crate
//! for this, writes OpenMetrics alone, in which readers of the older format see every counter as one without a type.

use std::sync::Arc;

use prometheus::TextEncoder;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use runtime::telemetry::Counts;
use runtime::vision_resource_manager::host::HostView;
use runtime::{EndpointHealth, EndpointState, Reloads, Stats};

use super::Series;
use super::process::Process;
use crate::traffic::Traffic;

/// What is known at one moment.
pub(crate) struct Snapshot<'a> {
    pub(crate) stats: &'a Stats,
    pub(crate) endpoints: &'a [EndpointHealth],
    pub(crate) traffic: &'a Traffic,
    pub(crate) reloads: &'a Reloads,
    /// Whether the limits of keys can be counted.
    pub(crate) limits_up: bool,
    /// Keys and what share of their budgets is used.
    pub(crate) budgets_used: &'a [(Arc<str>, f64)],
    pub(crate) series: &'a Series,
    pub(crate) told: &'a Counts,
    /// Where this process gives memory of GPUs out.
    pub(crate) gpus: Option<&'a HostView>,
}

/// # Errors
/// A family without a name: a bug of ours.
pub(crate) fn exposition(snapshot: &Snapshot<'_>) -> prometheus::Result<String> {
    let mut families = Families::default();
    requests(&mut families, snapshot.stats);
    endpoints(&mut families, snapshot.endpoints);
    traffic(&mut families, snapshot.traffic);
    told(&mut families, snapshot.told);
    reloads(&mut families, snapshot.reloads);
    limits(&mut families, snapshot);
    if let Some(view) = snapshot.gpus {
        gpus(&mut families, view);
    }
    process(&mut families, Process::look());
    let Families(mut families) = families;
    families.extend(snapshot.series.families().into_iter().filter(|family| !family.get_metric().is_empty()));
    families.sort_by(|a, b| a.name().cmp(b.name()));
    TextEncoder::new().encode_to_string(&families)
}

type Labels<'a> = &'a [(&'a str, &'a str)];

#[derive(Default)]
struct Families(Vec<MetricFamily>);

impl Families {
    fn add<'a>(
        &mut self,
        (name, kind, help): (&str, MetricType, &str),
        samples: impl IntoIterator<Item = (Vec<(&'a str, &'a str)>, f64)>,
    ) {
        let metrics: Vec<Metric> =
            samples.into_iter().map(|(labels, value)| metric(kind, &labels, value)).collect();
        // A family without samples, because there is no endpoint, is left out.
        if metrics.is_empty() {
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(metrics);
        self.0.push(family);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.add((name, MetricType::COUNTER, help), [(Vec::new(), value as f64)]);
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.add((name, MetricType::GAUGE, help), [(Vec::new(), value)]);
    }

    fn gauges<'a>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Vec<(&'a str, &'a str)>, f64)>,
    ) {
        self.add((name, MetricType::GAUGE, help), samples);
    }

    fn counters<'a>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Vec<(&'a str, &'a str)>, f64)>,
    ) {
        self.add((name, MetricType::COUNTER, help), samples);
    }
}

fn gpus(families: &mut Families, view: &HostView) {
    let usage = view.usage();
    let names: Vec<String> = usage.iter().map(|gpu| gpu.index.to_string()).collect();
    let figures = usage.iter().zip(&names).flat_map(|(gpu, name)| {
        let ledger = &gpu.ledger;
        let kinds = [
            ("total", ledger.total),
            ("used", ledger.used),
            ("leased", ledger.leased),
            ("external", ledger.external),
            ("free", ledger.free),
        ];
        kinds.map(|(kind, bytes)| (vec![("gpu", name.as_str()), ("kind", kind)], bytes as f64))
    });
    families.gauges("uat_gpu_memory_bytes", "Memory of each GPU; free is what may be given out.", figures);
    let closed = usage
        .iter()
        .zip(&names)
        .map(|(gpu, name)| (vec![("gpu", name.as_str())], f64::from(u8::from(gpu.closed.is_none()))));
    families.gauges("uat_gpu_up", "Whether memory of this GPU is given out.", closed);
    let (leases, waiting) = view.counts();
    families.gauge("uat_gpu_leases", "Leases that are held.", leases as f64);
    families.gauge("uat_gpu_waiting", "Requests that wait for memory.", waiting as f64);
}

fn metric(kind: MetricType, labels: Labels<'_>, value: f64) -> Metric {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    let mut metric = Metric::from_label(labels.iter().map(pair).collect());
    if kind == MetricType::COUNTER {
        let mut counter = Counter::default();
        counter.set_value(value);
        metric.set_counter(counter);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
    }
    metric
}

fn requests(families: &mut Families, stats: &Stats) {
    families.counter("uat_requests_total", "Requests accepted.", stats.requests);
    families.counter("uat_errors_total", "Requests that ended in an error.", stats.errors);
    families.counter("uat_failovers_total", "Attempts beyond the first of a request.", stats.failovers);
    families.counter("uat_resumes_total", "Continuations of streams that had broken off.", stats.resumes);
    families.counters(
        "uat_cache_answers_total",
        "What the response cache was asked for and had, or another request had under way; and what it had not.",
        [
            (vec![("outcome", "hit")], stats.cache_hits as f64),
            (vec![("outcome", "miss")], stats.cache_misses as f64),
        ],
    );
    families.gauge("uat_in_flight", "Requests that have not ended.", stats.in_flight as f64);
    families.counters(
        "uat_tokens_total",
        "Tokens as the endpoints counted them.",
        [
            (vec![("kind", "prompt")], stats.prompt_tokens as f64),
            (vec![("kind", "completion")], stats.completion_tokens as f64),
        ],
    );
    families.gauges(
        "uat_overhead_seconds",
        "The gateway's own share of a request's time, quantiles since the start.",
        [
            (vec![("quantile", "0.5")], stats.p50_overhead_us as f64 / 1e6),
            (vec![("quantile", "0.99")], stats.p99_overhead_us as f64 / 1e6),
        ],
    );
    families.gauges(
        "uat_build_info",
        "1, under the version that runs.",
        [(vec![("version", env!("CARGO_PKG_VERSION"))], 1.0)],
    );
}

fn endpoints(families: &mut Families, endpoints: &[EndpointHealth]) {
    let mut each = |name: &str, help: &str, value: fn(&EndpointHealth) -> f64| {
        let samples = endpoints.iter().map(|e| (vec![("endpoint", &*e.endpoint)], value(e)));
        families.gauges(name, help, samples);
    };
    each("uat_endpoint_up", "1 while the endpoint may be asked.", |e| {
        let down = matches!(e.state, EndpointState::Open | EndpointState::Quarantined);
        if down { 0.0 } else { 1.0 }
    });
    each("uat_endpoint_in_flight", "Requests at the endpoint that have not ended.", |e| e.in_flight.into());
    each(
        "uat_endpoint_queued",
        "Requests that wait for a place at the endpoint; one that waits at several counts at each.",
        |e| e.queued.into(),
    );
    each("uat_endpoint_first_token_seconds", "Peak-EWMA of the time to the first content.", |e| {
        e.ewma_first_token_ms / 1e3
    });
    each("uat_endpoint_error_ratio", "Share of the recent requests that failed.", |e| e.error_rate);
    families.gauges(
        "uat_endpoint_state",
        "1 for the state that the endpoint is in.",
        endpoints.iter().map(|e| (vec![("endpoint", &*e.endpoint), ("state", e.state.as_str())], 1.0)),
    );
}

fn traffic(families: &mut Families, traffic: &Traffic) {
    const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
    let counts = traffic.responses().zip(CLASSES);
    families.counters(
        "uat_http_responses_total",
        "Answers by the class of their status.",
        counts.map(|((_, count), class)| (vec![("class", class)], count as f64)),
    );
    families.gauge("uat_http_connections", "Open connections.", traffic.connections() as f64);
    families.counter("uat_http_connections_total", "Connections accepted.", traffic.accepted());
    let (speakers, taken) = traffic.speakers();
    families.gauge("uat_webrtc_sessions", "Browsers that are heard over WebRTC.", speakers as f64);
    families.counter("uat_webrtc_sessions_total", "Browsers whose offers were taken.", taken);
}

fn limits(families: &mut Families, snapshot: &Snapshot<'_>) {
    let up = if snapshot.limits_up { 1.0 } else { 0.0 };
    families.gauge("uat_limits_up", "1 while the limits of keys can be counted.", up);
    families.gauges(
        "uat_key_budget_used_ratio",
        "The share of its budget of the day that a key has spent or reserved.",
        snapshot.budgets_used.iter().map(|(key, used)| (vec![("key", &**key)], *used)),
    );
}

fn reloads(families: &mut Families, reloads: &Reloads) {
    families.counter(
        "uat_config_reload_total",
        "Attempts to take over another configuration.",
        reloads.total,
    );
    families.counter(
        "uat_config_reload_failed_total",
        "Those that were refused; the former configuration went on.",
        reloads.failed,
    );
    families.gauge(
        "uat_config_last_reload_success_timestamp_seconds",
        "When the configuration that counts was taken over, at the start or since.",
        reloads.last_success_ms as f64 / 1e3,
    );
}

fn told(families: &mut Families, told: &Counts) {
    let mut counter = |name, help, value| families.counter(name, help, value);
    counter("uat_trace_spans_exported_total", "Spans that a collector took.", told.spans_exported());
    counter("uat_trace_spans_dropped_total", "Spans that no collector got.", told.spans_dropped());
    counter(
        "uat_trace_exports_failed_total",
        "Tries to hand over spans that failed, repetitions included.",
        told.exports_failed(),
    );
    counter("uat_access_log_lines_total", "Lines of the access log.", told.lines_written());
    counter("uat_access_log_dropped_total", "Lines that are missing there.", told.lines_dropped());
}

fn process(families: &mut Families, process: Option<Process>) {
    let Some(process) = process else { return };
    families.counters(
        "process_cpu_seconds_total",
        "User and system CPU time spent, in seconds.",
        [(Vec::new(), process.cpu_seconds)],
    );
    let gauges = [
        ("process_resident_memory_bytes", "Resident memory size in bytes.", process.resident_bytes as f64),
        ("process_virtual_memory_bytes", "Virtual memory size in bytes.", process.virtual_bytes as f64),
        ("process_threads", "Threads of the process.", process.threads as f64),
        ("process_open_fds", "Open file descriptors.", process.open_fds as f64),
        ("process_max_fds", "Most file descriptors that may be open.", process.max_fds as f64),
        (
            "process_start_time_seconds",
            "Start of the process since 1970, in seconds.",
            process.started_seconds,
        ),
    ];
    for (name, help, value) in gauges {
        families.gauge(name, help, value);
    }
}

#[cfg(test)]
mod tests;
