//! Whatever a client asks of OpenAI's embeddings and an endpoint answers: nothing panics, and an answer of our own can be
//! read.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use llm_wire::openai::{
    ChatRequest, EmbeddingsRequest, PlainAnswer, embeddings_facts, embeddings_vectors, parse_error, response_facts,
};
use llm_wire::{gemini, ollama};

fuzz_target!(|input: &[u8]| {
    let (request, answer) = input.split_at(input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len()));
    if let Ok(request) = EmbeddingsRequest::parse(Bytes::copy_from_slice(request)) {
        assert!(request.inputs() > 0);
        let _ = (gemini::embed_request(&request, "m"), ollama::embed_request(&request, "m"));
    }
    let _ = (embeddings_facts(answer), embeddings_vectors(answer), response_facts(answer));
    parse_error(answer);
    if let Ok(Some(plain)) = PlainAnswer::read(answer) {
        for chunk in plain.chunks(true).unwrap_or_default() {
            serde_json::from_slice::<serde::de::IgnoredAny>(&chunk).expect("a chunk of our own");
        }
    }
    let _ = ChatRequest::parse(Bytes::copy_from_slice(answer));
});
