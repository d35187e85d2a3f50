//! Makes `src/envelope/llm-json.dict`, the same bytes for the same seed:
//!
//! ```text
//! cargo run --release -p redis-service --example train-dictionary
//! ```
//!
//! The documents it learns from are made up here: `llm.rs` and `sessions.rs` know the shapes, `prose.rs` the text.
//! `tests/dictionary.rs` measures the dictionary on documents of another make.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program for developers, which may fail loudly"
)]

mod llm;
mod prose;
mod select;
mod sessions;
mod vary;

use serde_json::Value;
use vary::Vary;

const SEED: u64 = 5;
/// Enough for the trainer to see each shape some hundred times.
const DOCUMENTS: usize = 24_000;
/// What zstd recommends to try is 112 KiB; above 32 KiB preparing it takes more time than it spares.
const MAX_BYTES: usize = 32 << 10;
/// In the frames that the dictionary makes; the smallest there is takes one byte.
const ZSTD_ID: u32 = 1;

fn main() {
    let mut vary = Vary::new(SEED);
    let documents: Vec<Vec<u8>> = (0..DOCUMENTS)
        .map(|_| {
            // Both make small values; sessions are shorter, so that they need a greater share of the count.
            let value = if vary.chance(40) { sessions::any(&mut vary) } else { llm::any(&mut vary) };
            render(&value, &mut vary)
        })
        .collect();
    let total: usize = documents.iter().map(Vec::len).sum();
    // The trainer's dictionary begins with the statistics of literals and matches, which fit ours as well.
    let mut dictionary = zstd::dict::from_samples(&documents, MAX_BYTES).unwrap();
    let offsets = [1_u32, 4, 8].map(u32::to_le_bytes).concat();
    let header = dictionary.windows(offsets.len()).position(|at| at == offsets).unwrap() + offsets.len();
    dictionary.truncate(header);
    dictionary[4..8].copy_from_slice(&ZSTD_ID.to_le_bytes());
    dictionary.extend(select::select(&documents, MAX_BYTES - header));
    let path = std::env::args()
        .nth(1)
        .unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/src/envelope/llm-json.dict").to_owned());
    std::fs::write(&path, &dictionary).unwrap();
    println!(
        "{DOCUMENTS} documents of {} bytes on average: {} bytes in {path}",
        total / DOCUMENTS,
        dictionary.len()
    );
}

/// As JavaScript prints it, mostly; else as Python does, or indented as OpenAI's servers do.
fn render(value: &Value, vary: &mut Vary) -> Vec<u8> {
    match vary.below(10) {
        0..5 => value.to_string().into_bytes(),
        5..8 => spaced(value),
        _ => serde_json::to_vec_pretty(value).unwrap(),
    }
}

/// The format of Python's `json.dumps`: a space after each comma and colon.
fn spaced(value: &Value) -> Vec<u8> {
    struct Spaced;
    impl serde_json::ser::Formatter for Spaced {
        fn begin_array_value<W: ?Sized + std::io::Write>(
            &mut self,
            out: &mut W,
            first: bool,
        ) -> std::io::Result<()> {
            if first { Ok(()) } else { out.write_all(b", ") }
        }
        fn begin_object_key<W: ?Sized + std::io::Write>(
            &mut self,
            out: &mut W,
            first: bool,
        ) -> std::io::Result<()> {
            if first { Ok(()) } else { out.write_all(b", ") }
        }
        fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, out: &mut W) -> std::io::Result<()> {
            out.write_all(b": ")
        }
    }
    let mut out = Vec::new();
    serde::Serialize::serialize(value, &mut serde_json::Serializer::with_formatter(&mut out, Spaced))
        .unwrap();
    out
}
