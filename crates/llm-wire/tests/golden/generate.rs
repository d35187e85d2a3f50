//! Ollama's `/api/generate`.

use std::time::Duration;

use bytes::Bytes;
use llm_wire::ollama::{FromOpenAi, Generate, Path, parse_generate};
use llm_wire::sse;
use serde_json::{Value, json};

use super::{Translation, document, pretty, refused};

pub(super) const TRANSLATIONS: &[Translation] =
    &[("request", request), ("answer", answer), ("stream", stream)];

const NOW: &str = "2026-01-01T00:00:00Z";
const TOOK: Duration = Duration::from_millis(7);

/// A prompt, as a chat.
fn request(body: &[u8]) -> String {
    let (only_loads, chat) = match parse_generate(Bytes::copy_from_slice(body)) {
        Ok(Generate::Answer(chat)) => (false, chat),
        Ok(Generate::Load(chat)) => (true, chat),
        Err(error) => return refused(&error),
    };
    let body: Value = serde_json::from_slice(chat.body()).unwrap();
    pretty(&json!({ "only_loads": only_loads, "dropped": chat.dropped(), "body": body }))
}

fn answer(body: &[u8]) -> String {
    document(FromOpenAi::completion(body, "m", Path::Generate, NOW, TOOK))
}

/// A chat's chunks, as lines.
fn stream(chunks: &[u8]) -> String {
    let mut decoder = sse::Decoder::new(1 << 20);
    decoder.push(Bytes::copy_from_slice(chunks));
    let mut translation = FromOpenAi::new("m".to_owned(), Path::Generate);
    let mut lines = Vec::new();
    while let Some(event) = decoder.next_event() {
        let event = event.unwrap();
        if event.data == sse::DONE {
            lines.extend_from_slice(&translation.done(NOW, TOOK));
        } else {
            lines.extend_from_slice(&translation.chunk(&event.data, NOW).unwrap().unwrap_or_default());
        }
    }
    String::from_utf8(lines).unwrap()
}
