//! A process that is killed in the midst of it, again and again: what was spent stays within the budget, and little of it is lost.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use access::{Allowances, Ask, Key, KeyConfig, KeyHash, Keyring, Ledgers, Refused, Settings, Used};
use route_plan::Price;

/// The folder of the process that is to be killed.
const FOLDER: &str = "UAT_TEST_KILLED_IN";
/// How many requests it has at once.
const AT_ONCE: &str = "UAT_TEST_AT_ONCE";

/// In nano-USD; a request may cost 2,000 and costs 1,000 on average.
const BUDGET: u64 = 20_000_000;
const MOST: u64 = 2000;

fn key() -> Arc<Key> {
    let config = KeyConfig {
        budget_usd_per_day: Some(BUDGET as f64 / 1e9),
        ..KeyConfig::new("alice", KeyHash::of(b"text"))
    };
    Keyring::new([config]).unwrap().authenticate(b"text").unwrap()
}

/// A request of at most [`MOST`]: each token of the answer costs one nano-USD.
fn ask() -> Ask {
    Ask {
        model: "m".into(),
        prompt_tokens: 0,
        completion_tokens: MOST,
        expected_tokens: None,
        price: Some(Price::new(0.0, 0.001)),
    }
}

/// Not a test of its own: what the process does that is killed. It says on its output what a provider would put on its bill, after
/// the fact and before it settles, until it is refused for the day.
#[test]
fn the_process_that_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let at_once: u64 = std::env::var(AT_ONCE).unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let allowances =
            Arc::new(Allowances::new(Ledgers::on_disk(Path::new(&folder)).unwrap(), Settings::default()));
        let key = key();
        let mut requests = tokio::task::JoinSet::new();
        for number in 0..at_once {
            let (allowances, key) = (Arc::clone(&allowances), Arc::clone(&key));
            requests.spawn(async move {
                let mut random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
                loop {
                    match allowances.admit(&key, ask()).await {
                        Ok(reservation) => {
                            random ^= random << 13;
                            random ^= random >> 7;
                            random ^= random << 17;
                            let used = random % (MOST + 1);
                            tokio::task::yield_now().await;
                            bill(used);
                            reservation.settle(Used { completion_tokens: used, ..Used::default() });
                        }
                        Err(Refused::Budget { retry_after, .. }) if retry_after > Duration::from_secs(1) => {
                            return;
                        }
                        // Others hold it, or the machine is so busy that the ledger did not answer in its time.
                        Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                    }
                }
            });
        }
        while let Some(ended) = requests.join_next().await {
            ended.unwrap();
        }
    });
    println!("\nrefused");
}

/// One write of a whole line: a kill leaves no half of it.
fn bill(used: u64) {
    std::io::stdout().write_all(format!("\nbill {used}\n").as_bytes()).unwrap();
}

fn start(folder: &Path, at_once: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["the_process_that_is_killed", "--exact", "--nocapture"])
        .env(FOLDER, folder)
        .env(AT_ONCE, at_once.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs a process until it has spent so much, or was refused for the day; what it spent, and whether it was refused.
fn run(folder: &Path, at_once: u64, kill_after: u64) -> (u64, bool) {
    let mut child = start(folder, at_once);
    let lines = BufReader::new(child.stdout.take().unwrap());
    let (mut spent, mut is_refused, mut is_killed) = (0, false, false);
    // After the kill the rest of the pipe is read: that, too, is on the bill.
    for line in lines.lines() {
        let line = line.unwrap();
        if let Some(used) = line.strip_prefix("bill ") {
            spent += used.parse::<u64>().unwrap();
        }
        is_refused |= line == "refused";
        if spent >= kill_after && !is_killed {
            child.kill().unwrap();
            is_killed = true;
        }
    }
    child.wait().unwrap();
    (spent, is_refused)
}

#[test]
fn twenty_requests_at_once_killed_at_ninety_percent_spend_at_most_the_budget_and_at_least_98_percent() {
    let folder = tempfile::tempdir().unwrap();
    let (first, is_refused) = run(folder.path(), 20, BUDGET / 10 * 9);
    assert!(!is_refused && first >= BUDGET / 10 * 9);
    let (second, is_refused) = run(folder.path(), 20, u64::MAX);
    assert!(is_refused);
    let spent = first + second;
    assert!(spent <= BUDGET, "{spent} of {BUDGET}");
    assert!(spent >= BUDGET / 100 * 98, "{spent} of {BUDGET}");
    println!("{} % of the budget", spent as f64 / BUDGET as f64 * 100.0);
}

#[test]
fn killed_again_and_again_it_never_spends_more_than_the_budget() {
    let folder = tempfile::tempdir().unwrap();
    let start = Instant::now();
    let (mut spent, mut kills) = (0, 0);
    let step = AtomicU64::new(1);
    loop {
        // Sometimes at once, sometimes in the midst of many claims.
        let after = (step.fetch_add(7919, Ordering::Relaxed) * 104_729) % (BUDGET / 25);
        let (more, is_refused) = run(folder.path(), 8, after);
        spent += more;
        assert!(spent <= BUDGET, "{spent} of {BUDGET} after {kills} kills");
        if is_refused {
            break;
        }
        kills += 1;
        assert!(
            start.elapsed() < Duration::from_secs(120),
            "it must come to an end: {spent} after {kills} kills"
        );
    }
    assert!(kills > 10, "{kills}");
    // Each kill loses at most what was under way and two chunks of half a percent.
    let bound = kills * (8 * MOST + BUDGET / 100);
    assert!(spent + bound >= BUDGET, "{spent} of {BUDGET} after {kills} kills");
    println!("{kills} kills, {} % of the budget", spent as f64 / BUDGET as f64 * 100.0);
}
