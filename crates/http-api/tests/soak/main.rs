//! Streams, cancels and faults, mixed, for long: no answer is wrong, and nothing is left of them.
//!
//! `npm run test:soak` sends a million requests, or as many as `UAT_SOAK_REQUESTS` says; the tests a few thousand.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a panic is how a test fails, in its helpers too, and a long one tells how far it is"
)]

mod answered;
mod asked;
mod client;
mod faults;
mod process;
mod service;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::task::JoinSet;

use crate::answered::Outcome;
use crate::asked::{Asked, MODELS};
use crate::client::Client;
use crate::process::Process;
use crate::service::Service;

/// Requests under way at the same time: more than the model with limits bears, so that some wait in line.
const CLIENTS: u64 = 64;
/// Any number: that of all runs, so that they can be compared.
const SEED: u64 = 0x5eed;
/// Below this, a tenth of the requests does not fill what is filled once: caches, pools, the allocator's own.
const MEMORY_IS_SETTLED: u64 = 50_000;
/// Wrong answers that are shown.
const SHOWN: usize = 5;

/// What became of the requests.
#[derive(Default)]
struct Tally {
    complete: u64,
    left: u64,
    failed: BTreeMap<String, u64>,
    wrong: u64,
    shown: Vec<String>,
}

impl Tally {
    fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Complete => self.complete += 1,
            Outcome::Left => self.left += 1,
            Outcome::Failed(kind) => *self.failed.entry(kind).or_default() += 1,
            Outcome::Wrong(why) => {
                self.wrong += 1;
                if self.shown.len() < SHOWN {
                    self.shown.push(why);
                }
            }
        }
    }

    fn failures(&self) -> u64 {
        self.failed.values().sum()
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { complete, left, wrong, .. } = self;
        write!(
            f,
            "{complete} complete, {left} left by the client, {} failed with a code, {wrong} wrong",
            self.failures()
        )
    }
}

/// What the clients share.
struct Run {
    service: Service,
    requests: u64,
    next: AtomicU64,
    tally: Mutex<Tally>,
    begun: Instant,
    /// The process after each tenth.
    tenths: Mutex<Vec<Process>>,
}

impl Run {
    async fn client(self: Arc<Self>) {
        let mut client = Client::new(self.service.addr);
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.requests {
                return;
            }
            let mut rng = fastrand::Rng::with_seed(SEED.wrapping_add(number));
            let outcome = client.ask(&Asked::of(number, &mut rng)).await;
            self.tally.lock().unwrap().add(outcome);
            if number.is_multiple_of(500) {
                self.service.forget();
            }
            if (number + 1).is_multiple_of((self.requests / 10).max(1)) {
                self.progress(number + 1);
            }
        }
    }

    fn progress(&self, number: u64) {
        let now = Process::now();
        self.tenths.lock().unwrap().push(now);
        let seconds = self.begun.elapsed().as_secs_f64();
        let (percent, rate) = (100 * number / self.requests, number as f64 / seconds);
        eprintln!("{percent:3} %  {seconds:.0} s  {rate:.0}/s  {now}  {}", self.tally.lock().unwrap());
    }
}

async fn soak(requests: u64) {
    let service = Service::start().await;
    service.providers_fail(SEED);
    let run = Arc::new(Run {
        service,
        requests,
        next: AtomicU64::new(0),
        tally: Mutex::default(),
        begun: Instant::now(),
        tenths: Mutex::default(),
    });
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(Arc::clone(&run).client());
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    let Run { service, tally, begun, tenths, .. } = Arc::into_inner(run).unwrap();
    let (tally, tenths) = (tally.into_inner().unwrap(), tenths.into_inner().unwrap());
    let seconds = begun.elapsed().as_secs_f64();
    let (first, last) = (tenths[0], Process::now());
    let growth = last.growth_since(first);
    eprintln!("{requests} requests in {seconds:.0} s: {tally}");
    eprintln!("failures: {:?}", tally.failed);
    eprintln!(
        "after a tenth {first}, at the end {last}: memory {:+.1} %",
        growth.unwrap_or_default() * 100.0
    );

    assert_eq!(tally.wrong, 0, "{:#?}", tally.shown);
    let answered = requests - tally.left;
    assert!(
        tally.complete * 10 >= answered * 8,
        "fewer than 8 of 10 were complete: {tally}, {:?}",
        tally.failed
    );
    service.comes_to_rest().await;
    let accepted = service.metric("uat_requests_total").await;
    assert!(accepted <= requests as f64, "{accepted} requests were counted of {requests}");
    if let Some(growth) = growth.filter(|_| requests >= MEMORY_IS_SETTLED) {
        assert!(growth <= 0.2, "memory grew by {:.1} %", growth * 100.0);
    }
    all_is_well_again(&service).await;
    service.end().await;
}

/// No pause, breaker, quarantine or budget outlasts what caused it.
async fn all_is_well_again(service: &Service) {
    service.providers_are_well();
    let mut client = Client::new(service.addr);
    let took = service
        .recovers(async |number| {
            for model in MODELS {
                client.ask(&Asked::plain(number, model)).await;
            }
        })
        .await;
    for model in MODELS {
        for number in 0..100 {
            let outcome = client.ask(&Asked::plain(number, model)).await;
            assert_eq!(outcome, Outcome::Complete, "request {number} to {model} after all was well");
        }
    }
    let open = service.upstream_connections();
    eprintln!(
        "all endpoints could be asked after {:.1} s; {open} connections to them are kept",
        took.as_secs_f64()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_of_thousands_is_wrong_and_nothing_is_left_of_them() {
    soak(3_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: npm run test:soak"]
async fn no_answer_of_a_million_is_wrong_and_nothing_is_left_of_them() {
    let requests = std::env::var("UAT_SOAK_REQUESTS").map_or(1_000_000, |number| number.parse().unwrap());
    soak(requests).await;
}
