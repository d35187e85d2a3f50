//! What the journal remembers of a session write, and how that lies in the file: length, checksum, JSON. Pure.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::sessions::id::Hash;

/// A write, all of it or nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Grows by one with each write of this file, also over its emptying.
    pub(crate) number: u64,
    /// When it was taken, ms since 1970 by the clock of this machine.
    pub(crate) accepted_at: u64,
    pub(crate) effects: Vec<Effect>,
}

/// What a write does to one session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Effect {
    pub(crate) hash: Hash,
    /// What Redis holds if nobody else has written; where the journal has written before, that counts.
    pub(crate) base: Option<u64>,
    /// `None` destroys.
    pub(crate) row: Option<OfflineRow>,
}

/// A session that was written while Redis was away.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct OfflineRow {
    /// Encoded like a value.
    #[serde(with = "base64_bytes")]
    pub(crate) data: Bytes,
    pub(crate) user: Option<String>,
    /// In ms.
    pub(crate) ttl: u64,
    pub(crate) rolling: bool,
    pub(crate) created: Time,
    /// When it ends in any case; `None` for never.
    pub(crate) ends: Option<Time>,
    /// By the clock of this machine.
    pub(crate) expires_at: u64,
    /// Whether the journal knows all of it. If not, only the data is written.
    pub(crate) whole: bool,
    /// The session that it was regenerated from.
    pub(crate) from: Option<Hash>,
}

/// Ms since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Time {
    /// By the clock of this machine.
    Here(u64),
    /// By the clock of Redis.
    Redis(u64),
}

impl Time {
    pub(crate) fn ms(self) -> u64 {
        match self {
            Self::Here(ms) | Self::Redis(ms) => ms,
        }
    }

    fn earlier(self, by: u64) -> Self {
        match self {
            Self::Here(ms) => Self::Here(ms.saturating_sub(by)),
            redis @ Self::Redis(_) => redis,
        }
    }
}

/// Bytes before each record: its length and its CRC-32, little-endian.
const HEAD: usize = 8;

impl Record {
    /// The record as it lies in the file.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut out = vec![0; HEAD];
        serde_json::to_writer(&mut out, self)?;
        let (head, body) = out.split_at_mut(HEAD);
        // A record is far below 4 GiB: the journal is bounded in bytes.
        head[..4].copy_from_slice(&(body.len() as u32).to_le_bytes());
        head[4..].copy_from_slice(&crc32fast::hash(body).to_le_bytes());
        Ok(out)
    }

    /// The records up to the first that is torn, and how many bytes they take.
    pub(crate) fn decode_all(mut bytes: &[u8]) -> (Vec<Self>, usize) {
        let (mut records, mut good) = (Vec::new(), 0);
        while let Some((record, len)) = Self::decode(bytes) {
            records.push(record);
            good += len;
            bytes = &bytes[len..];
        }
        (records, good)
    }

    fn decode(bytes: &[u8]) -> Option<(Self, usize)> {
        let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
        let [l0, l1, l2, l3, c0, c1, c2, c3] = *head;
        let len = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).ok()?;
        let body = rest.get(..len)?;
        if crc32fast::hash(body) != u32::from_le_bytes([c0, c1, c2, c3]) {
            return None;
        }
        Some((serde_json::from_slice(body).ok()?, HEAD + len))
    }

    /// The same write, accepted earlier: after the clock of this machine was set back.
    pub(crate) fn earlier(mut self, by: u64) -> Self {
        self.accepted_at = self.accepted_at.saturating_sub(by);
        for row in self.effects.iter_mut().filter_map(|effect| effect.row.as_mut()) {
            row.created = row.created.earlier(by);
            row.ends = row.ends.map(|ends| ends.earlier(by));
            row.expires_at = row.expires_at.saturating_sub(by);
        }
        self
    }
}

mod base64_bytes {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Bytes::from).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_record() -> impl Strategy<Value = Record> {
        let row = (prop::collection::vec(any::<u8>(), 0..50), any::<u32>(), any::<bool>()).prop_map(
            |(data, ttl, whole)| OfflineRow {
                data: data.into(),
                user: whole.then(|| "u".to_owned()),
                ttl: ttl.into(),
                rolling: !whole,
                created: if whole { Time::Here(7) } else { Time::Redis(8) },
                ends: whole.then_some(Time::Here(9)),
                expires_at: ttl.into(),
                whole,
                from: whole.then(|| Hash::of("old")),
            },
        );
        let effect = (any::<u8>(), prop::option::of(any::<u64>()), prop::option::of(row))
            .prop_map(|(id, base, row)| Effect { hash: Hash::of(&id.to_string()), base, row });
        (any::<u64>(), any::<u64>(), prop::collection::vec(effect, 1..3))
            .prop_map(|(number, accepted_at, effects)| Record { number, accepted_at, effects })
    }

    proptest! {
        #[test]
        fn torn_at_any_byte_the_whole_records_before_are_read(
            records in prop::collection::vec(any_record(), 0..8),
            cut in any::<prop::sample::Index>(),
            garbage in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let encoded: Vec<Vec<u8>> = records.iter().map(|record| record.encode().unwrap()).collect();
            let file = encoded.concat();
            let cut = cut.index(file.len() + 1);
            let mut whole = 0;
            let mut end = 0;
            while let Some(record) = encoded.get(whole) && end + record.len() <= cut {
                end += record.len();
                whole += 1;
            }
            let (read, good) = Record::decode_all(&file[..cut]);
            prop_assert_eq!(&read, &records[..whole]);
            prop_assert_eq!(good, end);
            let (read, good) = Record::decode_all(&[&file[..end], &garbage[..]].concat());
            prop_assert_eq!(&read, &records[..whole]);
            prop_assert_eq!(good, end);
        }

        #[test]
        fn a_flipped_bit_ends_the_reading_there(record in any_record(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
            let mut bytes = record.encode().unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(Record::decode_all(&bytes), (Vec::new(), 0));
        }
    }
}
