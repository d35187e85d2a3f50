//! What 32 ms of audio cost: the goal is 20 us on one thread. Needs `uat models pull silero-vad-6`.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run has nothing to say")]

use divan::{Bencher, black_box};
use model_store::ModelStore;
use silero_vad::{SileroVad, WINDOW};

fn main() {
    divan::main();
}

fn silero() -> SileroVad {
    SileroVad::load(&ModelStore::open().unwrap().resolve("silero-vad-6").unwrap()).unwrap()
}

#[divan::bench(sample_count = 20)]
fn load() -> SileroVad {
    silero()
}

#[divan::bench(sample_count = 1000, sample_size = 10)]
fn window(bencher: Bencher<'_, '_>) {
    let mut stream = silero().stream();
    let mut random = fastrand::Rng::with_seed(1);
    let window: [f32; WINDOW] = std::array::from_fn(|_| random.f32() - 0.5);
    bencher.bench_local(|| stream.probability(black_box(&window)).unwrap());
}
