//! How a value lies in Redis (`docs/redis-format.md`): text and integers as they are, so that other programs and
//! `INCRBY` can use them, everything else in an envelope that names its type, codec, lengths and checksum.
//!
//! [`Encoder`] writes, [`Decoder`] reads. Neither knows Redis, a clock or a socket.
//!
//! ```
//! use redis_service::envelope::{CacheValue, Compression, Decoded, Decoder, Encoder};
//!
//! let value = CacheValue::Json(r#"{"role":"user","content":"Hello"}"#.repeat(20).into());
//! let stored = Encoder::new(Some(Compression::default()))?.encode(&value)?;
//! assert!(stored.bytes.len() < stored.original_len / 5);
//! assert_eq!(Decoder::default().decode(&stored.bytes), Decoded::Value(value));
//! # Ok::<(), redis_service::envelope::EnvelopeError>(())
//! ```

mod codec;
mod decode;
mod dictionary;
mod encode;
mod header;

use bytes::Bytes;

pub use codec::Codec;
pub use decode::{Decoded, Decoder};
pub use dictionary::Dictionary;
pub use encode::{Compression, Encoded, Encoder};

/// Bytes a value may have before compression: half of what Redis allows a string, and as much as the memory of a
/// JavaScript process bears.
pub const MAX_VALUE_BYTES: usize = 256 << 20;

/// The largest integer that a JavaScript number holds exactly, 2^53 - 1.
pub const MAX_SAFE_INTEGER: i64 = (1 << 53) - 1;

/// A value of the cache, as both languages know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheValue {
    /// UTF-8. The caller vouches for it; the decoder has checked what it returns.
    Text(Bytes),
    /// One JSON document in UTF-8. Nobody parses it here, neither on writing nor on reading.
    Json(Bytes),
    /// At most [`MAX_SAFE_INTEGER`] from zero.
    Integer(i64),
    /// Any bytes.
    Bytes(Bytes),
}

/// Why a value cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Longer than [`MAX_VALUE_BYTES`].
    #[error("a value may have {MAX_VALUE_BYTES} bytes, this one has {bytes}: store it in pieces")]
    TooLarge {
        /// Of the value.
        bytes: usize,
    },
    /// A JavaScript process would read another number.
    #[error("an integer may be {MAX_SAFE_INTEGER} from zero at most, this one is {value}: store it as text")]
    UnsafeInteger {
        /// The integer.
        value: i64,
    },
    /// The compression level is not one of zstd's, or the dictionary not one that zstd can load.
    #[error("zstd takes neither level {level} nor this dictionary: the levels are 1 to 19")]
    Compression {
        /// As the caller gave it.
        level: i32,
    },
}

/// The integer that `digits` are, if JavaScript would print it so: no plus, no leading zero, no `-0`, and safe.
fn safe_integer(digits: &[u8]) -> Option<i64> {
    // A sign and the 16 digits of 2^53.
    if digits.len() > 17 {
        return None;
    }
    let unsigned = digits.strip_prefix(b"-").unwrap_or(digits);
    let plain = match unsigned {
        [b'0'] => digits.len() == 1,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    let value: i64 = if plain { str::from_utf8(digits).ok()?.parse().ok()? } else { return None };
    (-MAX_SAFE_INTEGER..=MAX_SAFE_INTEGER).contains(&value).then_some(value)
}
