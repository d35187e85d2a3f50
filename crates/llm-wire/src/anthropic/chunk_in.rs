//! OpenAI's chunks as they are written, with the fields that thinking needs.

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use super::usage::OpenAiUsage;
use crate::json;

#[derive(Serialize, Default)]
pub(super) struct DeltaOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning_details: Option<[Value; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_calls: Option<[Value; 1]>,
}

#[derive(Serialize)]
struct ChoiceOut<'a> {
    pub(super) index: u32,
    pub(super) delta: DeltaOut<'a>,
    pub(super) finish_reason: Option<&'static str>,
    /// vLLM's field for the stop text that was met.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stop_reason: Option<&'a str>,
}

#[derive(Serialize)]
struct ChunkOut<'a> {
    pub(super) id: &'a str,
    object: &'static str,
    pub(super) created: u64,
    pub(super) model: &'a str,
    pub(super) choices: &'a [ChoiceOut<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) usage: Option<OpenAiUsage>,
}

/// What all chunks of an answer carry.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) id: String,
    pub(super) model: String,
    /// Seconds since 1970.
    pub(super) created: u64,
}

impl Head {
    /// A chunk that adds this to the answer.
    pub(super) fn chunk(&self, delta: DeltaOut<'_>) -> Bytes {
        self.document(&[ChoiceOut { index: 0, delta, finish_reason: None, stop_reason: None }], None)
    }

    /// The chunk of the finish reason.
    pub(super) fn finish(&self, finish_reason: &'static str, stop_reason: Option<&str>) -> Bytes {
        let delta = DeltaOut::default();
        let finish_reason = Some(finish_reason);
        self.document(&[ChoiceOut { index: 0, delta, finish_reason, stop_reason }], None)
    }

    /// The chunk after the last choice.
    pub(super) fn usage(&self, usage: OpenAiUsage) -> Bytes {
        self.document(&[], Some(usage))
    }

    fn document(&self, choices: &[ChoiceOut<'_>], usage: Option<OpenAiUsage>) -> Bytes {
        let Self { id, model, created } = self;
        let object = "chat.completion.chunk";
        json::encode(&ChunkOut { id, object, created: *created, model, choices, usage })
    }
}
