//! Whatever the bytes say: reading them ends, without a panic. The checksum is put right half of the time, for else no
//! change would reach the codecs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redis_service::envelope::Decoder;

fuzz_target!(|bytes: &[u8]| {
    let _ = Decoder::default().decode(&bytes.to_vec().into());
    let [flags, dictionary, low, high, stored @ ..] = bytes else { return };
    let mut envelope = vec![0xF5, b'U', b'A', 1, *flags, dictionary & 1, low | 0x80, (high & 0x7F).max(1)];
    let len = stored.len().min(16_383);
    envelope.extend([len as u8 | 0x80, (len >> 7) as u8]);
    let mut crc = crc32fast::Hasher::new();
    crc.update(&envelope);
    crc.update(&stored[..len]);
    envelope.extend(crc.finalize().to_le_bytes());
    envelope.extend(&stored[..len]);
    let _ = Decoder::default().decode(&envelope.into());
});
