//! From the bytes that lie in Redis to a value: whatever they are, without a panic and in bounded memory.

use std::sync::Arc;

use bytes::Bytes;

use super::header::{Header, MAGIC, Refused, kind};
use super::{CacheValue, Codec, Dictionary, codec, safe_integer};

/// What the stored bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// From an envelope.
    Value(CacheValue),
    /// Bytes without our magic: a number, text, or what is not UTF-8. Plain text and integers of ours are stored so,
    /// too; whose they are cannot be told, and does not matter.
    Foreign(CacheValue),
    /// An envelope of another version, type, codec or dictionary than this program knows: a miss, and the value stays
    /// for those who know it.
    Unknown,
    /// An envelope with a wrong checksum or lengths: a miss, and the value is deleted.
    Corrupt,
}

/// Reads values. It knows the dictionary that ships; callers add their own.
#[derive(Clone, Debug)]
pub struct Decoder {
    dictionaries: Vec<Arc<Dictionary>>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new([])
    }
}

impl Decoder {
    /// A decoder that knows these dictionaries beside the one that ships: those in use and those of older values.
    pub fn new(dictionaries: impl IntoIterator<Item = Arc<Dictionary>>) -> Self {
        Self { dictionaries: Dictionary::shipped().into_iter().chain(dictionaries).collect() }
    }

    /// What `stored` is. What is not compressed is a slice of it, not a copy. Allocates at most the announced length,
    /// which is at most [`super::MAX_VALUE_BYTES`].
    #[must_use]
    pub fn decode(&self, stored: &Bytes) -> Decoded {
        if !stored.starts_with(&MAGIC) {
            return Decoded::Foreign(plain(stored));
        }
        match Header::open(stored) {
            Ok((header, at)) => self.open(header, stored.slice(at..)),
            Err(Refused::Unknown) => Decoded::Unknown,
            Err(Refused::Corrupt) => Decoded::Corrupt,
        }
    }

    fn open(&self, header: Header, stored: Bytes) -> Decoded {
        const LZ4: u8 = Codec::Lz4 as u8;
        const ZSTD: u8 = Codec::Zstd as u8;
        let Header { kind, codec, dictionary, value_len } = header;
        let known = self.dictionaries.iter().find(|known| known.id() == dictionary);
        // Only zstd has dictionaries in this version.
        let knows_dictionary = dictionary == 0 || (codec == ZSTD && known.is_some());
        if !(kind::BYTES..=kind::JSON).contains(&kind) || codec > ZSTD || !knows_dictionary {
            return Decoded::Unknown;
        }
        let value = match codec {
            LZ4 => codec::decompress_lz4(&stored, value_len).map(Bytes::from),
            ZSTD => codec::decompress_zstd(&stored, value_len, known.map(|known| known.prepared()))
                .map(Bytes::from),
            _ => (stored.len() == value_len).then_some(stored),
        };
        let Some(value) = value else { return Decoded::Corrupt };
        match kind {
            kind::BYTES => Decoded::Value(CacheValue::Bytes(value)),
            _ if str::from_utf8(&value).is_err() => Decoded::Corrupt,
            kind::TEXT => Decoded::Value(CacheValue::Text(value)),
            _ => Decoded::Value(CacheValue::Json(value)),
        }
    }
}

/// What no envelope holds.
fn plain(stored: &Bytes) -> CacheValue {
    if let Some(integer) = safe_integer(stored) {
        CacheValue::Integer(integer)
    } else if str::from_utf8(stored).is_ok() {
        CacheValue::Text(stored.clone())
    } else {
        CacheValue::Bytes(stored.clone())
    }
}
