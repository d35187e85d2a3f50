//! The envelopes that this crate and the TypeScript package both have to read and write alike.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use redis_service::envelope::{CacheValue, Codec, Compression, Decoded, Decoder, Encoder};
use serde_json::Value;

fn vectors() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../test/contract/vectors/envelopes.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn unhex(hex: &Value) -> Vec<u8> {
    let digits = hex.as_str().unwrap();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn value(vector: &Value) -> CacheValue {
    let value = &vector["value"];
    match vector["type"].as_str().unwrap() {
        "text" => CacheValue::Text(value.as_str().unwrap().to_owned().into()),
        "json" => CacheValue::Json(value.as_str().unwrap().to_owned().into()),
        "integer" => CacheValue::Integer(value.as_i64().unwrap()),
        _ => CacheValue::Bytes(unhex(value).into()),
    }
}

#[test]
fn are_read_as_recorded() {
    for vector in vectors() {
        let read = Decoder::default().decode(&unhex(&vector["stored"]).into());
        match (vector["expect"].as_str().unwrap(), read) {
            ("value", Decoded::Value(read) | Decoded::Foreign(read)) => {
                assert_eq!(read, value(&vector), "{vector}")
            }
            ("unknown", Decoded::Unknown) | ("corrupt", Decoded::Corrupt) => {}
            (_, read) => panic!("{read:?} of {vector}"),
        }
    }
}

#[test]
fn are_written_with_the_recorded_type_codec_and_dictionary() {
    for vector in vectors() {
        let Some(write) = vector["write"].as_str() else { continue };
        let compression = match write {
            "none" => None,
            "lz4" => Some(Compression { codec: Codec::Lz4, ..Compression::default() }),
            "zstd" => Some(Compression::default()),
            _ => Some(Compression { dictionary: None, ..Compression::default() }),
        };
        let written = Encoder::new(compression).unwrap().encode(&value(&vector)).unwrap().bytes;
        let stored = unhex(&vector["stored"]);
        if write == "none" {
            assert_eq!(written, stored, "{vector}");
        } else {
            // Magic, version, type, codec, and the dictionary's id.
            assert_eq!(written[..6], stored[..6], "{vector}");
        }
    }
}
