//! Admitting requests: limits, budgets, several processes, a ledger that is away.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use access::{
    Allowances, Ask, Claim, Granted, Key, KeyConfig, KeyHash, Keyring, Ledger, LedgerError, Ledgers,
    MemoryLedger, MemoryUsage, OnOutage, Refused, Reservation, Settings, UsageBy, UsageQuery, Used, What,
};
use futures_core::future::BoxFuture;
use route_plan::Price;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A ledger that can be frozen or made to refuse, and counts how often it is asked.
#[derive(Default)]
struct Moody {
    inner: Arc<MemoryLedger>,
    is_frozen: AtomicBool,
    asked: AtomicU64,
}

impl Ledger for Moody {
    fn claim(&self, claim: Claim) -> BoxFuture<'_, Result<Granted, LedgerError>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match self.is_frozen.load(Ordering::Relaxed) {
            true => Box::pin(std::future::pending()),
            false => self.inner.claim(claim),
        }
    }
}

fn config() -> KeyConfig {
    KeyConfig::new("alice", KeyHash::of(b"text"))
}

fn key(config: KeyConfig) -> Arc<Key> {
    Keyring::new([config]).unwrap().authenticate(b"text").unwrap()
}

fn over(ledger: &Arc<Moody>, on_outage: OnOutage) -> Allowances {
    let ledger: Arc<dyn Ledger> = ledger.clone();
    Allowances::new(Ledgers::shared(ledger, Arc::new(MemoryUsage::default())), Settings { on_outage })
}

fn alone() -> Allowances {
    Allowances::new(Ledgers::in_memory(), Settings::default())
}

/// A dollar for a thousand tokens of an answer.
const DEAR: Price = Price::new(0.0, 1000.0);

fn ask(completion_tokens: u64) -> Ask {
    Ask { model: "m".into(), prompt_tokens: 0, completion_tokens, expected_tokens: None, price: Some(DEAR) }
}

fn used(completion_tokens: u64) -> Used {
    Used { completion_tokens, ..Used::default() }
}

async fn admitted(allowances: &Allowances, key: &Arc<Key>, completion_tokens: u64) -> Reservation {
    allowances.admit(key, ask(completion_tokens)).await.unwrap()
}

