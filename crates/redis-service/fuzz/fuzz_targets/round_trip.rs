//! Whatever is written to Redis comes back, and damaged in one place it is read without a panic.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use redis_service::envelope::{CacheValue, Codec, Compression, Decoded, Decoder, Encoder};

fuzz_target!(|input: &[u8]| {
    let decoder = Decoder::default();
    let Some((how, rest)) = input.split_first() else { return };
    let Some((at, value)) = rest.split_first() else { return };
    let codec = if how & 1 == 0 { Codec::Zstd } else { Codec::Lz4 };
    let compression = Compression { codec, min_bytes: 16, ..Compression::default() };
    let encoder = Encoder::new((how & 2 == 0).then_some(compression)).expect("an encoder");
    let value = CacheValue::Bytes(Bytes::copy_from_slice(value));
    let mut bytes = again(&decoder, &encoder, &value).to_vec();
    let length = bytes.len();
    if let Some(byte) = bytes.get_mut(usize::from(*at) % length.max(1)) {
        *byte ^= how | 1;
    }
    let _ = decoder.decode(&bytes.into());
});

fn again(decoder: &Decoder, encoder: &Encoder, value: &CacheValue) -> Bytes {
    let encoded = encoder.encode(value).expect("a short value");
    match decoder.decode(&encoded.bytes) {
        Decoded::Value(read) | Decoded::Foreign(read) => assert_eq!(&read, value),
        other => panic!("{value:?} came back as {other:?}"),
    }
    encoded.bytes
}
