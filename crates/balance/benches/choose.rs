//! What one choice among endpoints costs.

use std::time::{Duration, Instant};

fn main() {
    divan::main();
}

#[divan::bench(args = [2, 8, 64])]
fn power_of_two(bencher: divan::Bencher<'_, '_>, endpoints: usize) {
    let costs: Vec<f64> = (0..endpoints).map(|i| i as f64).collect();
    let mut rng = fastrand::Rng::with_seed(1);
    bencher.bench_local(|| balance::power_of_two(divan::black_box(&costs), &mut rng));
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
