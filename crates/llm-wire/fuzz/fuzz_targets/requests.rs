//! Whatever a client sends in any dialect: nothing panics, what is accepted is a request like any other, and every
//! dialect that endpoints speak can be asked or refuses by a field's name.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use llm_wire::openai::{ChatRequest, responses};
use llm_wire::{WireError, anthropic, bounds, gemini, ollama};

fuzz_target!(|input: &[u8]| {
    let Some((dialect, document)) = input.split_first() else { return };
    // As the server asks first.
    if bounds::check(document).is_err() {
        return;
    }
    let document = Bytes::copy_from_slice(document);
    let parsed = match dialect % 8 {
        0 => ChatRequest::parse(document),
        1 => anthropic::parse_messages(document),
        2 => anthropic::parse_count_tokens(document),
        3 => gemini::parse_generate(document, "m", false),
        4 => gemini::parse_generate(document, "m", true),
        5 => ollama::parse_chat(document),
        6 => ollama::parse_generate(document).map(|asked| match asked {
            ollama::Generate::Answer(request) | ollama::Generate::Load(request) => request,
        }),
        _ => responses::parse(document).map(|request| request.chat),
    };
    let request = match parsed {
        Ok(request) => request,
        Err(error) => return named(&error),
    };
    assert!(!request.model().is_empty() && request.dropped().len() < 100);
    let _ = (request.conversation_beginning(), request.is_resumable(), request.most_prompt_tokens());
    for asked in [
        anthropic::messages_request(&request, "n", true, 9),
        anthropic::count_request(&request, "n"),
        gemini::generate_request(&request, "n"),
        ollama::chat_request(&request, "n", true),
    ] {
        match asked {
            Ok(translated) => {
                serde_json::from_slice::<serde::de::IgnoredAny>(&translated.body).expect("JSON");
            }
            Err(error) => named(&error),
        }
    }
    if request.untranslatable().is_none() {
        let again = ChatRequest::parse(request.to_stream_body("n", true)).expect("a request of our own");
        assert!(again.model() == "n" && again.stream() && again.include_usage());
        let _ = (request.messages(), request.options());
    }
});

/// An error says where it is, and quotes no prompt.
fn named(error: &WireError) {
    assert!(error.to_string().len() < 16 << 10, "{error}");
}
