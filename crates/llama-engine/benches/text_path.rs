//! The per-token path that is ours: bytes of a token to released text, the choice of a token, and the plan of a step. A token takes llama.cpp
//! some ten milliseconds; this must stay below a thousandth of it.

use divan::{Bencher, black_box};
use llama_engine::sampler::{Sampler, Sampling};
use llama_engine::schedule::{Lane, Limits, plan};
use llama_engine::text::AnswerText;

fn main() {
    divan::main();
}

/// Some 600 bytes of prose, in pieces as long as tokens are.
fn pieces() -> Vec<Vec<u8>> {
    let prose =
        "The capital of France is Paris, a city on the Seine – naïve visitors call it “small”. ".repeat(7);
    prose.as_bytes().chunks(4).map(<[u8]>::to_vec).collect()
}

#[divan::bench(args = [0, 1, 4])]
fn answer_text(bencher: Bencher<'_, '_>, stops: usize) {
    let stops: Vec<String> = ["\n\nUser:", "<|im_end|>", "Seine!", "The capital of Spain"][..stops]
        .iter()
        .map(|&stop| stop.to_owned())
        .collect();
    let pieces = pieces();
    bencher.counter(divan::counter::ItemsCount::new(pieces.len())).bench_local(|| {
        let mut text = AnswerText::new(stops.clone());
        for piece in &pieces {
            black_box(text.push(black_box(piece)));
        }
        text.finish()
    });
}

/// A vocabulary of 50,000 tokens.
#[divan::bench(args = ["greedy", "sampled", "penalised", "all"])]
fn choice_of_a_token(bencher: Bencher<'_, '_>, how: &str) {
    let mut random = fastrand::Rng::with_seed(7);
    let scores: Vec<f32> = (0..50_000).map(|_| random.f32() * 20.0 - 10.0).collect();
    let plain = Sampling::default();
    let sampling = match how {
        "greedy" => Sampling { temperature: 0.0, ..plain },
        "penalised" => Sampling { frequency_penalty: 0.5, repeat_penalty: 1.1, ..plain },
        "all" => Sampling { top_k: 0, ..plain },
        _ => plain,
    };
    let mut sampler = Sampler::new(sampling, &[1, 2, 3]);
    bencher.bench_local(|| sampler.choose(black_box(&scores), None));
}

#[divan::bench(args = [1, 8, 64])]
fn plan_of_a_step(bencher: Bencher<'_, '_>, lanes: usize) {
    let lane = |id: usize| Lane {
        id,
        arrival: id as u64,
        tokens: 100 + id,
        cached: if id.is_multiple_of(4) { 10 } else { 99 + id },
        exclusive: if id.is_multiple_of(4) { 10 } else { 99 + id },
        paused: id % 7 == 6,
    };
    let lanes: Vec<Lane> = (0..lanes).map(lane).collect();
    let limits = Limits { batch: 512, prompt_beside_generation: 64, cells: 8192 };
    let taken = lanes.iter().map(|lane| lane.cached).sum();
    bencher.bench_local(|| plan(black_box(&lanes), taken, limits));
}
