//! What 20 ms of live audio cost: the goal is 3 us from 48 kHz.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run has nothing to say")]

use audio_input::{PcmFormat, PcmIn};
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

#[divan::bench(args = [48_000, 44_100, 24_000, 8_000], sample_count = 1000, sample_size = 20)]
fn frame_20_ms(bencher: Bencher<'_, '_>, rate: u32) {
    let mut live = PcmIn::new(PcmFormat { sample_rate: rate, channels: 1 }).unwrap();
    let frame = vec![0.25; rate as usize / 50];
    let mut out = Vec::with_capacity(1024);
    bencher.bench_local(move || {
        out.clear();
        live.push_f32(black_box(&frame), &mut out).unwrap();
        black_box(out.last().copied())
    });
}
