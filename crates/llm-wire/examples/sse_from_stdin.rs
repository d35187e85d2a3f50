//! Prints the complete answer of an OpenAI stream that arrives on standard input:
//! `curl -sN http://127.0.0.1:8642/v1/chat/completions -d '{...,"stream":true}' | cargo run --example sse_from_stdin`.

use std::error::Error;
use std::io::{Read, Write};

use bytes::Bytes;
use llm_wire::openai::ChunkCollector;
use llm_wire::sse;

fn main() -> Result<(), Box<dyn Error>> {
    let mut decoder = sse::Decoder::new(1 << 20);
    let mut answer = ChunkCollector::new();
    let mut piece = [0; 4096];
    loop {
        let read = std::io::stdin().read(&mut piece)?;
        if read == 0 {
            break;
        }
        decoder.push(Bytes::copy_from_slice(&piece[..read]));
        while let Some(event) = decoder.next_event() {
            let event = event?;
            if event.data != sse::DONE {
                answer.push(&event.data)?;
            }
        }
    }
    std::io::stdout().write_all(&answer.finish())?;
    Ok(())
}
