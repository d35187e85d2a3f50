//! What the dictionary that ships spares on documents of your own, one document a file:
//!
//! ```text
//! cargo run --release -p redis-service --example measure-dictionary FOLDER
//! ```
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program for developers, which may fail loudly"
)]

use redis_service::envelope::{CacheValue, Compression, Encoder};

fn main() {
    let folder = std::env::args().nth(1).unwrap();
    let with = Encoder::new(Some(Compression::default())).unwrap();
    let (mut count, mut original, mut plain, mut stored) = (0, 0, 0, 0);
    for file in std::fs::read_dir(folder).unwrap() {
        let document = std::fs::read(file.unwrap().path()).unwrap();
        count += 1;
        original += document.len();
        plain += zstd::bulk::compress(&document, 1).unwrap().len();
        stored += with.encode(&CacheValue::Json(document.into())).unwrap().bytes.len();
    }
    println!(
        "{count} documents of {original} bytes: {plain} with plain zstd, {stored} stored, {:.3} of it",
        stored as f64 / plain as f64
    );
}
