//! An answer that breaks off anywhere and is gone on with by whatever another endpoint sends: nothing panics, and what
//! the client gets of both is text.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use llm_wire::openai::{ChatRequest, Heard, PartialAnswer, Seam, chunk_facts};

fuzz_target!(|input: (bool, u8, &[u8])| {
    let (repeats, broken_after, stream) = input;
    let body = Bytes::from_static(br#"{"model":"m","messages":[{"role":"user","content":"Hi"}],"max_tokens":9}"#);
    let request = ChatRequest::parse(body).expect("a request");
    let mut partial = PartialAnswer::default();
    let mut lines = stream.split(|byte| *byte == b'\n');
    for line in lines.by_ref().take(usize::from(broken_after)) {
        partial.push(line);
    }
    let cut = partial.cut(repeats);
    assert!(partial.text().starts_with(&cut.prefill) || !partial.is_text());
    if let Ok(Some(rest)) = request.continued(&cut) {
        let again = ChatRequest::parse(rest.to_continuation_body("n", true)).expect("a request of our own");
        // Of an answer of which nothing is kept the whole is asked for.
        let messages = if rest.body().windows(11).any(|text| text == b"\"assistant\"") { 2 } else { 1 };
        assert_eq!(again.messages().expect("messages of our own").len(), messages);
    }
    chunk_facts(&partial.ended_by_length()).expect("a chunk of our own");
    let mut seam = Seam::new(cut);
    for line in lines {
        match seam.chunk(&partial, line) {
            Ok(Heard::New(chunk)) => {
                let _ = chunk_facts(&chunk);
                partial.push(&chunk);
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
});
