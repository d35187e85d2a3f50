//! Gemini's `generateContent`.

use bytes::{Bytes, BytesMut};
use llm_wire::gemini::{FromOpenAi, ToOpenAi, generate_request, parse_generate};
use llm_wire::openai::ChatRequest;
use llm_wire::sse;
use serde_json::{Value, json};

use super::{Translation, document, pretty, refused, translated};

pub(super) const TRANSLATIONS: &[Translation] = &[
    ("request_out", request_out),
    ("request_in", request_in),
    ("answer_in", answer_in),
    ("answer_out", answer_out),
    ("stream_in", stream_in),
    ("stream_out", stream_out),
];

/// OpenAI's request, asked of Gemini.
fn request_out(body: &[u8]) -> String {
    let request = ChatRequest::parse(Bytes::copy_from_slice(body)).unwrap();
    translated(generate_request(&request, "gemini-3-flash-preview"))
}

/// Gemini's request, as OpenAI's.
fn request_in(body: &[u8]) -> String {
    match parse_generate(Bytes::copy_from_slice(body), "fast", true) {
        Ok(request) => {
            let body: Value = serde_json::from_slice(request.body()).unwrap();
            let missing = request.untranslatable().map(ToString::to_string);
            pretty(&json!({ "dropped": request.dropped(), "untranslatable": missing, "body": body }))
        }
        Err(error) => refused(&error),
    }
}

fn answer_in(body: &[u8]) -> String {
    document(ToOpenAi::completion(body, "chatcmpl-1", "gemini", 1))
}

fn answer_out(body: &[u8]) -> String {
    document(FromOpenAi::completion(body, "fast", "1"))
}

fn stream_in(stream: &[u8]) -> String {
    let mut decoder = sse::Decoder::new(1 << 20);
    decoder.push(Bytes::copy_from_slice(stream));
    let mut translation = ToOpenAi::new("chatcmpl-1".to_owned(), "gemini".to_owned(), 1, true);
    let mut out = BytesMut::new();
    while let Some(event) = decoder.next_event() {
        match translation.chunk(&event.unwrap().data) {
            Ok(chunks) => chunks.iter().for_each(|chunk| sse::append_data_frame(&mut out, chunk)),
            Err(error) => {
                out.extend_from_slice(format!(": refused: {error}\n\n").as_bytes());
                break;
            }
        }
    }
    let end: &[u8] = if translation.is_finished() { b": done\n" } else { b": cut\n" };
    translation.finish().iter().for_each(|chunk| sse::append_data_frame(&mut out, chunk));
    out.extend_from_slice(end);
    String::from_utf8(out.to_vec()).unwrap()
}

fn stream_out(stream: &[u8]) -> String {
    let mut decoder = sse::Decoder::new(1 << 20);
    decoder.push(Bytes::copy_from_slice(stream));
    let mut translation = FromOpenAi::new("fast".to_owned(), "1".to_owned());
    let mut out = BytesMut::new();
    while let Some(event) = decoder.next_event() {
        let event = event.unwrap();
        if event.data == sse::DONE {
            translation.done(&mut out);
        } else if let Err(error) = translation.chunk(&event.data, &mut out) {
            out.extend_from_slice(format!(": refused: {error}\r\n\r\n").as_bytes());
            break;
        }
    }
    String::from_utf8(out.to_vec()).unwrap()
}
