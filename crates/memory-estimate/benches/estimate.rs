//! How long a header takes to read, and an estimate to be made: a vocabulary of 262,144 tokens, and models of many layers.
#![expect(clippy::unwrap_used, reason = "a panic ends a measurement that makes no sense")]

use std::fs::File;

use divan::Bencher;
use memory_estimate::{ModelHeader, Options, estimate};
use testkit::model_file::model;

fn main() {
    divan::main();
}

/// From a file that is cached by the kernel.
#[divan::bench(args = ["gemma-3-270m", "qwen3-next-80b-a3b", "llama-3.1-8b", "mixtral-8x7b"])]
fn read(bencher: Bencher<'_, '_>, name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    model(name).unwrap().write(&path).unwrap();
    bencher.bench(|| ModelHeader::read_gguf(File::open(&path).unwrap()).unwrap());
}

#[divan::bench(args = ["gemma-3-270m", "qwen3-next-80b-a3b", "llama-3.1-8b", "mixtral-8x7b"])]
fn reckon(bencher: Bencher<'_, '_>, name: &str) {
    let header = ModelHeader::read_gguf(model(name).unwrap().open()).unwrap();
    let options = Options { context_tokens: Some(8192), devices: vec![1.0, 1.0], ..Options::default() };
    bencher.bench(|| estimate(&header, &options).unwrap());
}
