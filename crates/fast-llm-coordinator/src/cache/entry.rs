//! How an answer is kept: one OpenAI completion, and who gave it.
//!
//! `uatR`, the version, the seal, then in little-endian lengths: the flags, the model, the endpoint, the fields that were
//! dropped, the document. What is not exactly so is no entry.

use std::sync::Arc;

use bytes::Bytes;

use super::key::{Key, seal};

const MAGIC: [u8; 5] = *b"uatR\x01";
/// The usage was asked for: where the document has none, nobody counted.
const USAGE_ASKED: u8 = 1;

/// An answer that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) model: Arc<str>,
    pub(super) endpoint: Arc<str>,
    /// Fields of the question that the endpoint was not told.
    pub(super) dropped: Vec<String>,
    /// Whether the answer says what was counted, if anything was.
    pub(super) usage_asked: bool,
    /// The `chat.completion`.
    pub(super) document: Bytes,
}

impl Entry {
    /// The bytes to keep; `None` for names that nobody gives.
    pub(super) fn encode(&self, key: &Key) -> Option<Bytes> {
        let mut body = Vec::with_capacity(self.document.len() + 256);
        body.push(if self.usage_asked { USAGE_ASKED } else { 0 });
        let dropped = u16::try_from(self.dropped.len()).ok()?;
        text(&mut body, &self.model)?;
        text(&mut body, &self.endpoint)?;
        body.extend_from_slice(&dropped.to_le_bytes());
        for field in &self.dropped {
            text(&mut body, field)?;
        }
        body.extend_from_slice(&u32::try_from(self.document.len()).ok()?.to_le_bytes());
        body.extend_from_slice(&self.document);
        Some([&MAGIC[..], &seal(key, &body), &body].concat().into())
    }

    /// The answer that was kept under `key`; `None` for anything else.
    pub(super) fn decode(key: &Key, stored: &Bytes) -> Option<Self> {
        let (magic, rest) = stored.split_first_chunk::<5>()?;
        let (sealed, body) = rest.split_first_chunk::<32>()?;
        if *magic != MAGIC || *sealed != seal(key, body) {
            return None;
        }
        let mut reader = Reader(body);
        let flags = reader.take(1)?.first().copied()?;
        let (model, endpoint) = (reader.text()?.into(), reader.text()?.into());
        let count = reader.number()?;
        let dropped = (0..count).map(|_| reader.text().map(str::to_owned)).collect::<Option<_>>()?;
        let length = u32::from_le_bytes(*reader.0.first_chunk()?) as usize;
        reader.take(4)?;
        let document = reader.0;
        (document.len() == length).then(|| Self {
            model,
            endpoint,
            dropped,
            usage_asked: flags & USAGE_ASKED != 0,
            document: stored.slice_ref(document),
        })
    }
}

fn text(out: &mut Vec<u8>, text: &str) -> Option<()> {
    out.extend_from_slice(&u16::try_from(text.len()).ok()?.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
    Some(())
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u16> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u16::from_le_bytes(*bytes))
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = self.number()?;
        std::str::from_utf8(self.take(length.into())?).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(model: &str, dropped: Vec<String>, usage_asked: bool, document: Vec<u8>) -> Entry {
        Entry { model: model.into(), endpoint: "e".into(), dropped, usage_asked, document: document.into() }
    }

    proptest! {
        #[test]
        fn what_was_kept_is_read_again_and_anything_else_is_no_entry(
            model in ".{0,20}",
            dropped in prop::collection::vec("[a-z.\\[\\]]{0,12}", 0..4),
            usage_asked: bool,
            document in prop::collection::vec(any::<u8>(), 0..200),
            key: Key,
            other: Key,
            at: prop::sample::Index,
            flip in 1_u8..,
        ) {
            let entry = entry(&model, dropped, usage_asked, document);
            let stored = entry.encode(&key).unwrap();
            prop_assert_eq!(Entry::decode(&key, &stored), Some(entry));
            prop_assume!(key != other);
            prop_assert_eq!(Entry::decode(&other, &stored), None, "kept under another key");
            let mut broken = stored.to_vec();
            let at = at.index(broken.len());
            broken[at] ^= flip;
            prop_assert_eq!(Entry::decode(&key, &broken.into()), None);
            prop_assert_eq!(Entry::decode(&key, &stored.slice(..at)), None);
        }
    }
}
