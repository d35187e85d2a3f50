use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use access::{
    Account, Allowances, Ask, InstanceId, Key, KeyConfig, KeyHash, Keyring, MemoryLedger, MemoryUsage,
    OnOutage, Period, Refused, Settings, UsageBy, UsageLog, UsageQuery, UsageRow, Used, What,
};
use route_plan::Price;
use testkit::redis::{RedisCluster, RedisServer, Sentinels};
use tokio::task::JoinSet;

use super::*;

fn ledger(url: impl Into<String>) -> Arc<RedisLedger> {
    RedisLedger::new(&Options { url: Some(url.into()), key_prefix: "app:".to_owned(), ..Options::default() })
}

fn claim(instance: u64, number: u64, total: u64) -> Claim {
    Claim {
        account: Account { key: "alice {x} \u{e9}".into(), what: What::Money, period: Period::Day },
        instance: InstanceId(instance),
        number,
        limit: 1000,
        window: None,
        held: 0,
        total,
        spent: 0,
        fresh: total,
    }
}

const DAY_MS: u64 = 86_400_000;

#[tokio::test]
async fn it_grants_what_the_ledger_in_memory_grants() {
    let server = RedisServer::start().unwrap();
    let shared = ledger(server.url());
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..20_u64 {
        let memory = MemoryLedger::default();
        // Of each instance: what it was granted, and the windows of the two ledgers, once it knows them.
        let mut held = [(0, None); 3];
        for number in 1..40 {
            let at = random.usize(0..3);
            let (granted, windows) = held[at];
            let total = granted + random.u64(0..400);
            let shrinks = random.bool();
            let base = Claim {
                account: Account { key: format!("round{round}").into(), ..claim(0, 0, 0).account },
                instance: InstanceId(at as u64),
                // Now and then one comes again, or late.
                number: if random.u8(0..5) == 0 { number - 1 } else { number },
                held: if shrinks { granted / 2 } else { granted },
                total: if shrinks { granted / 2 } else { total },
                spent: granted / 4,
                fresh: random.u64(0..200),
                limit: random.u64(500..1500),
                ..claim(0, 0, 0)
            };
            let with = |window| Claim { window, ..base.clone() };
            let one = shared.claim(with(windows.map(|(window, _)| window))).await.unwrap();
            let other = memory.claim(with(windows.map(|(_, window)| window))).await.unwrap();
            assert_eq!(
                (one.granted, one.others, one.others_spent),
                (other.granted, other.others, other.others_spent),
                "round {round}, claim {number}: {base:?}"
            );
            assert!(one.ends_in <= Duration::from_millis(DAY_MS) && !one.ends_in.is_zero());
            held[at] = (one.granted, Some((one.window, other.window)));
        }
    }
    shared.close().await;
}

#[tokio::test]
async fn a_clock_that_is_set_back_gives_no_fresh_budget_and_no_endless_day() {
    let server = RedisServer::start().unwrap();
    let shared = ledger(server.url());
    let noon = 20_000 * DAY_MS + DAY_MS / 2;
    let first = shared.set(&claim(1, 1, 1000), Some(noon)).await.unwrap();
    assert_eq!(
        (first.window, first.granted, first.ends_in),
        (20_000, 1000, Duration::from_millis(DAY_MS / 2))
    );
    for back in [1, 3_600_000, 5 * DAY_MS] {
        let granted = shared.set(&claim(2, back, 10), Some(noon - back)).await.unwrap();
        assert_eq!((granted.window, granted.granted, granted.others), (20_000, 0, 1000), "{back}");
        assert!(granted.ends_in <= Duration::from_millis(DAY_MS));
    }
    // Time goes on from where it was: half a day later the next day begins, by a clock that is five days behind.
    let later = shared.set(&claim(2, 6 * DAY_MS, 10), Some(noon - 5 * DAY_MS + DAY_MS / 2)).await.unwrap();
    assert_eq!((later.window, later.granted), (20_001, 10));
    // And when the clock has been set right, its days count again.
    let right = shared.set(&claim(2, 7 * DAY_MS, 10), Some(20_003 * DAY_MS + 5)).await.unwrap();
    assert_eq!((right.window, right.ends_in), (20_003, Duration::from_millis(DAY_MS - 5)));
    shared.close().await;
}

