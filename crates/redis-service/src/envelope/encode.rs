//! From a value to the bytes that lie in Redis.

use std::sync::Arc;

use bytes::Bytes;
use zstd::zstd_safe::CDict;

use super::codec::{self, Codec, Zstd};
use super::header::{Header, kind};
use super::{CacheValue, Dictionary, EnvelopeError, MAX_SAFE_INTEGER, MAX_VALUE_BYTES, safe_integer};

/// Above this many bytes a dictionary of 32 KB gains nothing over what the value itself repeats.
const DICTIONARY_MAX_BYTES: usize = 16 << 10;
/// With a dictionary at least this level: level 1 looks at so little of it that values get a tenth larger.
const DICTIONARY_MIN_LEVEL: i32 = 3;
/// The levels of zstd that need no more memory to read than level 1.
const LEVELS: std::ops::RangeInclusive<i32> = 1..=19;

/// How values are compressed. The default: zstd at level 1, from 256 bytes on, with the dictionary that ships.
#[derive(Clone, Debug)]
pub struct Compression {
    /// LZ4 knows neither level nor dictionary.
    pub codec: Codec,
    /// Shorter values are stored as they are.
    pub min_bytes: usize,
    /// Of zstd: 1 (fast) to 19. Values that take the dictionary are compressed at level 3 at least.
    pub level: i32,
    /// Of zstd, for values up to 16 KiB.
    pub dictionary: Option<Arc<Dictionary>>,
}

impl Default for Compression {
    fn default() -> Self {
        // Below 256 bytes the header eats most of what there is to gain.
        Self { codec: Codec::Zstd, min_bytes: 256, level: 1, dictionary: Dictionary::shipped() }
    }
}

/// What is to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The value of the key in Redis. For plain text the caller's own bytes, not a copy.
    pub bytes: Bytes,
    /// Bytes of the value before compression, without an envelope.
    pub original_len: usize,
}

/// Writes values. Make one and share it: it holds the dictionary, prepared for the level.
#[derive(Default)]
pub struct Encoder {
    compression: Option<Compression>,
    prepared: Option<CDict<'static>>,
}

impl Encoder {
    /// An encoder that compresses as told, or not at all.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError::Compression`] for a level that zstd does not know or a dictionary that it cannot load.
    pub fn new(compression: Option<Compression>) -> Result<Self, EnvelopeError> {
        let mut prepared = None;
        if let Some(Compression { codec: Codec::Zstd, level, dictionary, .. }) = &compression {
            let refused = EnvelopeError::Compression { level: *level };
            if !LEVELS.contains(level) {
                return Err(refused);
            }
            if let Some(dictionary) = dictionary {
                let level = (*level).max(DICTIONARY_MIN_LEVEL);
                prepared = Some(CDict::try_create(dictionary.bytes(), level).ok_or(refused)?);
            }
        }
        Ok(Self { compression, prepared })
    }

    /// What to store for `value`.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError::TooLarge`] and [`EnvelopeError::UnsafeInteger`].
    pub fn encode(&self, value: &CacheValue) -> Result<Encoded, EnvelopeError> {
        let (kind, bytes) = match value {
            CacheValue::Integer(value) if value.unsigned_abs() > MAX_SAFE_INTEGER.unsigned_abs() => {
                return Err(EnvelopeError::UnsafeInteger { value: *value });
            }
            CacheValue::Integer(value) => {
                let digits = Bytes::from(value.to_string());
                return Ok(Encoded { original_len: digits.len(), bytes: digits });
            }
            CacheValue::Text(bytes) => (kind::TEXT, bytes),
            CacheValue::Json(bytes) => (kind::JSON, bytes),
            CacheValue::Bytes(bytes) => (kind::BYTES, bytes),
        };
        let original_len = bytes.len();
        if original_len > MAX_VALUE_BYTES {
            return Err(EnvelopeError::TooLarge { bytes: original_len });
        }
        let stored = if let Some(compressed) = self.compress(kind, bytes) {
            compressed.into()
        } else if kind == kind::TEXT && safe_integer(bytes).is_none() {
            bytes.clone()
        } else {
            Header { kind, codec: 0, dictionary: 0, value_len: original_len }.seal(bytes).into()
        };
        Ok(Encoded { bytes: stored, original_len })
    }

    /// The envelope with the value compressed, where that pays.
    fn compress(&self, kind: u8, value: &[u8]) -> Option<Vec<u8>> {
        let Compression { codec, min_bytes, level, dictionary } = self.compression.as_ref()?;
        if value.is_empty() || value.len() < *min_bytes {
            return None;
        }
        let seal = |dictionary: u32, compressed: &[u8]| {
            let header = Header { kind, codec: *codec as u8, dictionary, value_len: value.len() };
            // A tenth: less is not worth the decompression of every read.
            (compressed.len() <= value.len() / 10 * 9).then(|| header.seal(compressed))
        };
        let done = match (codec, dictionary, &self.prepared) {
            (Codec::Lz4, ..) => codec::compress_lz4(value, |compressed| seal(0, compressed)),
            (Codec::Zstd, Some(dictionary), Some(prepared)) if value.len() <= DICTIONARY_MAX_BYTES => {
                let how = Zstd::Prepared(prepared);
                codec::compress_zstd(value, &how, |compressed| seal(dictionary.id(), compressed))
            }
            (Codec::Zstd, ..) => {
                codec::compress_zstd(value, &Zstd::Level(*level), |compressed| seal(0, compressed))
            }
        };
        done.flatten()
    }
}
