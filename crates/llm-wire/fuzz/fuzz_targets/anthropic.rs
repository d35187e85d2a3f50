//! Whatever an Anthropic server or client sends: nothing panics, and what is written in answer can be read. Lines are
//! documents; the first byte of each says who sends it.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use llm_wire::anthropic::{
    FromOpenAi, ToOpenAi, event_facts, message_facts, messages_request, parse_messages,
};
use llm_wire::openai::{ChatRequest, ChunkCollector, chunk_facts};
use llm_wire::sse;

fuzz_target!(|input: &[u8]| {
    let mut inward = ToOpenAi::new("id".to_owned(), "m".to_owned(), 1, true);
    let mut collector = ChunkCollector::new();
    let mut outward = FromOpenAi::new("m".to_owned(), "r");
    let mut out = BytesMut::new();
    for line in input.split(|byte| *byte == b'\n') {
        let Some((sender, document)) = line.split_first() else { continue };
        match sender % 4 {
            0 => {
                let _ = event_facts(None, document);
                for chunk in inward.event(None, document).unwrap_or_default() {
                    chunk_facts(&chunk).expect("a chunk of our own");
                    let _ = collector.push(&chunk);
                    let _ = outward.chunk(&chunk, &mut out);
                }
            }
            1 => _ = outward.chunk(document, &mut out),
            2 => {
                let _ = message_facts(document);
                if let Ok(completion) = ToOpenAi::completion(document, "id", "m", 1) {
                    FromOpenAi::completion(&completion, "r").expect("a completion of our own");
                }
            }
            _ => request(document),
        }
    }
    outward.done(&mut out);
    let mut decoder = sse::Decoder::new(usize::MAX);
    decoder.push(out.freeze());
    while let Some(event) = decoder.next_event() {
        let event = event.expect("an event within the bound");
        serde_json::from_slice::<serde_json::Value>(&event.data).expect("a document of our own");
    }
});

fn request(document: &[u8]) {
    let document = Bytes::copy_from_slice(document);
    if let Ok(request) = parse_messages(document.clone()) {
        messages_request(&request, "n", true, 9).expect("the client's own bytes");
        // The translation is a request like any other.
        if request.untranslatable().is_none() {
            let translated = ChatRequest::parse(request.body().clone()).expect("a request of our own");
            translated.messages().expect("messages of our own");
            let _ = messages_request(&translated, "n", false, 9);
        }
    }
    if let Ok(request) = ChatRequest::parse(document)
        && let Ok(translated) = messages_request(&request, "n", true, 9)
    {
        let _ = parse_messages(translated.body);
    }
}