async fn refused(allowances: &Allowances, key: &Arc<Key>, completion_tokens: u64) -> Refused {
    allowances.admit(key, ask(completion_tokens)).await.unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn a_key_without_limits_is_never_refused_and_no_ledger_is_asked() {
    let ledger = Arc::new(Moody::default());
    let (allowances, key) = (over(&ledger, OnOutage::Refuse), key(config()));
    for _ in 0..1000 {
        admitted(&allowances, &key, 1_000_000).await.settle(used(10));
    }
    assert_eq!(ledger.asked.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn requests_a_minute_are_counted_and_come_back_with_the_next_minute() {
    let (allowances, key) = (alone(), key(KeyConfig { rpm: Some(5), ..config() }));
    for _ in 0..5 {
        admitted(&allowances, &key, 1).await.settle(Used::default());
    }
    let refusal = refused(&allowances, &key, 1).await;
    assert!(
        matches!(refusal, Refused::Rate { what: What::Requests, limit: 5, left: 0, needed: 1, .. }),
        "{refusal:?}"
    );
    assert_eq!((refusal.code(), refusal.retryable()), ("UAT_RATE_LIMITED", true));
    let wait = refusal.retry_after().unwrap();
    assert!(wait > Duration::from_secs(55) && wait <= Duration::from_secs(60), "{wait:?}");
    tokio::time::sleep(wait).await;
    admitted(&allowances, &key, 1).await.settle(Used::default());
}

#[tokio::test(start_paused = true)]
async fn tokens_that_requests_under_way_hold_may_come_back_in_a_second() {
    let (allowances, key) = (alone(), key(KeyConfig { tpm: Some(1000), ..config() }));
    let open = admitted(&allowances, &key, 800).await;
    let refusal = refused(&allowances, &key, 300).await;
    assert!(
        matches!(refusal, Refused::Rate { what: What::Tokens, left: 200, needed: 300, .. }),
        "{refusal:?}"
    );
    assert_eq!(refusal.retry_after(), Some(Duration::from_secs(1)));
    open.settle(used(100));
    let open = admitted(&allowances, &key, 300).await;
    open.settle(used(900));
    let refusal = refused(&allowances, &key, 1).await;
    assert!(
        refusal.retry_after().unwrap() > Duration::from_secs(50),
        "more than was reserved counts, too: {refusal:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_larger_than_the_limit_is_refused_at_once() {
    let (allowances, key) = (alone(), key(KeyConfig { tpm: Some(1000), ..config() }));
    let refusal = refused(&allowances, &key, 1001).await;
    assert!(
        refusal.to_string().contains("1000 tokens a minute") && refusal.to_string().contains("1001"),
        "{refusal}"
    );
    let huge = Ask { prompt_tokens: u64::MAX, ..ask(u64::MAX) };
    assert_eq!(allowances.admit(&key, huge).await.unwrap_err().code(), "UAT_RATE_LIMITED");
    admitted(&allowances, &key, 1000).await.settle(used(1));
}

#[tokio::test(start_paused = true)]
async fn where_one_limit_refuses_the_others_are_not_touched() {
    let config = KeyConfig { rpm: Some(2), budget_usd_per_day: Some(1.0), ..config() };
    let (allowances, key) = (alone(), key(config));
    for _ in 0..5 {
        assert_eq!(refused(&allowances, &key, 2000).await.code(), "UAT_BUDGET_EXCEEDED");
    }
    admitted(&allowances, &key, 10).await.settle(used(10));
    admitted(&allowances, &key, 10).await.settle(used(10));
    assert_eq!(refused(&allowances, &key, 10).await.code(), "UAT_RATE_LIMITED");
}

#[tokio::test]
async fn a_hundred_requests_at_once_never_spend_more_than_the_budget() {
    for round in 0..20 {
        let allowances = Arc::new(alone());
        let key = key(KeyConfig { budget_usd_per_day: Some(1.0), ..config() });
        let mut requests = JoinSet::new();
        for number in 0..100_u64 {
            let (allowances, key) = (Arc::clone(&allowances), Arc::clone(&key));
            requests.spawn(async move {
                let Ok(reservation) = allowances.admit(&key, ask(17)).await else { return 0 };
                tokio::time::sleep(Duration::from_millis((number + round) % 5)).await;
                reservation.settle(used(17))
            });
        }
        let spent: u64 = requests.join_all().await.into_iter().sum();
        // 58 of them fit into 1,000 tokens.
        assert_eq!(spent, 58 * 17 * 1_000_000, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn processes_that_share_a_ledger_spend_the_budget_together_and_all_of_it() {
    let ledger = Arc::new(Moody::default());
    let key = key(KeyConfig { budget_usd_per_day: Some(10.0), ..config() });
    let mut requests = JoinSet::new();
    let processes: Vec<_> = (0..3).map(|_| Arc::new(over(&ledger, OnOutage::Refuse))).collect();
    for process in &processes {
        for number in 0..10_u64 {
            let (process, key) = (Arc::clone(process), Arc::clone(&key));
            requests.spawn(async move {
                let mut spent = 0;
                loop {
                    match process.admit(&key, ask(4)).await {
                        Ok(reservation) => {
                            tokio::task::yield_now().await;
                            spent += reservation.settle(used(1 + number % 4));
                        }
                        Err(refusal) if refusal.retry_after().unwrap() > Duration::from_secs(1) => {
                            return spent;
                        }
                        Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                    }
                }
            });
        }
    }
    let spent: u64 = requests.join_all().await.into_iter().sum();
    let budget = 10_000_000_000;
    assert!(spent <= budget && spent >= budget / 1000 * 995, "{spent}");
    let claims = ledger.asked.load(Ordering::Relaxed);
    assert!(claims < 1500, "{claims} claims for some 4,000 requests");
}

#[tokio::test(start_paused = true)]
async fn a_frozen_ledger_costs_one_request_fifty_milliseconds_and_is_left_alone_for_a_second() {
    let ledger = Arc::new(Moody::default());
    let (allowances, key) = (over(&ledger, OnOutage::Refuse), key(KeyConfig { rpm: Some(200), ..config() }));
    admitted(&allowances, &key, 1).await.settle(used(1));
    ledger.is_frozen.store(true, Ordering::Relaxed);
    let asked = ledger.asked.load(Ordering::Relaxed);
    // What was claimed before is spent without waiting.
    let begin = Instant::now();
    for _ in 0..9 {
        admitted(&allowances, &key, 1).await.settle(used(1));
    }
    assert_eq!(begin.elapsed(), Duration::ZERO);
    let refusal = refused(&allowances, &key, 1).await;
    assert!(matches!(refusal, Refused::Away { what: What::Requests, .. }), "{refusal:?}");
    assert_eq!((refusal.code(), refusal.retry_after()), ("UAT_RATE_LIMITED", Some(Duration::from_secs(1))));
    let waited = begin.elapsed();
    assert!(waited <= Duration::from_millis(52), "{waited:?}");
    assert!(allowances.outage().unwrap().contains("50 ms"), "{:?}", allowances.outage());
    for _ in 0..100 {
        refused(&allowances, &key, 1).await;
    }
    assert_eq!(begin.elapsed(), waited, "nobody else waits");
    assert_eq!(ledger.asked.load(Ordering::Relaxed), asked + 1);
    tokio::time::sleep(Duration::from_millis(1000)).await;
    ledger.is_frozen.store(false, Ordering::Relaxed);
    admitted(&allowances, &key, 1).await.settle(used(1));
    assert_eq!(allowances.outage(), None);
}

#[tokio::test(start_paused = true)]
async fn while_a_ledger_is_away_a_process_may_go_on_alone_within_the_limit() {
    let ledger = Arc::new(Moody::default());
    ledger.is_frozen.store(true, Ordering::Relaxed);
    let (allowances, key) = (over(&ledger, OnOutage::Local), key(KeyConfig { rpm: Some(20), ..config() }));
    let begin = Instant::now();
    // The first is refused by the ledger's silence, or admitted after it; from then on nobody waits.
    let first = allowances.admit(&key, ask(1)).await.is_ok();
    let mut count = u32::from(first);
    while allowances.admit(&key, ask(1)).await.is_ok() {
        count += 1;
    }
    assert!(begin.elapsed() <= Duration::from_millis(52));
    assert_eq!(count, 20);
}

#[tokio::test(start_paused = true)]
async fn a_budget_on_a_model_of_unknown_price_is_refused() {
    let allowances = alone();
    let unknown = Ask { price: None, ..ask(1) };
    let budgeted = key(KeyConfig { budget_usd_per_day: Some(1.0), ..config() });
    let refusal = allowances.admit(&budgeted, unknown.clone()).await.unwrap_err();
    assert_eq!(
        (refusal.code(), refusal.param(), refusal.retryable()),
        ("UAT_FORBIDDEN", Some("model"), false)
    );
    assert!(refusal.to_string().contains("[[models]]"), "{refusal}");
    allowances.admit(&key(config()), unknown).await.unwrap().settle(used(1));
}

#[tokio::test(start_paused = true)]
async fn models_that_are_not_allowed_and_keys_that_were_revoked_are_refused() {
    let allowances = alone();
    let mini = key(KeyConfig { models: vec!["*-mini".to_owned()], ..config() });
    assert_eq!(refused(&allowances, &mini, 1).await.code(), "UAT_FORBIDDEN");
    let ring = Keyring::new([config()]).unwrap();
    let key = ring.authenticate(b"text").unwrap();
    ring.part_from(&ring.successor([]).unwrap());
    assert_eq!(refused(&allowances, &key, 1).await.code(), "UAT_UNAUTHORIZED");
}

#[tokio::test(start_paused = true)]
async fn a_reload_changes_limits_and_forgets_nothing() {
    let allowances = alone();
    let ring = Keyring::new([KeyConfig { rpm: Some(10), ..config() }]).unwrap();
    let key = ring.authenticate(b"text").unwrap();
    for _ in 0..6 {
        admitted(&allowances, &key, 1).await.settle(used(1));
    }
    let ring = ring.successor([KeyConfig { rpm: Some(8), ..config() }]).unwrap();
    let key = ring.authenticate(b"text").unwrap();
    for _ in 0..2 {
        admitted(&allowances, &key, 1).await.settle(used(1));
    }
    assert_eq!(refused(&allowances, &key, 1).await.code(), "UAT_RATE_LIMITED");
    let ring = ring.successor([config()]).unwrap();
    let unlimited = ring.authenticate(b"text").unwrap();
    admitted(&allowances, &unlimited, 1).await.settle(used(1));
    let ring = ring.successor([KeyConfig { rpm: Some(9), ..config() }]).unwrap();
    let key = ring.authenticate(b"text").unwrap();
    admitted(&allowances, &key, 1).await.settle(used(1));
    assert_eq!(refused(&allowances, &key, 1).await.code(), "UAT_RATE_LIMITED");
}

#[tokio::test(start_paused = true)]
async fn what_an_idle_process_holds_comes_back_to_the_others() {
    let ledger = Arc::new(Moody::default());
    let (one, other) = (over(&ledger, OnOutage::Refuse), over(&ledger, OnOutage::Refuse));
    let key = key(KeyConfig { tpm: Some(1000), ..config() });
    admitted(&one, &key, 900).await.settle(used(100));
    let refusal = refused(&other, &key, 800).await;
    assert_eq!(refusal.retry_after(), Some(Duration::from_secs(1)), "{refusal:?}");
    tokio::time::sleep(Duration::from_millis(3500)).await;
    admitted(&other, &key, 800).await.settle(used(800));
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_process_took_with_it_is_waited_for_for_a_minute_and_that_of_a_slow_one_for_longer() {
    let ledger = Arc::new(Moody::default());
    let of_dead = Arc::new(Moody { inner: Arc::clone(&ledger.inner), ..Moody::default() });
    let (dead, slow) = (over(&of_dead, OnOutage::Refuse), over(&ledger, OnOutage::Refuse));
    let other = over(&ledger, OnOutage::Refuse);
    let key = key(KeyConfig { budget_usd_per_day: Some(1.0), ..config() });
    let lost = admitted(&dead, &key, 500).await;
    let open = admitted(&slow, &key, 300).await;
    let wait = |refusal: Refused| refusal.retry_after().unwrap();
    assert_eq!(wait(refused(&other, &key, 250).await), Duration::from_secs(1));
    of_dead.is_frozen.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(70)).await;
    assert_eq!(
        wait(refused(&other, &key, 250).await),
        Duration::from_secs(1),
        "the slow one may give back 300"
    );
    assert!(
        wait(refused(&other, &key, 550).await) > Duration::from_secs(1),
        "the dead one gives back nothing"
    );
    open.settle(used(0));
    tokio::time::sleep(Duration::from_secs(10)).await;
    admitted(&other, &key, 450).await.settle(used(450));
    drop(lost);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_closes_gives_back_what_it_did_not_use() {
    let ledger = Arc::new(Moody::default());
    let one = over(&ledger, OnOutage::Refuse);
    let key = key(KeyConfig { tpm: Some(1000), ..config() });
    admitted(&one, &key, 900).await.settle(used(100));
    one.close().await;
    assert_eq!(refused(&one, &key, 1).await, Refused::Closed);
    admitted(&over(&ledger, OnOutage::Refuse), &key, 900).await.settle(used(900));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_fit_takes_nothing_from_those_that_can_and_costs_few_claims() {
    let ledger = Arc::new(Moody::default());
    let (one, other) = (over(&ledger, OnOutage::Refuse), over(&ledger, OnOutage::Refuse));
    let key = key(KeyConfig { tpm: Some(1000), ..config() });
    // Half of it is reserved elsewhere, so that nobody knows whether it comes back.
    let open = admitted(&other, &key, 500).await;
    for _ in 0..100 {
        let refusal = refused(&one, &key, 700).await;
        assert_eq!(refusal.retry_after(), Some(Duration::from_secs(1)), "{refusal:?}");
    }
    let claims = ledger.asked.load(Ordering::Relaxed);
    assert!(claims < 8, "{claims}");
    admitted(&one, &key, 300).await.settle(used(100));
    tokio::time::sleep(Duration::from_millis(10)).await;
    admitted(&other, &key, 100).await.settle(used(100));
    open.settle(used(0));
}

#[tokio::test(start_paused = true)]
async fn a_large_request_claims_what_it_needs_and_no_more_than_a_chunk_beyond() {
    let ledger = Arc::new(Moody::default());
    let (one, other) = (over(&ledger, OnOutage::Refuse), over(&ledger, OnOutage::Refuse));
    let key = key(KeyConfig { budget_usd_per_day: Some(1.0), ..config() });
    let open = admitted(&one, &key, 500).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    admitted(&other, &key, 490).await.settle(used(490));
    open.settle(used(500));
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_no_frozen_ledger() {
    let ledger = Arc::new(Moody::default());
    let one = over(&ledger, OnOutage::Refuse);
    let key = key(KeyConfig { tpm: Some(1000), ..config() });
    admitted(&one, &key, 900).await.settle(used(100));
    ledger.is_frozen.store(true, Ordering::Relaxed);
    let begin = Instant::now();
    one.close().await;
    assert!(begin.elapsed() <= Duration::from_millis(60), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_given_up_while_it_waits_leaves_the_account_usable() {
    let ledger = Arc::new(Moody::default());
    let (allowances, key) = (over(&ledger, OnOutage::Refuse), key(KeyConfig { rpm: Some(20), ..config() }));
    ledger.is_frozen.store(true, Ordering::Relaxed);
    let given_up = tokio::time::timeout(Duration::from_millis(10), allowances.admit(&key, ask(1))).await;
    assert!(given_up.is_err());
    ledger.is_frozen.store(false, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    for _ in 0..20 {
        admitted(&allowances, &key, 1).await.settle(used(1));
    }
}

#[tokio::test(start_paused = true)]
async fn usage_says_who_used_what_and_how_much_of_it_is_estimated() {
    let allowances = alone();
    let key = key(config());
    admitted(&allowances, &key, 100).await.settle(Used {
        prompt_tokens: 50,
        cached_prompt_tokens: 20,
        completion_tokens: 30,
        is_estimate: false,
    });
    admitted(&allowances, &key, 100).await.settle(Used::default());
    drop(admitted(&allowances, &key, 100).await);
    let query = UsageQuery { by: vec![UsageBy::Key, UsageBy::Model], ..UsageQuery::default() };
    let rows = allowances.usage(&query).await.unwrap();
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    assert_eq!((&*row.key, &*row.model, row.requests, row.estimated), ("alice", "m", 3, 1));
    assert_eq!((row.prompt_tokens, row.cached_prompt_tokens, row.completion_tokens), (50, 20, 130));
    assert_eq!(row.cost, 130_000_000, "what was dropped counts as the most it may have cost");
}

#[tokio::test]
async fn on_disk_money_and_usage_are_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let key = key(KeyConfig { budget_usd_per_day: Some(1.0), ..config() });
    let open = || Allowances::new(Ledgers::on_disk(folder.path()).unwrap(), Settings::default());
    let allowances = open();
    admitted(&allowances, &key, 900).await.settle(used(600));
    allowances.close().await;
    drop(allowances);
    let allowances = open();
    let refusal = refused(&allowances, &key, 401).await;
    assert_eq!(refusal.code(), "UAT_BUDGET_EXCEEDED");
    assert!(
        refusal.to_string().contains("0.401 USD") && refusal.to_string().contains("0.40 USD"),
        "{refusal}"
    );
    assert!(refusal.retry_after().unwrap() <= Duration::from_secs(24 * 3600));
    admitted(&allowances, &key, 400).await.settle(used(400));
    let rows = allowances.usage(&UsageQuery::default()).await.unwrap();
    assert_eq!((rows[0].requests, rows[0].cost), (2, 1_000_000_000));
}
