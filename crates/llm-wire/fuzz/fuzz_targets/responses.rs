//! Whatever a client of OpenAI's Responses asks and an endpoint answers: nothing panics, and what comes out are events
//! of JSON, of which nothing follows the last.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use llm_wire::openai::responses::{FromOpenAi, parse};
use llm_wire::sse;

fuzz_target!(|input: &[u8]| {
    let mut lines = input.split(|byte| *byte == b'\n');
    let Some(first) = lines.next() else { return };
    let asked = parse(Bytes::copy_from_slice(first));
    let plain = || parse(Bytes::from_static(br#"{"model":"m","input":"Hi"}"#)).expect("a request");
    let echo = asked.unwrap_or_else(|_| plain()).echo;
    let mut events = FromOpenAi::new("req_7", echo.clone(), 1);
    let mut out = BytesMut::new();
    for line in lines {
        let _ = events.chunk(line, &mut out);
        if let Ok(whole) = FromOpenAi::new("req_7", echo.clone(), 1).completion(line, 2) {
            serde_json::from_slice::<serde::de::IgnoredAny>(&whole).expect("a response");
        }
    }
    events.done(2, &mut out);
    let ended = out.len();
    events.done(3, &mut out);
    assert_eq!(out.len(), ended);
    let mut decoder = sse::Decoder::new(usize::MAX);
    decoder.push(out.freeze());
    while let Some(event) = decoder.next_event() {
        let event = event.expect("an event within the bound");
        serde_json::from_slice::<serde::de::IgnoredAny>(&event.data).expect("a document of our own");
    }
});
