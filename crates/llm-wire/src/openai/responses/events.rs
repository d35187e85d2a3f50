//! Writing the events of a response.

use bytes::BytesMut;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::echo::Document;
use crate::json;

/// Where events go, each with the next number; nowhere, where only the whole answer is wanted.
pub(super) struct Events<'a> {
    out: Option<&'a mut BytesMut>,
    sequence: &'a mut u64,
}

impl<'a> Events<'a> {
    pub(super) fn to(out: &'a mut BytesMut, sequence: &'a mut u64) -> Self {
        Self { out: Some(out), sequence }
    }

    pub(super) fn nowhere(sequence: &'a mut u64) -> Self {
        Self { out: None, sequence }
    }

    pub(super) fn wanted(&self) -> bool {
        self.out.is_some()
    }

    pub(super) fn emit<T: Serialize>(&mut self, name: &'static str, body: &T) {
        #[derive(Serialize)]
        struct Event<'a, T> {
            #[serde(rename = "type")]
            name: &'static str,
            sequence_number: u64,
            #[serde(flatten)]
            body: &'a T,
        }
        self.write(name, |sequence_number| json::encode(&Event { name, sequence_number, body }));
    }

    /// An event that carries the response as it stands.
    pub(super) fn lifecycle(&mut self, name: &'static str, response: &Document<'_>) {
        #[derive(Serialize)]
        struct Body<'a> {
            response: &'a Document<'a>,
        }
        self.emit(name, &Body { response });
    }

    /// One event. Its document is one line, for that is how JSON is written here.
    fn write(&mut self, name: &str, document: impl FnOnce(u64) -> bytes::Bytes) {
        let Some(out) = &mut self.out else { return };
        let document = document(*self.sequence);
        *self.sequence += 1;
        for piece in [b"event: ", name.as_bytes(), b"\ndata: ", &document, b"\n\n"] {
            out.extend_from_slice(piece);
        }
    }
}

/// Where something happens, and what.
pub(super) struct With<'a> {
    pub(super) place: &'a Value,
    pub(super) name: &'static str,
    pub(super) value: &'a Value,
}

impl Serialize for With<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let place = self.place.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value));
        serializer.collect_map(place.chain([(self.name, self.value)]))
    }
}

/// The event of nearly every chunk.
#[derive(Serialize)]
pub(super) struct TextDelta<'a> {
    pub(super) item_id: &'a str,
    pub(super) output_index: usize,
    pub(super) content_index: usize,
    pub(super) delta: &'a str,
    pub(super) logprobs: &'a [Value],
}

/// The end of a text.
#[derive(Serialize)]
pub(super) struct TextDone<'a> {
    #[serde(flatten)]
    pub(super) place: &'a Value,
    pub(super) text: &'a str,
    pub(super) logprobs: &'a [Value],
}
