//! Whatever an Ollama server, an endpoint or an Ollama client sends: nothing panics, and each line that comes out is one
//! document; the first byte of each says who sends it.
#![no_main]

use std::time::Duration;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use llm_wire::ollama::{
    FromOpenAi, Path, ToOpenAi, embed_answer, embed_to_openai, embedding_answer, parse_embed, parse_embeddings,
    parse_show, parse_tags,
};
use llm_wire::openai::{self, Encoding};

const NOW: &str = "2026-01-01T00:00:00Z";

fuzz_target!(|input: &[u8]| {
    let mut inward = ToOpenAi::new("id".to_owned(), "m".to_owned(), 1, true);
    let mut chat = FromOpenAi::new("m".to_owned(), Path::Chat);
    let mut generate = FromOpenAi::new("m".to_owned(), Path::Generate);
    for line in input.split(|byte| *byte == b'\n') {
        let Some((sender, document)) = line.split_first() else { continue };
        match sender % 5 {
            0 => {
                for chunk in inward.line(document).unwrap_or_default() {
                    openai::chunk_facts(&chunk).expect("a chunk of our own");
                    one_line(chat.chunk(&chunk, NOW).ok().flatten());
                }
            }
            1 => {
                one_line(chat.chunk(document, NOW).ok().flatten());
                one_line(generate.chunk(document, NOW).ok().flatten());
            }
            2 => {
                if let Ok(completion) = ToOpenAi::completion(document, "id", "m", 1) {
                    let _ = FromOpenAi::completion(&completion, "m", Path::Chat, NOW, Duration::ZERO);
                }
                let _ = (parse_tags(document), embed_to_openai(document, "m", Encoding::Float));
            }
            3 => {
                let _ = FromOpenAi::completion(document, "m", Path::Generate, NOW, Duration::MAX);
                let _ = (embed_answer(document, "m", Duration::MAX), embedding_answer(document));
            }
            _ => {
                let body = Bytes::copy_from_slice(document);
                let _ = (parse_embed(body.clone()), parse_embeddings(body), parse_show(document));
            }
        }
    }
    one_line(Some(chat.done(NOW, Duration::MAX)));
    one_line(Some(generate.done(NOW, Duration::ZERO)));
});

fn one_line(line: Option<Bytes>) {
    let Some(line) = line else { return };
    let document = line.strip_suffix(b"\n").expect("a line");
    assert!(!document.contains(&b'\n'));
    serde_json::from_slice::<serde::de::IgnoredAny>(document).expect("a document of our own");
}
