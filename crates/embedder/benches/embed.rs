//! What an embedding costs: the goal is 10 ms for a sentence. Needs `uat models pull minilm-l6`.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run has nothing to say")]

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use embedder::Embedder;
use model_store::ModelStore;

/// 18 tokens.
const SENTENCE: &str = "How do I sort a list of dictionaries by a key in Python?";

fn main() {
    divan::main();
}

fn minilm() -> Embedder {
    let store = ModelStore::open().unwrap();
    let (model, tokenizer) =
        (store.resolve("minilm-l6").unwrap(), store.resolve("minilm-l6-tokenizer").unwrap());
    Embedder::load(&model, &tokenizer).unwrap()
}

#[divan::bench(sample_count = 5)]
fn load() -> Embedder {
    minilm()
}

/// One text of so many sentences.
#[divan::bench(args = [1, 6, 100])]
fn embed(bencher: Bencher<'_, '_>, sentences: usize) {
    let (embedder, text) = (minilm(), SENTENCE.repeat(sentences));
    bencher.bench_local(|| embedder.embed(black_box(&text)).unwrap());
}

#[divan::bench]
fn embed_all(bencher: Bencher<'_, '_>) {
    let (embedder, texts) = (minilm(), [SENTENCE; 64]);
    bencher
        .counter(ItemsCount::new(texts.len()))
        .bench_local(|| embedder.embed_all(black_box(&texts)).unwrap());
}
