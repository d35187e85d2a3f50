//! Computations that are shared: one leads, and its death or cancellation fails nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use redis_service::{Begin, ComputeError, FlightOptions, RedisService};
use testkit::redis::RedisServer;
use tokio::task::JoinSet;

use crate::{bytes, cli, service, set};

const TTL: Option<Duration> = Some(Duration::from_secs(60));

/// Counts computations of 50 ms; each yields its number.
#[derive(Clone, Default)]
struct Counter(Arc<AtomicUsize>);

impl Counter {
    async fn compute(self) -> Result<Bytes, ComputeError> {
        let number = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok(bytes(format!("value {number}")))
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

async fn get(
    service: Arc<RedisService>,
    stale_for: Duration,
    counter: Counter,
) -> Result<Bytes, ComputeError> {
    service.get_or_compute(bytes("k"), TTL, FlightOptions { stale_for }, || counter.compute()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_callers_share_one_computation_although_the_first_is_cancelled() {
    let server = RedisServer::start().unwrap();
    let service = Arc::new(service(server.url()).await);
    let (counter, start) = (Counter::default(), Instant::now());
    let mut first = JoinSet::new();
    first.spawn(get(Arc::clone(&service), Duration::ZERO, counter.clone()));
    while counter.count() == 0 {
        tokio::task::yield_now().await;
    }
    let mut callers = JoinSet::new();
    for _ in 0..999 {
        callers.spawn(get(Arc::clone(&service), Duration::ZERO, counter.clone()));
    }
    tokio::time::sleep(Duration::from_millis(10)).await;
    first.abort_all();
    while let Some(value) = callers.join_next().await {
        assert_eq!(value.unwrap().unwrap(), "value 2");
    }
    assert_eq!(counter.count(), 2);
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "nobody waits for the lock to expire: {:?}",
        start.elapsed()
    );
    assert_eq!(cli(&server, "KEYS p:~uat:lock:*"), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_panics_is_followed_by_another() {
    let server = RedisServer::start().unwrap();
    let service = Arc::new(service(server.url()).await);
    let leading = Arc::clone(&service);
    let mut first = JoinSet::new();
    first.spawn(async move {
        let compute = || async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            panic!("on purpose")
        };
        leading.get_or_compute(bytes("k"), TTL, FlightOptions::default(), compute).await
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let value = get(service, Duration::ZERO, Counter::default()).await.unwrap();
    assert_eq!(value, "value 1");
    assert!(first.join_next().await.unwrap().unwrap_err().is_panic());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_share_one_computation() {
    let server = RedisServer::start().unwrap();
    let (here, there) = (Arc::new(service(server.url()).await), Arc::new(service(server.url()).await));
    let counter = Counter::default();
    let mut callers = JoinSet::new();
    for _ in 0..50 {
        callers.spawn(get(Arc::clone(&here), Duration::ZERO, counter.clone()));
        callers.spawn(get(Arc::clone(&there), Duration::ZERO, counter.clone()));
    }
    while let Some(value) = callers.join_next().await {
        assert_eq!(value.unwrap().unwrap(), "value 1");
    }
    assert_eq!(counter.count(), 1);
    let ttl: u64 = cli(&server, "PTTL p:k").parse().unwrap();
    assert!((56_000..=60_000).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn the_lock_of_a_leader_that_was_killed_passes_on() {
    let server = RedisServer::start().unwrap();
    let (here, there) = (service(server.url()).await, service(server.url()).await);
    let lease = here.flight_begin(&bytes("k"), Duration::ZERO).await.unwrap();
    assert!(matches!(lease, Begin::Lead(_)));
    let left: i64 = cli(&server, "PTTL p:~uat:lock:k").parse().unwrap();
    assert!((4000..=5000).contains(&left), "{left}");
    // As if five seconds had passed.
    cli(&server, "PEXPIRE p:~uat:lock:k 100");
    let start = Instant::now();
    assert!(matches!(there.flight_begin(&bytes("k"), Duration::ZERO).await.unwrap(), Begin::Lead(_)));
    assert!((80..1000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    let Begin::Lead(lease) = lease else { unreachable!() };
    assert!(!here.flight_renew(&lease).await.unwrap(), "it is no longer the first one's");
    here.flight_abandon(&lease).await.unwrap();
    assert_eq!(cli(&server, "EXISTS p:~uat:lock:k"), "1", "the second one's lock stays");
}

#[tokio::test]
async fn a_leader_keeps_its_lock_for_as_long_as_it_computes() {
    let server = RedisServer::start().unwrap();
    let service = service(server.url()).await;
    let compute = || async {
        cli(&server, "PEXPIRE p:~uat:lock:k 2500");
        tokio::time::sleep(Duration::from_millis(1700)).await;
        let left: i64 = cli(&server, "PTTL p:~uat:lock:k").parse().unwrap();
        assert!(left > 4000, "{left}");
        Ok(bytes("v"))
    };
    service.get_or_compute(bytes("k"), TTL, FlightOptions::default(), compute).await.unwrap();
    assert_eq!(cli(&server, "EXISTS p:~uat:lock:k"), "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_value_is_used_while_one_caller_computes_it_anew() {
    let server = RedisServer::start().unwrap();
    let (here, there) = (Arc::new(service(server.url()).await), Arc::new(service(server.url()).await));
    cli(&server, "SET p:k old PX 20000");
    let (counter, stale_for) = (Counter::default(), Duration::from_secs(30));
    let mut callers = JoinSet::new();
    for _ in 0..20 {
        callers.spawn(get(Arc::clone(&here), stale_for, counter.clone()));
        callers.spawn(get(Arc::clone(&there), stale_for, counter.clone()));
    }
    let mut values = Vec::new();
    while let Some(value) = callers.join_next().await {
        values.push(value.unwrap().unwrap());
    }
    assert_eq!(counter.count(), 1);
    assert_eq!(values.iter().filter(|value| **value == "old").count(), 39);
    assert_eq!(get(here, stale_for, counter.clone()).await.unwrap(), "value 1");
    assert_eq!(counter.count(), 1);
    let ttl: u64 = cli(&server, "PTTL p:k").parse().unwrap();
    assert!((86_000..=90_000).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn a_failure_reaches_all_who_waited_and_is_not_kept() {
    let server = RedisServer::start().unwrap();
    let service = Arc::new(service(server.url()).await);
    let begun = tokio::sync::Notify::new();
    let fail = || async {
        begun.notify_one();
        tokio::time::sleep(Duration::from_millis(300)).await;
        Err::<Bytes, ComputeError>(Arc::new(std::io::Error::other("no luck")))
    };
    let failing = service.get_or_compute(bytes("k"), TTL, FlightOptions::default(), fail);
    let counter = Counter::default();
    let waiting = async {
        begun.notified().await;
        get(Arc::clone(&service), Duration::ZERO, counter.clone()).await
    };
    let (failed, waited) = tokio::join!(failing, waiting);
    assert_eq!(failed.unwrap_err().to_string(), "no luck");
    assert_eq!(waited.unwrap_err().to_string(), "no luck");
    assert_eq!(get(service, Duration::ZERO, counter).await.unwrap(), "value 1");
}

#[tokio::test]
async fn without_redis_the_process_computes_for_itself() {
    let server = RedisServer::start().unwrap();
    let service = Arc::new(service(server.url()).await);
    set(&service, "other", "v").await;
    server.kill();
    let counter = Counter::default();
    let (one, other) = tokio::join!(
        get(Arc::clone(&service), Duration::ZERO, counter.clone()),
        get(Arc::clone(&service), Duration::ZERO, counter.clone()),
    );
    assert_eq!((one.unwrap(), other.unwrap()), (bytes("value 1"), bytes("value 1")));
    assert_eq!(get(service, Duration::ZERO, counter.clone()).await.unwrap(), "value 1", "it was kept aside");
    assert_eq!(counter.count(), 1);
}