#[tokio::test]
async fn a_server_that_forgot_learns_what_is_held_and_which_window_it_is() {
    let server = RedisServer::start().unwrap();
    let shared = ledger(server.url());
    let first = shared.set(&claim(1, 1, 600), Some(20_000 * DAY_MS)).await.unwrap();
    server.cli(&["FLUSHALL"]).unwrap();
    let others = shared.set(&claim(2, 1, 900), Some(20_000 * DAY_MS)).await.unwrap();
    assert_eq!(others.granted, 900);
    let remembered = Claim { window: Some(first.window), held: 600, spent: 500, ..claim(1, 2, 700) };
    let granted = shared.set(&remembered, Some(20_000 * DAY_MS)).await.unwrap();
    assert_eq!((granted.granted, granted.others), (600, 900), "it may be spent, and counts");
    let more = Claim { window: Some(first.window), held: 900, ..claim(2, 2, 1000) };
    assert_eq!(shared.set(&more, Some(20_000 * DAY_MS)).await.unwrap().others, 600);
    server.cli(&["FLUSHALL"]).unwrap();
    // The clock of another server is behind: the day that has begun has begun.
    let behind = shared.set(&Claim { number: 3, ..remembered }, Some(20_000 * DAY_MS - 1)).await.unwrap();
    assert_eq!((behind.window, behind.granted), (20_000, 700));
    shared.close().await;
}

#[tokio::test]
async fn what_a_silent_instance_took_with_it_is_not_waited_for() {
    let server = RedisServer::start().unwrap();
    let shared = ledger(server.url());
    let at = 20_000 * DAY_MS;
    let dead = shared.set(&claim(1, 1, 600), Some(at)).await.unwrap();
    shared
        .set(&Claim { window: Some(dead.window), held: 600, spent: 500, ..claim(1, 2, 600) }, Some(at))
        .await
        .unwrap();
    let refused = |number, now| {
        let claim = claim(2, number, 500);
        let shared = &shared;
        async move { shared.set(&claim, Some(now)).await.unwrap() }
    };
    let soon = refused(1, at + 59_999).await;
    assert_eq!((soon.granted, soon.others, soon.others_spent), (400, 600, 500));
    assert_eq!(refused(2, at + 60_000).await.others_spent, 600);
    shared.close().await;
}

#[tokio::test]
async fn accounts_do_not_stay_for_ever() {
    let server = RedisServer::start().unwrap();
    let shared = ledger(server.url());
    shared.claim(claim(1, 1, 600)).await.unwrap();
    let keys = server.cli(&["KEYS", "*"]).unwrap();
    assert!(keys.starts_with("app:~uat:limits:alice"), "{keys}");
    let left: u64 = server.cli(&["PTTL", keys.trim()]).unwrap().parse().unwrap();
    assert!(left > DAY_MS && left <= 2 * DAY_MS);
    shared.close().await;
}

const BUDGET: u64 = 20_000_000;
const MOST: u64 = 2000;

fn key(config: KeyConfig) -> Arc<Key> {
    Keyring::new([config]).unwrap().authenticate(b"text").unwrap()
}

fn budgeted() -> Arc<Key> {
    let budget_usd_per_day = Some(BUDGET as f64 / 1e9);
    key(KeyConfig { budget_usd_per_day, ..KeyConfig::new("alice", KeyHash::of(b"text")) })
}

/// Each token of the answer costs one nano-USD.
fn ask() -> Ask {
    Ask {
        model: "m".into(),
        prompt_tokens: 0,
        completion_tokens: MOST,
        expected_tokens: None,
        price: Some(Price::new(0.0, 0.001)),
    }
}

