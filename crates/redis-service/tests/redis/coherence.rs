//! The near tier against many writers and connections that are killed: histories of what clients saw, judged by the checker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use redis_service::{Options, RedisService};
use testkit::history::{Action, Clock, Operation, Outcome, Rules, check};
use testkit::redis::RedisServer;
use tokio::task::JoinSet;

use crate::support::{connect, get, options, rounds, server, service, set, text, until};

type History = Arc<Mutex<Vec<Operation<String, u64>>>>;

struct Recorder {
    clock: Clock,
    history: History,
    stop: AtomicBool,
    next: AtomicU64,
}

impl Recorder {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            clock: Clock::start(),
            history: History::default(),
            stop: AtomicBool::new(false),
            next: AtomicU64::new(1),
        })
    }

    fn note(&self, client: u64, key: &str, action: Action<u64>, start: u64, outcome: Outcome) {
        let end = self.clock.now_ns();
        self.history.lock().push(Operation { client, key: key.to_owned(), action, start, end, outcome });
    }

    async fn write(&self, client: u64, service: &RedisService, key: &str) {
        let value = self.next.fetch_add(1, Ordering::Relaxed);
        let (start, aside) = (self.clock.now_ns(), service.stats().fallback_ops);
        let written =
            service.set(key, &text(format!("v{value}")), &redis_service::SetOptions::default()).await;
        // What was kept aside because the connection was down is not yet in Redis, and never will be.
        let is_acknowledged = written.is_ok() && service.stats().fallback_ops == aside;
        let outcome = if is_acknowledged { Outcome::Ok } else { Outcome::Unknown };
        self.note(client, key, Action::Write(value), start, outcome);
    }

    /// A write by a client that is none of ours, at once on the server.
    fn write_outside(&self, server: &RedisServer, key: &str) {
        let value = self.next.fetch_add(1, Ordering::Relaxed);
        let start = self.clock.now_ns();
        server.cli(&["SET", key, &format!("v{value}")]).unwrap();
        self.note(99, key, Action::Write(value), start, Outcome::Ok);
    }

    async fn read(&self, client: u64, service: &RedisService, key: &str) {
        let start = self.clock.now_ns();
        let value = get(service, key).await.map(|value| value[1..].parse().unwrap());
        self.note(client, key, Action::Read(value), start, Outcome::Ok);
    }
}

/// Many more than are written in 50 ms, so that a value which has become stale is not soon put right by another write.
const KEYS: u32 = 128;

fn any_key(rng: &mut fastrand::Rng) -> String {
    format!("k{}", rng.u32(..KEYS))
}

/// Two services write and three read for as long as `disturb` takes; nothing they read may be stale.
async fn check_history<F: Future<Output = ()>>(
    server: &RedisServer,
    rules: &Rules,
    disturb: impl FnOnce(Arc<Recorder>) -> F,
) -> (u64, u64) {
    let recorder = Recorder::new();
    let mut clients = JoinSet::new();
    let mut services = Vec::new();
    for client in 0..5_u64 {
        let service = Arc::new(service(server.url()).await);
        services.push(Arc::clone(&service));
        let recorder = Arc::clone(&recorder);
        clients.spawn(async move {
            let mut rng = fastrand::Rng::with_seed(client);
            while !recorder.stop.load(Ordering::Relaxed) {
                let key = any_key(&mut rng);
                if client < 2 {
                    recorder.write(client, &service, &key).await;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                } else {
                    for _ in 0..10 {
                        recorder.read(client, &service, &key).await;
                    }
                    tokio::task::yield_now().await;
                }
            }
        });
    }
    disturb(Arc::clone(&recorder)).await;
    recorder.stop.store(true, Ordering::Relaxed);
    while clients.join_next().await.is_some() {}
    let near: u64 = services.iter().map(|service| service.stats().near_hits).sum();
    let reconnects = services.iter().map(|service| service.stats().reconnects).sum();
    let history = recorder.history.lock();
    let report = check(&history, rules);
    assert!(report.reads > 100, "{} reads", report.reads);
    assert!(
        report.violations.is_empty(),
        "{:?} of {} reads",
        &report.violations[..report.violations.len().min(5)],
        report.reads
    );
    (near, reconnects)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stale_is_read_while_others_write() {
    let server = server();
    let (near, _) =
        check_history(&server, &Rules::default(), |_| tokio::time::sleep(Duration::from_millis(1500))).await;
    assert!(near > 1000, "only {near} reads were near");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stale_is_read_while_connections_are_killed() {
    let server = server();
    let kills = rounds(60, 1000);
    let (near, reconnects) = check_history(&server, &Rules::default(), async |recorder: Arc<Recorder>| {
        let mut rng = fastrand::Rng::with_seed(99);
        for _ in 0..kills {
            tokio::time::sleep(Duration::from_millis(15)).await;
            server.cli(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).unwrap();
            // Nobody is told of these: whoever was told of changes before has no connection now.
            for _ in 0..4 {
                recorder.write_outside(&server, &any_key(&mut rng));
            }
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    })
    .await;
    assert!(near > 100, "only {near} reads were near");
    assert!(reconnects as usize > kills, "only {reconnects} reconnects");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stale_is_read_through_freezes() {
    let server = server();
    // A server that stops between acknowledging a write and telling the others of it tells them when it goes on, or its connection
    // is given up: a PING after 250 ms, a second without an answer, and the 50 ms that everything has.
    let rules = Rules { slack_ns: 1_300_000_000, ..Rules::default() };
    check_history(&server, &rules, async |_| {
        for pause in [20, 80, 300, 1500] {
            server.freeze().unwrap();
            tokio::time::sleep(Duration::from_millis(pause)).await;
            server.thaw().unwrap();
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_change_by_another_client_is_seen() {
    let server = server();
    let service = service(server.url()).await;
    set(&service, "k", "ours").await;
    assert_eq!(get(&service, "k").await.as_deref(), Some("ours"));
    assert_eq!(get(&service, "k").await.as_deref(), Some("ours"));
    assert_eq!(service.stats().near_hits, 1);
    server.cli(&["SET", "k", "theirs"]).unwrap();
    let from = std::time::Instant::now();
    while get(&service, "k").await.as_deref() != Some("theirs") {
        assert!(from.elapsed() < Duration::from_secs(5));
    }
    server.cli(&["FLUSHALL"]).unwrap();
    let from = std::time::Instant::now();
    while get(&service, "k").await.is_some() {
        assert!(from.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn a_value_is_kept_no_longer_than_redis_keeps_it() {
    let server = server();
    let service = connect(Options { key_prefix: "app:".to_owned(), ..options(server.url()) }).await;
    server.cli(&["SET", "app:k", "v", "PX", "150"]).unwrap();
    assert_eq!(get(&service, "k").await.as_deref(), Some("v"));
    let service = Arc::new(service);
    let reading = Arc::clone(&service);
    tokio::time::sleep(Duration::from_millis(160)).await;
    assert_eq!(get(&reading, "k").await, None);
}

#[tokio::test]
async fn a_disconnect_empties_the_near_tier() {
    let server = server();
    let service = service(server.url()).await;
    set(&service, "k", "v").await;
    get(&service, "k").await;
    server.cli(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).unwrap();
    until("a reconnect", || service.stats().reconnects == 1).await;
    get(&service, "k").await;
    assert_eq!(service.stats().near_hits, 0, "the first read after the break asks Redis");
}
