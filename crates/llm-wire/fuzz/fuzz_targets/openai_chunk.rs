//! Whatever an endpoint sends in OpenAI's dialect: nothing panics, and whoever reads it agrees on what is JSON.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use llm_wire::ollama;
use llm_wire::openai::{ChatRequest, ChunkCollector, chunk_facts, parse_error, response_facts};

fuzz_target!(|input: &[u8]| {
    let mut collector = ChunkCollector::with_limit(1 << 16);
    let mut lines = ollama::FromOpenAi::new("m".to_owned(), ollama::Path::Chat);
    for line in input.split(|byte| *byte == b'\n') {
        let facts = chunk_facts(line);
        if facts.is_ok() {
            serde_json::from_slice::<serde::de::IgnoredAny>(line).expect("JSON");
        }
        let _ = collector.push(line);
        let _ = lines.chunk(line, "2026-01-01T00:00:00Z");
        let _ = response_facts(line);
        parse_error(line);
        if let Ok(request) = ChatRequest::parse(Bytes::copy_from_slice(line)) {
            let body = request.to_stream_body("n", true);
            let again = ChatRequest::parse(body).expect("a request of our own");
            assert!(again.model() == "n" && again.stream() && again.include_usage());
            let _ = request.messages();
        }
    }
    collector.finish();
});
