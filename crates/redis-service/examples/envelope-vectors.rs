//! Records `test/contract/vectors/envelopes.json`, on which this crate and the TypeScript package are both checked:
//!
//! ```text
//! cargo run --release -p redis-service --example envelope-vectors
//! ```
//!
//! Each vector has the stored bytes in hex, the outcome of a read, and for a value its type (`text`, `json`, `integer`
//! or `bytes`) and itself: bytes in hex, all else as JavaScript has it. `write` says with which compression writing the
//! value gives an envelope of the same header; what a codec makes of it may differ from version to version.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program for developers, which may fail loudly"
)]

use redis_service::envelope::{CacheValue, Codec, Compression, Encoder};
use serde_json::{Value, json};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn encode(value: &CacheValue, write: &str) -> Vec<u8> {
    let compression = match write {
        "none" => None,
        "lz4" => Some(Compression { codec: Codec::Lz4, ..Compression::default() }),
        "zstd" => Some(Compression::default()),
        _ => Some(Compression { dictionary: None, ..Compression::default() }),
    };
    Encoder::new(compression).unwrap().encode(value).unwrap().bytes.to_vec()
}

/// An envelope by hand, with a right checksum.
fn envelope(flags: u8, numbers: &[u8], stored: &[u8]) -> Vec<u8> {
    let mut out = [&[0xF5, b'U', b'A', 1, flags], numbers].concat();
    let mut crc = crc32fast::Hasher::new();
    crc.update(&out);
    crc.update(stored);
    out.extend(crc.finalize().to_le_bytes());
    out.extend(stored);
    out
}

