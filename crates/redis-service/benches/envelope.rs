//! What one value costs to write and to read: chat messages in JSON, by codec and size in KB.

use divan::Bencher;
use divan::counter::BytesCount;
use redis_service::envelope::{CacheValue, Codec, Compression, Decoder, Encoder};

const SIZES: &[usize] = &[1, 4, 16, 256];

fn main() {
    divan::main();
}

/// Messages whose words repeat about as often as those of prose do.
fn value(kilobytes: usize) -> CacheValue {
    const WORDS: &[&str] = &[
        "the ", "water ", "answer ", "of ", "model ", "in ", "request ", "and ", "because ", "a ", "river ",
        "should ", "to ", "system ",
    ];
    let mut rng = fastrand::Rng::with_seed(1);
    let mut json = String::from("[");
    while json.len() < kilobytes << 10 {
        json.push_str(r#"{"role":"assistant","content":""#);
        for _ in 0..30 {
            json.push_str(WORDS[rng.usize(..WORDS.len())]);
            json.extend((0..rng.usize(..4)).map(|_| rng.lowercase()));
        }
        json.push_str(r#""},"#);
    }
    json.truncate(kilobytes << 10);
    CacheValue::Json(json.into())
}

fn compression(codec: &str) -> Option<Compression> {
    match codec {
        "none" => None,
        "lz4" => Some(Compression { codec: Codec::Lz4, ..Compression::default() }),
        "zstd plain" => Some(Compression { dictionary: None, ..Compression::default() }),
        _ => Some(Compression::default()),
    }
}

#[divan::bench(args = SIZES, consts = [0, 1, 2, 3])]
fn encode<const CODEC: usize>(bencher: Bencher<'_, '_>, kilobytes: usize) {
    let (value, encoder) = (value(kilobytes), Encoder::new(compression(CODECS[CODEC])).ok());
    bencher
        .counter(BytesCount::new(kilobytes << 10))
        .bench_local(|| encoder.as_ref().map(|encoder| encoder.encode(divan::black_box(&value))));
}

#[divan::bench(args = SIZES, consts = [0, 1, 2, 3])]
fn decode<const CODEC: usize>(bencher: Bencher<'_, '_>, kilobytes: usize) {
    let encoder = Encoder::new(compression(CODECS[CODEC])).ok();
    let stored =
        encoder.and_then(|encoder| encoder.encode(&value(kilobytes)).ok()).map(|stored| stored.bytes);
    let decoder = Decoder::default();
    bencher
        .counter(BytesCount::new(kilobytes << 10))
        .bench_local(|| stored.as_ref().map(|stored| decoder.decode(divan::black_box(stored))));
}

/// 0 to 3 in the names above.
const CODECS: [&str; 4] = ["none", "lz4", "zstd plain", "zstd with the dictionary, up to 16 KB"];
