//! OpenAI's Responses.

use bytes::{Bytes, BytesMut};
use llm_wire::openai::responses::{Echo, FromOpenAi, ResponsesRequest, parse};
use llm_wire::sse;
use serde_json::{Value, json};

use super::{Translation, document, pretty, refused};

pub(super) const TRANSLATIONS: &[Translation] =
    &[("request", request), ("answer", answer), ("stream", stream)];

/// A request, as a chat.
fn request(body: &[u8]) -> String {
    match parse(Bytes::copy_from_slice(body)) {
        Ok(ResponsesRequest { chat, .. }) => {
            let body: Value = serde_json::from_slice(chat.body()).unwrap();
            pretty(&json!({ "dropped": chat.dropped(), "body": body }))
        }
        Err(error) => refused(&error),
    }
}

fn echo() -> Echo {
    parse(Bytes::from_static(br#"{"model":"m","input":"Hi"}"#)).unwrap().echo
}

/// A chat's completion, as a response.
fn answer(body: &[u8]) -> String {
    document(FromOpenAi::new("req_7", echo(), 1000).completion(body, 1007))
}

/// A chat's chunks, as events.
fn stream(chunks: &[u8]) -> String {
    let mut decoder = sse::Decoder::new(1 << 20);
    decoder.push(Bytes::copy_from_slice(chunks));
    let mut translation = FromOpenAi::new("req_7", echo(), 1000);
    let mut out = BytesMut::new();
    while let Some(event) = decoder.next_event() {
        let event = event.unwrap();
        if event.data == sse::DONE {
            translation.done(1007, &mut out);
        } else if let Err(error) = translation.chunk(&event.data, &mut out) {
            out.extend_from_slice(format!(": refused: {error}\n\n").as_bytes());
            break;
        }
    }
    String::from_utf8(out.to_vec()).unwrap()
}
