//! Estimates beside what llama.cpp itself reckons for the same headers, which `tests/llama_cpp/numbers.json` keeps: the
//! example `compare` asks it again.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

use std::collections::BTreeMap;

use memory_estimate::{Confidence, ModelHeader, Options, Part, estimate};
use serde::Deserialize;
use testkit::model_file::{catalogue, model};

#[path = "llama_cpp/questions.rs"]
mod questions;

#[derive(Debug, Deserialize)]
struct Answer {
    question: String,
    host: [u64; 3],
    devices: Vec<[u64; 3]>,
}

impl Answer {
    fn total(&self) -> u64 {
        self.host.iter().chain(self.devices.iter().flatten()).sum()
    }
}

fn numbers() -> BTreeMap<String, Vec<Answer>> {
    serde_json::from_str(include_str!("llama_cpp/numbers.json")).unwrap()
}

fn header(name: &str) -> ModelHeader {
    ModelHeader::read_gguf(model(name).expect("a model of the catalogue").open()).unwrap()
}

/// What a device may be off at most, in bytes: the headroom that everybody keeps.
const HEADROOM: u64 = 256 << 20;

#[test]
fn every_estimate_is_within_a_percent_of_llama_cpps_and_most_are_equal() {
    let mut faults = Vec::new();
    let (mut equal, mut all) = (0, 0);
    let numbers = numbers();
    assert!(numbers.len() >= 20, "only {} models have numbers", numbers.len());
    for (name, answers) in &numbers {
        let header = header(name);
        assert_eq!(answers.len(), questions::QUESTIONS.len(), "{name}");
        for answer in answers {
            let ours = estimate(&header, &questions::options(&answer.question)).unwrap();
            let (ours, theirs) = (ours.total() as f64, answer.total() as f64);
            all += 1;
            // But for padding.
            equal += usize::from((ours - theirs).abs() < 1e-5 * theirs);
            // A part of the layers on a device, and small recurrent models on several, are told less exactly.
            let is_shared_out = ["layers=", "events="].iter().any(|word| answer.question.contains(word));
            let limit = if is_shared_out { 0.06 } else { 0.01 };
            if ((ours - theirs) / theirs).abs() > limit {
                faults.push(format!("{name} {}: {ours} instead of {theirs}", answer.question));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(equal * 100 >= all * 85, "{equal} of {all}");
}

#[test]
fn no_place_gets_less_than_it_needs_beyond_the_headroom() {
    for (name, answers) in numbers() {
        let header = header(&name);
        for answer in answers {
            let ours = estimate(&header, &questions::options(&answer.question)).unwrap();
            let theirs = std::iter::once(&answer.host).chain(&answer.devices);
            let ours = std::iter::once(&ours.host).chain(&ours.devices);
            for (part, other) in ours.zip(theirs) {
                let needed: u64 = other.iter().sum();
                assert!(part.total() + HEADROOM >= needed, "{name} {}: {part:?} {other:?}", answer.question);
            }
        }
    }
}

#[test]
fn weights_and_cache_are_llama_cpps_to_the_byte() {
    let mut faults = Vec::new();
    for (name, answers) in numbers() {
        let header = header(&name);
        for answer in answers {
            let ours = estimate(&header, &questions::options(&answer.question)).unwrap();
            let theirs = std::iter::once(&answer.host).chain(&answer.devices);
            let ours = std::iter::once(&ours.host).chain(&ours.devices);
            for (part, [weights, cache, _]) in ours.zip(theirs) {
                if (part.weights, part.cache) != (*weights, *cache) {
                    faults.push(format!("{name} {}: {part:?} {weights} {cache}", answer.question));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_parts_are_the_whole_and_a_formula_is_called_one() {
    let header = header("gemma-3-270m");
    let options = Options { devices: vec![3.0, 1.0], ..Options::default() };
    let estimate = estimate(&header, &options).unwrap();
    let parts = estimate.devices.iter().fold(estimate.host.total(), |sum, part| sum + part.total());
    assert_eq!((estimate.total(), estimate.sum().total()), (parts, parts));
    assert_eq!(estimate.confidence, Confidence::Formula);
    assert_eq!(estimate.context_tokens, 32_768, "what it was trained on");
    assert!(estimate.devices[0].weights > estimate.devices[1].cache);
}

#[test]
fn without_layers_on_it_a_device_takes_nothing() {
    let header = header("llama-3.2-1b");
    let alone = estimate(&header, &Options::default()).unwrap();
    let options = Options { devices: vec![1.0], gpu_layers: Some(0), ..Options::default() };
    let beside = estimate(&header, &options).unwrap();
    assert_eq!((beside.host, beside.devices.as_slice()), (alone.host, [Part::default()].as_slice()));
}

#[test]
fn smaller_keys_take_less_and_a_window_bounds_them() {
    let header = header("gemma-3-4b");
    let cache = |question: &str| estimate(&header, &questions::options(question)).unwrap().sum().cache;
    let (short, long) = (cache("context=8192"), cache("context=32768"));
    // 29 of 34 layers look back over 1024 tokens and keep 1536 cells.
    assert!(long < 3 * short, "{short} {long}");
    assert_eq!(cache("context=8192 k=q8_0 v=q8_0") * 32, short * 17);
}

#[test]
fn a_split_model_takes_what_it_takes_whole() {
    let folder = tempfile::tempdir().unwrap();
    let whole = model("qwen3-0.6b").unwrap();
    let files = whole.split("qwen3", 3);
    for (name, part) in &files {
        part.write(&folder.path().join(name)).unwrap();
    }
    let options = Options::default();
    let expected = estimate(&ModelHeader::read_gguf(whole.open()).unwrap(), &options).unwrap();
    for (name, _) in &files {
        let header = memory_estimate::open(&folder.path().join(name)).unwrap();
        assert_eq!(estimate(&header, &options).unwrap(), expected, "whichever file is named");
    }
    std::fs::remove_file(folder.path().join(&files[1].0)).unwrap();
    let error = memory_estimate::open(&folder.path().join(&files[0].0)).unwrap_err();
    assert_eq!(error.code(), "UAT_INVALID_INPUT");
    assert!(error.to_string().contains("qwen3-00002-of-00003.gguf is missing"), "{error}");
}

#[test]
fn every_model_of_the_catalogue_is_estimated() {
    for (name, make) in catalogue() {
        let header = ModelHeader::read_gguf(make().open()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let estimate =
            estimate(&header, &Options { context_tokens: Some(4096), ..Options::default() }).unwrap();
        assert!(estimate.host.weights > 0 && estimate.host.compute > 0 && estimate.host.cache > 0, "{name}");
    }
}