/// A replica of the gateway, with its own connection.
fn replica(url: String) -> Arc<Allowances> {
    Arc::new(Allowances::new(ledger(url).ledgers(), Settings::default()))
}

/// A ledger that hears nothing any more of a process that was killed.
struct Killed {
    inner: Arc<RedisLedger>,
    is_dead: AtomicBool,
}

impl Ledger for Killed {
    fn claim(&self, claim: Claim) -> BoxFuture<'_, Result<Granted, LedgerError>> {
        match self.is_dead.load(Ordering::Relaxed) {
            true => Box::pin(std::future::pending()),
            false => self.inner.claim(claim),
        }
    }
}

/// Twenty requests at once, until so much is spent or the day's money is; what was spent. Refusals that say to come back soon are
/// waited for.
async fn spend(replica: &Arc<Allowances>, key: &Arc<Key>, until: u64) -> u64 {
    let spent = Arc::new(AtomicU64::new(0));
    let mut requests = JoinSet::new();
    for number in 0..20_u64 {
        let (replica, key, spent) = (Arc::clone(replica), Arc::clone(key), Arc::clone(&spent));
        requests.spawn(async move {
            let mut random = fastrand::Rng::with_seed(number);
            while spent.load(Ordering::Relaxed) < until {
                match replica.admit(&key, ask()).await {
                    Ok(reservation) => {
                        let used = random.u64(0..=MOST);
                        tokio::task::yield_now().await;
                        let cost = reservation.settle(Used { completion_tokens: used, ..Used::default() });
                        spent.fetch_add(cost, Ordering::Relaxed);
                    }
                    Err(Refused::Budget { left, .. }) if left.0 < MOST => return,
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        });
    }
    requests.join_all().await;
    spent.load(Ordering::Relaxed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_of_which_one_is_killed_and_started_again_spend_at_most_the_budget_and_at_least_98_percent()
 {
    let server = RedisServer::start().unwrap();
    let key = budgeted();
    let killed = Arc::new(Killed { inner: ledger(server.url()), is_dead: AtomicBool::new(false) });
    let ledgers = Ledgers::shared(killed.clone(), Arc::new(MemoryUsage::default()));
    let (one, other) = (Arc::new(Allowances::new(ledgers, Settings::default())), replica(server.url()));
    let (first, second) =
        tokio::join!(spend(&one, &key, BUDGET / 20 * 9), spend(&other, &key, BUDGET / 20 * 9));
    let mut unfinished = Vec::new();
    for _ in 0..20 {
        unfinished.push(one.admit(&key, ask()).await.unwrap());
    }
    // Nothing is settled or given back any more.
    killed.is_dead.store(true, Ordering::Relaxed);
    let again = replica(server.url());
    let (third, fourth) = tokio::join!(spend(&again, &key, u64::MAX), spend(&other, &key, u64::MAX));
    let spent = first + second + third + fourth;
    assert!((BUDGET / 100 * 98..=BUDGET).contains(&spent), "{spent} of {BUDGET}");
    println!("{} % of the budget", spent as f64 / BUDGET as f64 * 100.0);
    again.close().await;
    other.close().await;
    drop(unfinished);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_loses_no_budget() {
    let redis = Sentinels::start().unwrap();
    let key = budgeted();
    let one = replica(redis.url());
    // The first claims wait until the connection stands.
    let first = spend(&one, &key, BUDGET / 2).await;
    assert!(first >= BUDGET / 2);
    let master = redis.kill_master().unwrap();
    redis.wait_for_failover_from(master).unwrap();
    let spent = first + spend(&one, &key, u64::MAX).await;
    assert!((BUDGET / 100 * 98..=BUDGET).contains(&spent), "{spent} of {BUDGET}");
    one.close().await;
}

#[tokio::test]
async fn in_a_cluster_each_account_is_where_its_key_is() {
    let cluster = RedisCluster::start().unwrap();
    let shared = ledger(cluster.url());
    for number in 0..30 {
        let account = Account { key: format!("key{number}").into(), ..claim(0, 0, 0).account };
        let of = |claim: Claim| Claim { account: account.clone(), ..claim };
        assert_eq!(shared.claim(of(claim(1, 1, 600))).await.unwrap().granted, 600);
        assert_eq!(shared.claim(of(claim(2, 1, 600))).await.unwrap().granted, 400);
    }
    let rows = [row("a", 480_000, 3)];
    shared.add(1, &rows).await.unwrap();
    assert_eq!(shared.read(480_000, 480_000).await.unwrap(), rows);
    shared.close().await;
}

#[tokio::test]
async fn a_frozen_redis_holds_up_nobody_for_longer_than_a_claim_may_take() {
    let server = RedisServer::start().unwrap();
    let shared = ledger(server.url());
    let allowances = Allowances::new(shared.ledgers(), Settings { on_outage: OnOutage::Refuse });
    let key = key(KeyConfig { rpm: Some(1000), ..KeyConfig::new("alice", KeyHash::of(b"text")) });
    allowances.admit(&key, ask()).await.unwrap().settle(Used::default());
    server.freeze().unwrap();
    let (mut admitted, mut slowest, begin) = (1, Duration::ZERO, Instant::now());
    while begin.elapsed() < Duration::from_millis(2500) {
        let asked = Instant::now();
        match allowances.admit(&key, ask()).await {
            Ok(reservation) => {
                reservation.settle(Used::default());
                admitted += 1;
            }
            Err(refused) => assert!(matches!(refused, Refused::Away { .. }), "{refused:?}"),
        }
        slowest = slowest.max(asked.elapsed());
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    assert!(admitted <= 51, "{admitted} of the 50 that were borrowed, and the first");
    assert!(slowest < Duration::from_millis(100), "{slowest:?}");
    assert!(allowances.outage().is_some());
    server.thaw().unwrap();
    let back = Instant::now();
    while allowances.admit(&key, ask()).await.map(|reservation| reservation.settle(Used::default())).is_err()
    {
        assert!(back.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    allowances.close().await;
    shared.close().await;
}

#[tokio::test]
async fn without_redis_at_all_it_is_away() {
    let shared = ledger("redis://127.0.0.1:1");
    let begin = Instant::now();
    let away = shared.claim(claim(1, 1, 1)).await.unwrap_err();
    assert_eq!((away.code(), away.retryable()), ("UAT_STORAGE", true));
    assert!(begin.elapsed() < Duration::from_secs(2));
    shared.close().await;
}

fn row(key: &str, hour: u64, cost: u64) -> UsageRow {
    UsageRow { key: key.into(), model: "a \"model\"".into(), hour, requests: 1, cost, ..UsageRow::default() }
}

#[tokio::test]
async fn usage_is_added_up_and_a_batch_that_comes_again_counts_once() {
    let server = RedisServer::start().unwrap();
    let shared = ledger(server.url());
    let hour = 480_023;
    let rows = [row("a", hour, 3), row("b", hour, 5), row("a", hour + 1, 7)];
    shared.add(1, &rows).await.unwrap();
    shared.add(1, &rows).await.unwrap();
    shared.add(2, &rows[..1]).await.unwrap();
    let query = UsageQuery { by: vec![UsageBy::Key], ..UsageQuery::default() };
    let all = access::summarise(shared.read(hour - 500, hour + 1).await.unwrap(), &query);
    let sums: Vec<_> = all.iter().map(|row| (&*row.key, row.requests, row.cost)).collect();
    assert_eq!(sums, [("a", 3, 13), ("b", 1, 5)]);
    assert_eq!(shared.read(hour + 1, hour + 1).await.unwrap(), rows[2..]);
    let left: u64 =
        server.cli(&["TTL", &format!("app:~uat:usage:{{{}}}", hour / 24)]).unwrap().parse().unwrap();
    assert!(left > 399 * 86_400 && left <= 400 * 86_400);
    shared.close().await;
}
