//! Whatever Gemini, an endpoint or a client of its dialect sends: nothing panics, and what comes out are whole documents;
//! the first byte of each says who sends it.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use llm_wire::gemini::{
    FromOpenAi, ToOpenAi, batch_embed_answer, chunk_facts, embed_answer, embed_to_openai, parse_batch_embed, parse_embed,
    response_facts, retry_delay,
};
use llm_wire::openai::{self, ChunkCollector, Encoding};
use llm_wire::sse;

fuzz_target!(|input: &[u8]| {
    let mut inward = ToOpenAi::new("id".to_owned(), "m".to_owned(), 1, true);
    let mut collector = ChunkCollector::new();
    let mut outward = FromOpenAi::new("m".to_owned(), "r".to_owned());
    let mut array = FromOpenAi::new("m".to_owned(), "r".to_owned()).as_array().with_thoughts(false);
    let (mut events, mut list) = (BytesMut::new(), BytesMut::new());
    for line in input.split(|byte| *byte == b'\n') {
        let Some((sender, document)) = line.split_first() else { continue };
        match sender % 5 {
            0 => {
                let _ = chunk_facts(document);
                for chunk in inward.chunk(document).unwrap_or_default() {
                    openai::chunk_facts(&chunk).expect("a chunk of our own");
                    let _ = collector.push(&chunk);
                    let _ = outward.chunk(&chunk, &mut events);
                }
            }
            1 => {
                let _ = outward.chunk(document, &mut events);
                let _ = array.chunk(document, &mut list);
            }
            2 => {
                let _ = (response_facts(document), retry_delay(document));
                if let Ok(completion) = ToOpenAi::completion(document, "id", "m", 1) {
                    FromOpenAi::completion(&completion, "m", "r").expect("a completion of our own");
                }
            }
            3 => {
                let _ = FromOpenAi::completion(document, "m", "r");
                let _ = (embed_answer(document), batch_embed_answer(document));
                let _ = embed_to_openai(document, "m", Encoding::Base64);
            }
            _ => {
                let _ = (parse_embed(document, "m"), parse_batch_embed(document, "m"));
            }
        }
    }
    for chunk in inward.finish() {
        openai::chunk_facts(&chunk).expect("a chunk of our own");
    }
    outward.done(&mut events);
    array.done(&mut list);
    serde_json::from_slice::<serde::de::IgnoredAny>(&list).expect("one array");
    let mut decoder = sse::Decoder::new(usize::MAX);
    decoder.push(events.freeze());
    while let Some(event) = decoder.next_event() {
        let event = event.expect("an event within the bound");
        serde_json::from_slice::<serde::de::IgnoredAny>(&event.data).expect("a document of our own");
    }
});
