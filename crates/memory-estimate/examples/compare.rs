//! Compares estimates with what llama.cpp itself reckons for the same headers.
//!
//! ```text
//! cargo run --release -p memory-estimate --example compare -- ask reference/reference > tests/llama_cpp/numbers.json
//! cargo run --release -p memory-estimate --example compare            # with the numbers that are kept
//! cargo run --release -p memory-estimate --example compare -- write FOLDER   # the models, some megabytes each
//! ```
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::panic,
    clippy::expect_used,
    reason = "a program for a terminal, which ends at the first fault"
)]

use std::collections::BTreeMap;
use std::env;
use std::path::Path;
use std::process::Command;

use memory_estimate::{Estimate, ModelHeader, Part, estimate};
use serde::{Deserialize, Serialize};
use testkit::model_file::catalogue;

#[path = "../tests/llama_cpp/questions.rs"]
mod questions;

/// One answer of llama.cpp: weights, cache and buffers of each place, in bytes.
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    question: String,
    host: [u64; 3],
    devices: Vec<[u64; 3]>,
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["write", folder] => write(Path::new(folder)),
        ["ask", program] => ask(Path::new(program)),
        ["ask", program, names @ ..] => ask_of(Path::new(program), names),
        names => compare(names),
    }
}

fn write(folder: &Path) {
    for (name, make) in catalogue() {
        make().write(&folder.join(format!("{name}.gguf"))).expect("the folder is writable");
    }
}

fn ask(program: &Path) {
    ask_of(program, &[]);
}

fn ask_of(program: &Path, names: &[&str]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut all = BTreeMap::new();
    for (name, make) in catalogue().into_iter().filter(|(name, _)| names.is_empty() || names.contains(name)) {
        let path = folder.path().join("model.gguf");
        make().write(&path).expect("the folder is writable");
        let output =
            Command::new(program).arg(&path).args(questions::QUESTIONS).output().expect("the program runs");
        eprint!("{name}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("is text");
        let answers: Vec<Answer> =
            text.lines().map(|line| serde_json::from_str(line).expect("is JSON")).collect();
        eprintln!("{} answers", answers.len());
        all.insert(name, answers);
    }
    // A line per answer, so that a difference between two versions can be read.
    println!("{{");
    let last = all.len().saturating_sub(1);
    for (index, (name, answers)) in all.iter().enumerate() {
        println!("  {name:?}: [");
        for (number, answer) in answers.iter().enumerate() {
            let comma = if number + 1 < answers.len() { "," } else { "" };
            println!("    {}{comma}", serde_json::to_string(answer).expect("is JSON"));
        }
        println!("  ]{}", if index < last { "," } else { "" });
    }
    println!("}}");
}

fn compare(names: &[&str]) {
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/llama_cpp/numbers.json");
    let kept = std::fs::read_to_string(kept).expect("the numbers are kept");
    let numbers: BTreeMap<String, Vec<Answer>> = serde_json::from_str(&kept).expect("is JSON");
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "{:22} {:40} {:>10} {:>10} {:>8}   by part, host and devices: ours-llama.cpp's in KiB",
        "model", "question", "llama.cpp", "ours", "%"
    );
    for (name, make) in catalogue() {
        if !names.is_empty() && !names.contains(&name) {
            continue;
        }
        let header = ModelHeader::read_gguf(make().open()).unwrap_or_else(|error| panic!("{name}: {error}"));
        for answer in numbers.get(name).map(Vec::as_slice).unwrap_or_default() {
            let ours = estimate(&header, &questions::options(&answer.question)).expect("sound options");
            let theirs: u64 = answer.host.iter().chain(answer.devices.iter().flatten()).sum();
            let percent = 100.0 * (ours.total() as f64 - theirs as f64) / theirs as f64;
            println!(
                "{name:22} {:40} {:10.2} {:10.2} {percent:+8.3}   {}",
                answer.question,
                mib(theirs),
                mib(ours.total()),
                differences(&ours, answer)
            );
        }
    }
}

fn differences(ours: &Estimate, theirs: &Answer) -> String {
    let of = |part: &Part, other: &[u64; 3]| {
        let kib = |ours: u64, theirs: u64| (ours as i64 - theirs as i64) >> 10;
        format!(
            "[{} {} {}]",
            kib(part.weights, other[0]),
            kib(part.cache, other[1]),
            kib(part.compute, other[2])
        )
    };
    let devices = ours.devices.iter().zip(&theirs.devices).map(|(part, other)| of(part, other));
    std::iter::once(of(&ours.host, &theirs.host)).chain(devices).collect::<Vec<_>>().join(" ")
}
