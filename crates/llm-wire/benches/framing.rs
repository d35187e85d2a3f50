//! What framing and reading cost: `cargo bench -p llm-wire`.

use bytes::{Bytes, BytesMut};
use divan::{Bencher, black_box, counter::BytesCount};
use llm_wire::openai::{self, ChatRequest};
use llm_wire::sse;

fn main() {
    divan::main();
}

/// A chunk of a real stream is 200 to 300 bytes.
fn chunk() -> Bytes {
    openai::chunk(
        "chatcmpl-0123456789abcdef",
        "smollm2-135m",
        1_760_000_000,
        openai::Delta::Content(" token"),
        None,
    )
}

/// A thousand events in pieces of 8 KiB, about what a socket gives.
fn stream() -> Vec<Bytes> {
    let mut all = BytesMut::new();
    for _ in 0..1000 {
        sse::append_data_frame(&mut all, &chunk());
    }
    all.freeze().chunks(8192).map(Bytes::copy_from_slice).collect()
}

fn body(bytes: usize) -> Bytes {
    let turn = r#"{"role":"user","content":"Tell me, in one paragraph:\n why is the sky blue, and the sunset red? "}"#;
    let turns = vec![turn; bytes / turn.len() + 1].join(",");
    Bytes::from(format!(
        r#"{{"model":"fast","messages":[{turns}],"temperature":0.7,"max_tokens":256,"user":"someone"}}"#
    ))
}

#[divan::bench]
fn sse_decode_1000_chunks(bencher: Bencher<'_, '_>) {
    let stream = stream();
    let bytes = stream.iter().map(Bytes::len).sum::<usize>();
    bencher.counter(BytesCount::new(bytes)).bench(|| {
        let mut decoder = sse::Decoder::new(1 << 20);
        let mut events = 0;
        for piece in &stream {
            decoder.push(piece.clone());
            while let Some(event) = decoder.next_event() {
                black_box(&event);
                events += 1;
            }
        }
        events
    });
}

#[divan::bench]
fn chunk_facts(bencher: Bencher<'_, '_>) {
    let chunk = chunk();
    bencher.counter(BytesCount::new(chunk.len())).bench(|| openai::chunk_facts(black_box(&chunk)));
}

#[divan::bench(args = [1_000, 100_000])]
fn request_parse(bencher: Bencher<'_, '_>, bytes: usize) {
    let body = body(bytes);
    bencher.counter(BytesCount::new(body.len())).bench(|| ChatRequest::parse(black_box(body.clone())));
}

#[divan::bench(args = [1_000, 100_000])]
fn request_to_body(bencher: Bencher<'_, '_>, bytes: usize) {
    let parsed = ChatRequest::parse(body(bytes));
    let Ok(request) = parsed else { return };
    bencher.counter(BytesCount::new(bytes)).bench(|| request.to_body(black_box("another-model"), true));
}
