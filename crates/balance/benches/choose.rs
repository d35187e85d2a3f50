//! What one choice among endpoints costs.

use std::time::{Duration, Instant};

fn main() {
    divan::main();
}

#[divan::bench(args = [2, 8, 64])]
fn power_of_two(bencher: divan::Bencher<'_, '_>, endpoints: usize) {
    let costs: Vec<f64> = (0..endpoints).map(|i| i as f64).collect();
    let mut rng = fastrand::Rng::with_seed(1);
    bencher.bench_local(|| balance::power_of_two(costs.len(), |i| divan::black_box(&costs)[i], &mut rng));
}

#[divan::bench]
fn observe_and_read(bencher: divan::Bencher<'_, '_>) {
    let t0 = Instant::now();
    let mut ewma = balance::PeakEwma::new(Duration::from_millis(30), Duration::from_secs(10), t0);
    bencher.bench_local(|| {
        ewma.observe(Duration::from_millis(20), divan::black_box(t0));
        ewma.get_at(t0)
    });
}

#[divan::bench(args = [2, 8, 64])]
fn round_robin(bencher: divan::Bencher<'_, '_>, endpoints: usize) {
    let mut turns = balance::RoundRobin::default();
    bencher.bench_local(|| turns.pick(std::iter::repeat_n(divan::black_box(1.0), endpoints)));
}

#[divan::bench(args = [2, 8, 64])]
fn affinity(bencher: divan::Bencher<'_, '_>, endpoints: usize) {
    let load = balance::Load { in_flight: 0, weight: 1.0 };
    let homes: Vec<balance::Home> = (0..endpoints as u64).map(|id| balance::Home { id, load }).collect();
    bencher.bench_local(|| balance::affinity(divan::black_box(7), 1.25, homes.iter().copied()));
}
