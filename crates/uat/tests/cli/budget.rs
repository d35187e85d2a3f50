//! Nobody exceeds a budget: not with many requests at once, not over a crash, not with several servers, not while Redis hangs.
//! `cargo test -p uat --test cli budget -- --nocapture` prints the figures.
#![expect(clippy::print_stdout, reason = "the figures are what this is run for")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use runtime::access::KeyHash;
use testkit::redis::{RedisCluster, RedisServer};
use testkit::{Answer, Behaviour, FakeProvider};

use crate::support::{Place, Server};

/// An answer's tokens, as many as are asked for.
const TOKENS: usize = 40;
/// What one answer costs, in nano-USD: 7 tokens at 1 USD and 40 at 10 USD a million.
const COST: u64 = 7 * 1_000 + TOKENS as u64 * 10_000;
/// In nano-USD.
const BUDGET: u64 = 1_000_000_000;
/// The goal: at most so much of the budget is lost.
const LOST: f64 = 0.02;

fn body() -> String {
    format!(r#"{{"model":"m","max_tokens":{TOKENS},"messages":[{{"role":"user","content":"hello"}}]}}"#)
}

/// A server with a key `team` whose text is `secret`.
fn place(provider: &FakeProvider, limits: &str, more: &str) -> Place {
    let place = Place::at(provider);
    let config = std::fs::read_to_string(place.path().join("uat.toml")).unwrap();
    let config = config.replace("[server]\n", "[server]\nstate_dir = \"state\"\n");
    let config = config.replace("name = \"m\"\n", "name = \"m\"\nprice = { input = 1.0, output = 10.0 }\n");
    let hash = KeyHash::of(b"secret");
    let keys = format!("\n[[keys]]\nname = \"team\"\nhash = \"{hash}\"\n{limits}\n{more}\n");
    place.write("uat.toml", &(config + &keys));
    place
}

fn budgeted(provider: &FakeProvider, more: &str) -> Place {
    place(provider, &format!("budget_usd_per_day = {}", BUDGET as f64 / 1e9), more)
}

/// The status of one request; 0 where the server has gone.
fn ask(server: &Server, body: &str) -> u16 {
    let answer =
        server.try_ask_with("POST", "/v1/chat/completions", &[("authorization", "Bearer secret")], body);
    let answer = answer.unwrap_or_default();
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// Twenty at once ask these servers in turn until `enough` says so. How many were answered, and how many refused.
fn ask_until(servers: &[&Server], enough: impl Fn(u16, usize) -> bool + Sync) -> (usize, usize) {
    let (answered, refused, stop) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for at in 0..20 {
            let (answered, refused, stop, enough) = (&answered, &refused, &stop, &enough);
            scope.spawn(move || {
                let (server, body) = (servers[at % servers.len()], body());
                while !stop.load(Ordering::Relaxed) {
                    let status = ask(server, &body);
                    let count = match status {
                        200 => answered.fetch_add(1, Ordering::Relaxed) + 1,
                        _ => {
                            refused.fetch_add(1, Ordering::Relaxed);
                            answered.load(Ordering::Relaxed)
                        }
                    };
                    if enough(status, count) {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    (answered.into_inner(), refused.into_inner())
}

/// Asks until nothing is left: a refusal while others are under way may yet be followed by an answer.
fn ask_to_the_end(servers: &[&Server]) {
    ask_until(servers, |status, _| status == 429);
    let mut refusals = 0;
    let begun = Instant::now();
    while refusals < 3 * servers.len() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it is never refused");
        for server in servers {
            match ask(server, &body()) {
                200 => refusals = 0,
                429 => refusals += 1,
                other => panic!("status {other}"),
            }
        }
    }
}

/// What the provider was asked to spend is within the budget, and hardly below it.
fn check(what: &str, provider: &FakeProvider) {
    let spent = provider.requests().len() as u64 * COST;
    let lost = 1.0 - spent as f64 / BUDGET as f64;
    println!(
        "{what}: {} requests, {:.6} of {:.2} USD, {:.2} % below the budget",
        provider.requests().len(),
        spent as f64 / 1e9,
        BUDGET as f64 / 1e9,
        lost * 100.0
    );
    assert!(spent <= BUDGET, "{what}: {spent} nano-USD of {BUDGET}");
    assert!(lost <= LOST, "{what}: {spent} nano-USD of {BUDGET}");
}

async fn provider() -> FakeProvider {
    let provider = FakeProvider::start().await.unwrap();
    provider.set_default(Behaviour::Answer(Answer::tokens(TOKENS)));
    provider
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn twenty_at_once_and_a_crash_at_ninety_percent() {
    let provider = provider().await;
    let place = budgeted(&provider, "");
    let server = place.serve(&["serve"]);
    let ninety = (BUDGET * 9 / 10 / COST) as usize;
    let (answered, refused) = tokio::task::block_in_place(|| {
        ask_until(&[&server], |_, answered| {
            if answered == ninety {
                server.signal("KILL");
            }
            answered >= ninety
        })
    });
    println!("killed after {answered} answers, {refused} cut");
    drop(server);
    let server = place.serve(&["serve"]);
    tokio::task::block_in_place(|| ask_to_the_end(&[&server]));
    check("one server, killed once", &provider);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn two_servers_share_a_budget_through_redis_and_one_is_killed() {
    let provider = provider().await;
    let redis = RedisServer::start().unwrap();
    let more = format!("[redis]\nurl = \"{}\"\n", redis.url());
    let (one, other) = (budgeted(&provider, &more), budgeted(&provider, &more));
    let (first, second) = (one.serve(&["serve"]), other.serve(&["serve"]));
    let ninety = (BUDGET * 9 / 10 / COST) as usize;
    tokio::task::block_in_place(|| {
        ask_until(&[&first, &second], |_, answered| {
            if answered == ninety {
                first.signal("KILL");
            }
            answered >= ninety
        })
    });
    drop(first);
    let first = one.serve(&["serve"]);
    tokio::task::block_in_place(|| ask_to_the_end(&[&first, &second]));
    check("two servers with one Redis, one killed", &provider);
    let usage = one.run(&["usage", "--by", "key", "--json"]).json();
    println!("usage: {usage}");
}

/// One of two servers and the master that has the budget are killed at the same moment, with twenty requests under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_and_a_master_of_a_cluster_are_killed_and_no_money_is_spent_twice() {
    let provider = provider().await;
    let cluster = RedisCluster::start().unwrap();
    let more = format!("[redis]\nurl = \"{}\"\n", cluster.url());
    let (one, other) = (budgeted(&provider, &more), budgeted(&provider, &more));
    let (first, second) = (one.serve(&["serve"]), other.serve(&["serve"]));
    let half = (BUDGET / 2 / COST) as usize;
    tokio::task::block_in_place(|| {
        ask_until(&[&first, &second], |_, answered| answered >= half);
        let of_money = |node: &RedisServer| node.cli(&["KEYS", "*limits:team:money:*"]).unwrap_or_default();
        let keys = cluster.servers().iter().map(of_money).find(|keys| !keys.is_empty()).unwrap();
        let key = keys.lines().next().unwrap().to_owned();

        // What the server that is left answers while the cluster finds another master.
        let (answered, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let begun = Instant::now();
        let last_refusal = std::sync::Mutex::new(Duration::ZERO);
        let killed = std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| {
                    let body = body();
                    while begun.elapsed() < Duration::from_secs(5) {
                        match ask(&second, &body) {
                            200 => answered.fetch_add(1, Ordering::Relaxed),
                            429 => {
                                *last_refusal.lock().unwrap() = begun.elapsed();
                                refused.fetch_add(1, Ordering::Relaxed)
                            }
                            status => panic!("status {status}"),
                        };
                        std::thread::sleep(Duration::from_millis(100));
                    }
                });
            }
            first.signal("KILL");
            cluster.kill_master_of(&key).unwrap()
        });
        let (answered, refused) = (answered.into_inner(), refused.into_inner());
        println!(
            "node {killed} and a server killed: within 5 s {answered} answered, {refused} refused ({:.1} %), the last after {:?}",
            100.0 * refused as f64 / (answered + refused) as f64,
            last_refusal.into_inner().unwrap()
        );
        assert!(answered > 0, "what was claimed before is spent meanwhile");
    });
    drop(first);
    let first = one.serve(&["serve"]);
    tokio::task::block_in_place(|| ask_to_the_end(&[&first, &second]));
    check("two servers with a cluster, a server and a master killed", &provider);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn while_redis_hangs_nobody_waits_and_only_what_was_claimed_is_spent() {
    let provider = provider().await;
    let redis = RedisServer::start().unwrap();
    let more = format!("[redis]\nurl = \"{}\"\n", redis.url());
    let place = budgeted(&provider, &more);
    let server = place.serve(&["serve"]);
    let slowest = |requests: usize| {
        let (mut slowest, mut answered) = (Duration::ZERO, 0);
        for _ in 0..requests {
            let begun = Instant::now();
            let status = ask(&server, &body());
            slowest = slowest.max(begun.elapsed());
            assert!(matches!(status, 200 | 429), "{status}");
            answered += u64::from(status == 200);
        }
        (slowest, answered)
    };
    tokio::task::block_in_place(|| {
        slowest(50);
        let (before, answered) = slowest(300);
        assert_eq!(answered, 300);
        redis.freeze().unwrap();
        let (frozen, answered) = slowest(300);
        let spent = answered * COST;
        println!(
            "slowest before {before:?}, frozen {frozen:?}; {answered} of 300 answered, {spent} nano-USD"
        );
        assert!(frozen <= before + Duration::from_millis(100), "{before:?}, then {frozen:?}");
        // A chunk is half a percent; what is refilled before it runs dry makes it two.
        assert!(answered < 300 && spent <= BUDGET / 50, "{spent} of {BUDGET}");
        redis.thaw().unwrap();
        let begun = Instant::now();
        while ask(&server, &body()) != 200 {
            assert!(begun.elapsed() < Duration::from_secs(10), "it goes on when Redis is back");
            std::thread::sleep(Duration::from_millis(50));
        }
        ask_to_the_end(&[&server]);
    });
    check("Redis frozen once", &provider);
}