fn main() {
    let mut all: Vec<Value> = Vec::new();
    let words = "The quick brown fox jumps over the lazy dog. ".repeat(20);
    let chat = json!({"model": "gpt-4o-mini", "messages": [{"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": "Grüße aus Köln 🌍 ".repeat(20)}]}).to_string();
    let long = format!("[{}0]", "12345678,".repeat(3000));
    let text = |text: &str| CacheValue::Text(text.to_owned().into());
    let data = |json: &str| CacheValue::Json(json.to_owned().into());
    let values = [
        ("an empty text", text("")),
        ("a text", text("Grüße 🌍")),
        ("a text with a byte order mark and a zero", text("\u{feff}a\0b")),
        ("a text that reads like an integer", text("42")),
        ("a text that reads like a negative integer", text("-7")),
        ("a text that only resembles one", text("007")),
        ("a text of digits that are no safe integer", text("9007199254740992")),
        ("a long text", text(&words)),
        ("zero", CacheValue::Integer(0)),
        ("an integer", CacheValue::Integer(-42)),
        ("the largest integer", CacheValue::Integer(9_007_199_254_740_991)),
        ("the smallest integer", CacheValue::Integer(-9_007_199_254_740_991)),
        ("null", data("null")),
        ("a fraction", data("0.5")),
        ("a large number", data("1e+300")),
        ("true", data("true")),
        ("an empty object", data("{}")),
        ("a lone surrogate", data(r#""\ud800a""#)),
        ("a chat", data(&chat)),
        ("a list of 27 KB", data(&long)),
        ("no bytes", CacheValue::Bytes(Vec::new().into())),
        ("bytes", CacheValue::Bytes(vec![0, 255, 0xF5, b'U', b'A'].into())),
        ("a thousand zeros", CacheValue::Bytes(vec![0; 1000].into())),
    ];
    for (name, value) in &values {
        for write in ["none", "lz4", "zstd", "zstd without a dictionary"] {
            let stored = encode(value, write);
            let (kind, json) = match value {
                CacheValue::Text(bytes) => ("text", json!(str::from_utf8(bytes).unwrap())),
                CacheValue::Json(bytes) => ("json", json!(str::from_utf8(bytes).unwrap())),
                CacheValue::Integer(value) => ("integer", json!(value)),
                CacheValue::Bytes(bytes) => ("bytes", json!(hex(bytes))),
            };
            if write == "none" || stored.get(4).is_some_and(|flags| stored[0] == 0xF5 && flags >> 4 != 0) {
                all.push(json!({"name": format!("{name}, {write}"), "stored": hex(&stored), "expect": "value", "type": kind, "value": json, "write": write}));
            }
        }
    }
    let foreign = |name: &str, stored: &[u8], kind: &str, value: Value| json!({"name": name, "stored": hex(stored), "expect": "value", "type": kind, "value": value});
    all.extend([
        foreign("somebody's +1", b"+1", "text", json!("+1")),
        foreign("somebody's -0", b"-0", "text", json!("-0")),
        foreign("somebody's minus", b"-", "text", json!("-")),
        foreign("somebody's 1e3", b"1e3", "text", json!("1e3")),
        foreign("a line end after digits", b"12\n", "text", json!("12\n")),
        foreign("somebody's JSON", b"{\"a\":1}", "text", json!("{\"a\":1}")),
        foreign("bytes that are not UTF-8", &[0xFF, 0xFE], "bytes", json!("fffe")),
        foreign("the first two bytes of the magic", &[0xF5, b'U'], "bytes", json!("f555")),
        foreign("UTF-16's surrogates in UTF-8", &[0xED, 0xA0, 0x80], "bytes", json!("eda080")),
    ]);
    let good = encode(&data(&chat), "zstd");
    let plain = encode(&data("null"), "none");
    let with = |at: usize, byte: u8| {
        let mut bad = good.clone();
        bad[at] = byte;
        bad
    };
    let lz4 = encode(&text(&words), "lz4");
    let lz4_stored = lz4.len() - 13;
    let leb = |number: usize| {
        if number < 128 { vec![number as u8] } else { vec![number as u8 | 128, (number >> 7) as u8] }
    };
    let frame = zstd::bulk::compress(&[b'a'; 1000], 1).unwrap();
    let zstd_numbers = |length: usize| [vec![0], leb(length), leb(frame.len())].concat();
    let two = [frame.clone(), frame.clone()].concat();
    let outcome = |expect: &str, name: &str, stored: Vec<u8>| json!({"name": name, "stored": hex(&stored), "expect": expect});
    all.extend([
        outcome("unknown", "version 2", with(3, 2)),
        outcome("unknown", "version 2 and nothing else", vec![0xF5, b'U', b'A', 2]),
        outcome("unknown", "type 4", envelope(0x04, &[0, 1, 1], b"x")),
        outcome("unknown", "type 0", envelope(0x00, &[0, 1, 1], b"x")),
        outcome("unknown", "codec 3", envelope(0x32, &[0, 1, 1], b"x")),
        outcome("unknown", "dictionary 2", envelope(0x22, &[2, 1, 1], b"x")),
        outcome(
            "unknown",
            "the largest dictionary id",
            envelope(0x22, &[0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 1, 1], b"x"),
        ),
        outcome("unknown", "LZ4 with a dictionary", envelope(0x12, &[1, 1, 1], b"x")),
        outcome("unknown", "no codec, with a dictionary", envelope(0x02, &[1, 1, 1], b"x")),
        outcome("corrupt", "the magic alone", vec![0xF5, b'U', b'A']),
        outcome("corrupt", "magic and version alone", vec![0xF5, b'U', b'A', 1]),
        outcome("corrupt", "a type alone", vec![0xF5, b'U', b'A', 1, 2]),
        outcome("corrupt", "a damaged type", with(4, 0x2F)),
        outcome("corrupt", "a damaged checksum", with(11, good[11] ^ 1)),
        outcome("corrupt", "cut off by one byte", good[..good.len() - 1].to_vec()),
        outcome("corrupt", "one byte too many", [good.clone(), vec![0]].concat()),
        outcome("corrupt", "cut off within the header", good[..8].to_vec()),
        outcome("corrupt", "cut off within the checksum", plain[..10].to_vec()),
        outcome("corrupt", "a number with padding", envelope(0x02, &[0x80, 0, 1, 1], b"x")),
        outcome(
            "corrupt",
            "a number of 36 bits",
            envelope(0x02, &[0xFF, 0xFF, 0xFF, 0xFF, 0x1F, 1, 1], b"x"),
        ),
        outcome(
            "corrupt",
            "a number of six bytes",
            envelope(0x02, &[0x80, 0x80, 0x80, 0x80, 0x80, 0, 1, 1], b"x"),
        ),
        outcome("corrupt", "another length than is stored", envelope(0x02, &[0, 2, 1], b"x")),
        outcome("corrupt", "a text that is not UTF-8", envelope(0x02, &[0, 1, 1], &[0xFF])),
        outcome(
            "corrupt",
            "1 GB announced",
            envelope(0x21, &[vec![0, 0x80, 0x80, 0x80, 0x80, 0x04], leb(frame.len())].concat(), &frame),
        ),
        outcome(
            "corrupt",
            "256 MiB announced in one byte of LZ4",
            envelope(0x11, &[0, 0x80, 0x80, 0x80, 0x80, 0x01, 1], b"x"),
        ),
        outcome("corrupt", "zstd that yields one byte more", envelope(0x21, &zstd_numbers(999), &frame)),
        outcome("corrupt", "zstd that yields one byte less", envelope(0x21, &zstd_numbers(1001), &frame)),
        outcome(
            "corrupt",
            "two frames",
            envelope(0x21, &[vec![0], leb(2000), leb(two.len())].concat(), &two),
        ),
        outcome("corrupt", "no frame", envelope(0x21, &[0, 3, 3], b"abc")),
        outcome(
            "corrupt",
            "a skippable frame",
            envelope(0x21, &[0, 0, 8], &[0x50, 0x2A, 0x4D, 0x18, 0, 0, 0, 0]),
        ),
        outcome(
            "corrupt",
            "LZ4 that yields one byte more",
            envelope(0x12, &[vec![0], leb(899), leb(lz4_stored)].concat(), &lz4[lz4.len() - lz4_stored..]),
        ),
        outcome(
            "corrupt",
            "LZ4 that yields one byte less",
            envelope(0x12, &[vec![0], leb(901), leb(lz4_stored)].concat(), &lz4[lz4.len() - lz4_stored..]),
        ),
        outcome(
            "corrupt",
            "LZ4 that refers to before its start",
            envelope(0x11, &[0, 9, 5], &[0x10, b'a', 2, 0, 0]),
        ),
        outcome("corrupt", "an empty block of LZ4", envelope(0x11, &[0, 0, 0], b"")),
    ]);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../test/contract/vectors/envelopes.json");
    let lines: Vec<_> = all.iter().map(Value::to_string).collect();
    std::fs::write(path, format!("[\n{}\n]\n", lines.join(",\n"))).unwrap();
    println!("{} vectors in {path}", all.len());
}
