//! Spans on their way to a collector that takes them, refuses them, or is not there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use telemetry::{Counts, EndedRequest, Exporter, Fate, Operation, Traces, TracesOptions};
use testkit::{CollectorFault, FakeCollector};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

struct Told {
    traces: Traces,
    exporter: Exporter,
    counts: Arc<Counts>,
}

impl Told {
    fn to(endpoint: &str) -> Self {
        let options = TracesOptions::new(endpoint, Some("x-team=a"), 1.0, "my-gateway").unwrap();
        let counts = Arc::new(Counts::default());
        let (traces, exporter) = Traces::start(&options, Arc::clone(&counts)).unwrap();
        Self { traces, exporter, counts }
    }

    fn requests(&self, count: usize) {
        for _ in 0..count {
            self.traces.ended(self.traces.begin(None).unwrap(), request());
        }
    }

    /// Tells everything and ends.
    async fn finish(self) -> Arc<Counts> {
        let stop = CancellationToken::new();
        stop.cancel();
        self.exporter.run(stop).await;
        self.counts
    }
}

fn request() -> EndedRequest {
    EndedRequest {
        received: SystemTime::now(),
        request_id: "r".into(),
        key: None,
        method: "POST".into(),
        path: "/v1/chat/completions".into(),
        route: Some("/v1/chat/completions"),
        operation: Some(Operation::Chat),
        status: 200,
        fate: Fate::Answered,
        code: None,
        model: Some("m".into()),
        endpoint: Some("e".into()),
        cache: Some("hit"),
        attempts: Vec::new(),
        tokens: None,
        cost_nano_usd: None,
        first_content: None,
        total: Duration::from_millis(3),
        overhead: None,
    }
}

fn of(counts: &Arc<Counts>) -> (u64, u64, u64) {
    (counts.spans_exported(), counts.spans_dropped(), counts.exports_failed())
}

#[tokio::test]
async fn what_is_in_the_queue_at_the_end_is_told() {
    let collector = FakeCollector::start().unwrap();
    let told = Told::to(&collector.base_url());
    told.requests(700);
    assert_eq!(of(&told.finish().await), (700, 0, 0));
    let posts = collector.posts();
    assert_eq!((posts.len(), collector.spans().len()), (2, 700), "in batches of at most 512");
    let header =
        |name: &str| posts[0].headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str());
    assert_eq!(posts[0].path, "/v1/traces");
    assert_eq!((header("content-type"), header("x-team")), (Some("application/x-protobuf"), Some("a")));
    let resource = posts[0].message.resource_spans[0].resource.as_ref().unwrap();
    assert!(format!("{resource:?}").contains("my-gateway"));
}

#[tokio::test]
async fn a_batch_goes_out_while_requests_go_on() {
    let collector = FakeCollector::start().unwrap();
    let told = Told::to(&collector.base_url());
    told.requests(1);
    let (traces, stop) = (told.traces.clone(), CancellationToken::new());
    let mut running = JoinSet::new();
    running.spawn(told.exporter.run(stop));
    // Nobody sends any more: it ends by itself, with the batch told.
    drop((traces, told.traces));
    running.join_next().await.unwrap().unwrap();
    assert_eq!(of(&told.counts), (1, 0, 0));
}

#[tokio::test]
async fn a_collector_that_is_busy_is_asked_again() {
    let collector = FakeCollector::start().unwrap();
    collector.fail([CollectorFault::Status(503)]);
    let told = Told::to(&collector.base_url());
    told.requests(2);
    assert_eq!(of(&told.finish().await), (2, 0, 1));
    assert_eq!(collector.spans().len(), 2);
}

#[tokio::test]
async fn what_a_collector_refuses_is_counted_as_dropped() {
    let collector = FakeCollector::start().unwrap();
    collector.fail([CollectorFault::Status(400)]);
    let told = Told::to(&collector.base_url());
    told.requests(3);
    assert_eq!(of(&told.finish().await), (0, 3, 1));

    collector.fail([CollectorFault::Refuses(1)]);
    let told = Told::to(&collector.base_url());
    told.requests(3);
    assert_eq!(of(&told.finish().await), (2, 1, 0));
}

#[tokio::test]
async fn no_collector_costs_spans_and_nothing_else() {
    let refused = testkit::refused_addr().unwrap();
    let told = Told::to(&format!("http://{}", refused));
    told.requests(2);
    assert_eq!(of(&told.finish().await), (0, 2, 3));
}

#[tokio::test]
async fn a_collector_that_hangs_delays_the_end_by_no_more_than_it_may() {
    let collector = FakeCollector::start().unwrap();
    collector.fail([CollectorFault::Hangs]);
    let told = Told::to(&collector.base_url());
    told.requests(1);
    let began = std::time::Instant::now();
    assert_eq!(told.finish().await.spans_dropped(), 1);
    let took = began.elapsed();
    assert!((4..8).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test]
async fn a_queue_that_is_full_drops_and_counts() {
    let told = Told::to("http://127.0.0.1:1");
    told.requests(2_048 + 5);
    assert_eq!(told.counts.spans_dropped(), 5);
}
