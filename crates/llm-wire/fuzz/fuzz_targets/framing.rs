//! Whatever a server sends, in whatever pieces: nothing panics, nothing is held beyond the bound, and the pieces do not
//! matter.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use llm_wire::{ndjson, sse};

/// Small, so that the bound is met.
const LIMIT: usize = 64;

fuzz_target!(|input: (u8, &[u8])| {
    let (size, stream) = input;
    let size = usize::from(size).max(1);
    assert_eq!(events(stream, size), events(stream, stream.len().max(1)));
    assert_eq!(lines(stream, size), lines(stream, stream.len().max(1)));
});

/// The events, and whether reading ended in an error.
fn events(stream: &[u8], size: usize) -> (Vec<sse::Event>, bool) {
    let mut decoder = sse::Decoder::new(LIMIT);
    let mut events = Vec::new();
    for piece in stream.chunks(size) {
        decoder.push(Bytes::copy_from_slice(piece));
        while let Some(event) = decoder.next_event() {
            match event {
                Ok(event) => {
                    assert!(event.data.len() <= LIMIT);
                    events.push(event);
                }
                Err(_) => return (events, true),
            }
        }
    }
    events.extend(decoder.finish());
    (events, false)
}

fn lines(stream: &[u8], size: usize) -> (Vec<Bytes>, bool) {
    let mut decoder = ndjson::Decoder::new(LIMIT);
    let mut lines = Vec::new();
    for piece in stream.chunks(size) {
        decoder.push(Bytes::copy_from_slice(piece));
        while let Some(line) = decoder.next_line() {
            match line {
                Ok(line) => {
                    assert!(line.len() <= LIMIT);
                    lines.push(line);
                }
                Err(_) => return (lines, true),
            }
        }
    }
    lines.extend(decoder.finish());
    (lines, false)
}
