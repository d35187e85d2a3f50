//! Requests, answers, and the events as OpenAI's own client adds them up.

mod answers;
mod properties;
mod requests;
mod snapshot;

use bytes::BytesMut;
use serde_json::{Value, json};

use super::{FromOpenAi, ResponsesRequest, parse};
use crate::WireError;
use crate::sse::Decoder;

fn tree(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// A request with these fields beside the model and an input.
fn asked(fields: Value) -> Result<ResponsesRequest, WireError> {
    let mut body = json!({ "model": "m", "input": "Hi" });
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    parse(body.to_string().into())
}

fn translation() -> FromOpenAi {
    FromOpenAi::new("req_7", asked(json!({})).unwrap().echo, 1000)
}

/// The events of a stream, each with the name of its frame checked against its type.
fn events(stream: &[u8]) -> Vec<Value> {
    let mut decoder = Decoder::new(1 << 20);
    decoder.push(stream.to_vec().into());
    let mut events = Vec::new();
    while let Some(event) = decoder.next_event() {
        let event = event.unwrap();
        let document = tree(&event.data);
        assert_eq!(document["type"].as_str().map(str::as_bytes), event.event.as_deref(), "{document}");
        assert_eq!(document["sequence_number"], events.len(), "{document}");
        events.push(document);
    }
    events
}

/// The events that these chunks become.
fn streamed(chunks: &[Value]) -> Vec<Value> {
    let mut translation = translation();
    let mut out = BytesMut::new();
    for chunk in chunks {
        translation.chunk(chunk.to_string().as_bytes(), &mut out).unwrap();
    }
    translation.done(1007, &mut out);
    events(&out)
}

fn delta(delta: Value) -> Value {
    json!({ "choices": [{ "index": 0, "delta": delta, "finish_reason": null }] })
}

fn finish(reason: &str) -> Value {
    json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": reason }] })
}
