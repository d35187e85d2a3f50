//! What the dictionary that ships spares on documents that it was not trained on: other shapes, vocabulary and prose
//! than `examples/train-dictionary` has. The bytes stored include the envelope, those of plain zstd do not.
//!
//! What remains is prose of its own and ids, of which no dictionary knows anything. The bounds are what was measured,
//! rounded up: a change that makes the dictionary worse shows here.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a panic is how a test fails")]

mod documents;

use redis_service::envelope::{CacheValue, Compression, Encoder};

fn ratio(documents: &[String]) -> f64 {
    let encoder = Encoder::new(Some(Compression::default())).unwrap();
    let (mut stored, mut plain) = (0, 0);
    for document in documents {
        plain += zstd::bulk::compress(document.as_bytes(), 1).unwrap().len();
        stored += encoder.encode(&CacheValue::Json(document.clone().into())).unwrap().bytes.len();
    }
    println!("{} documents: {plain} bytes with plain zstd, {stored} stored", documents.len());
    stored as f64 / plain as f64
}

/// So many documents of a length, made by one seed after the other.
fn some(make: impl Fn(&mut fastrand::Rng) -> String, bytes: std::ops::RangeInclusive<usize>) -> Vec<String> {
    (0..)
        .map(|seed| make(&mut fastrand::Rng::with_seed(seed)))
        .filter(|made| bytes.contains(&made.len()))
        .take(300)
        .collect()
}

#[test]
fn of_llm_json_from_1_to_4_kib_remains_less_than_with_plain_zstd() {
    let ratio = ratio(&some(documents::llm, 1 << 10..=4 << 10));
    assert!(ratio <= 0.82, "{ratio:.3}");
}

#[test]
fn of_sessions_from_300_bytes_to_2_kib_remains_less_than_two_thirds_of_plain_zstd() {
    let ratio = ratio(&some(documents::session, 300..=2 << 10));
    assert!(ratio <= 0.64, "{ratio:.3}");
}
