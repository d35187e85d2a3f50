//! What limits cost a request.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a benchmark fails")]

use std::sync::Arc;

use access::{Allowances, Ask, KeyConfig, KeyHash, Keyring, Ledgers, Settings, Used};
use route_plan::Price;

fn main() {
    divan::main();
}

/// A key with all three limits is asked, admitted and settled, as on every request.
#[divan::bench(args = ["no limits", "all limits"])]
fn admit_and_settle(bencher: divan::Bencher<'_, '_>, limits: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut config = KeyConfig::new("alice", KeyHash::of(b"text"));
    if limits == "all limits" {
        (config.rpm, config.tpm, config.budget_usd_per_day) = (Some(1 << 50), Some(1 << 52), Some(9e6));
    }
    let key = Keyring::new([config]).unwrap().authenticate(b"text").unwrap();
    let allowances = Allowances::new(Ledgers::in_memory(), Settings::default());
    let model: Arc<str> = "gpt-5-mini".into();
    let price = Some(Price::new(0.25, 2.0).cached(0.025));
    runtime.block_on(async {
        // The first waits for its claims.
        let first = Ask {
            model: Arc::clone(&model),
            prompt_tokens: 1,
            completion_tokens: 1,
            expected_tokens: None,
            price,
        };
        allowances.admit(&key, first).await.unwrap().settle(Used::default());
        bencher.bench_local(|| {
            let ask = Ask {
                model: Arc::clone(&model),
                prompt_tokens: 1000,
                completion_tokens: 100,
                expected_tokens: None,
                price,
            };
            let mut admit = std::pin::pin!(allowances.admit(&key, ask));
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            let std::task::Poll::Ready(Ok(reservation)) = admit.as_mut().poll(&mut context) else {
                panic!("what is held must be enough");
            };
            reservation.settle(Used { prompt_tokens: 900, completion_tokens: 70, ..Used::default() })
        });
    });
}

/// Who is asking, among so many keys.
#[divan::bench(args = [1, 100, 10_000])]
fn authenticate(bencher: divan::Bencher<'_, '_>, keys: usize) {
    let text = |number: usize| format!("uat-{number:043}");
    let rows =
        (0..keys).map(|number| KeyConfig::new(format!("key{number}"), KeyHash::of(text(number).as_bytes())));
    let keyring = Keyring::new(rows).unwrap();
    let presented = text(keys - 1);
    bencher.bench_local(|| keyring.authenticate(divan::black_box(presented.as_bytes())));
}
