//! Envelopes of any value, and any bytes as an envelope.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use bytes::Bytes;
use proptest::prelude::*;
use redis_service::envelope::{
    CacheValue, Codec, Compression, Decoded, Decoder, Encoder, EnvelopeError, MAX_SAFE_INTEGER,
    MAX_VALUE_BYTES,
};

fn encoders() -> Vec<Encoder> {
    let with = |codec, level, dictionary: bool| {
        let all = Compression::default();
        Some(Compression { codec, min_bytes: 0, level, dictionary: all.dictionary.filter(|_| dictionary) })
    };
    [
        None,
        with(Codec::Lz4, 1, false),
        with(Codec::Zstd, 1, false),
        with(Codec::Zstd, 1, true),
        with(Codec::Zstd, 9, true),
    ]
    .map(|compression| Encoder::new(compression).unwrap())
    .into()
}

fn values() -> impl Strategy<Value = CacheValue> {
    let text = prop_oneof![".{0,80}", "-?[0-9]{1,18}", "(the answer |[a-f]){0,300}"];
    prop_oneof![
        text.clone().prop_map(|text| CacheValue::Text(text.into())),
        text.prop_map(|text| CacheValue::Json(format!("{text:?}").into())),
        (-MAX_SAFE_INTEGER..=MAX_SAFE_INTEGER).prop_map(CacheValue::Integer),
        prop::collection::vec(any::<u8>(), 0..400).prop_map(|bytes| CacheValue::Bytes(bytes.into())),
        (any::<u8>(), 0..40_000_usize).prop_map(|(byte, count)| CacheValue::Bytes(vec![byte; count].into())),
    ]
}

proptest! {
    #[test]
    fn a_value_comes_back_from_every_codec(value in values()) {
        for encoder in encoders() {
            let stored = encoder.encode(&value).unwrap();
            match Decoder::default().decode(&stored.bytes) {
                Decoded::Value(read) | Decoded::Foreign(read) => prop_assert_eq!(&read, &value),
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), magic in any::<bool>()) {
        let stored = if magic { [&[0xF5, b'U', b'A', 1][..], &bytes].concat() } else { bytes };
        let _ = Decoder::default().decode(&stored.into());
    }

    #[test]
    fn a_changed_envelope_is_never_taken_for_a_value(value in values(), at in any::<prop::sample::Index>(), by in 1..=255_u8) {
        for encoder in encoders() {
            let mut stored = encoder.encode(&value).unwrap().bytes.to_vec();
            if stored.first() != Some(&0xF5) {
                continue;
            }
            let at = at.index(stored.len());
            stored[at] ^= by;
            let read = Decoder::default().decode(&stored.into());
            prop_assert!(at < 3 || matches!(read, Decoded::Corrupt | Decoded::Unknown), "{:?}", read);
        }
    }
}

#[test]
fn plain_text_and_bytes_are_not_copied() {
    let text = Bytes::from_static(b"some text");
    assert_eq!(
        Encoder::default().encode(&CacheValue::Text(text.clone())).unwrap().bytes.as_ptr(),
        text.as_ptr()
    );
    let stored = Encoder::default().encode(&CacheValue::Bytes(text)).unwrap().bytes;
    let Decoded::Value(CacheValue::Bytes(read)) = Decoder::default().decode(&stored) else { panic!() };
    assert!(stored.as_ptr_range().contains(&read.as_ptr()));
}

#[test]
fn what_cannot_be_written_is_refused() {
    let encode = |value| Encoder::default().encode(&value).unwrap_err();
    assert_eq!(encode(CacheValue::Integer(i64::MIN)), EnvelopeError::UnsafeInteger { value: i64::MIN });
    let bytes = MAX_VALUE_BYTES + 1;
    assert_eq!(encode(CacheValue::Bytes(vec![0; bytes].into())), EnvelopeError::TooLarge { bytes });
    let level = Compression { level: 20, ..Compression::default() };
    assert_eq!(Encoder::new(Some(level)).err(), Some(EnvelopeError::Compression { level: 20 }));
}
