//! Measures a running engine: tokens per second of one stream, then of several at once.
//!
//! ```sh
//! uat-engine --socket /tmp/e.sock &
//! cargo run --release -p llama-engine --example throughput -- /tmp/e.sock smollm2-135m 8
//! ```

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Long enough to measure, short enough for a small model not to end by itself too often.
const TOKENS: u32 = 128;

/// What one stream saw.
struct Seen {
    tokens: u64,
    first: Duration,
    longest_gap: Duration,
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [socket, model, streams] = arguments.as_slice() else {
        return Err(io::Error::other("expected three arguments: SOCKET MODEL STREAMS"));
    };
    let streams: u32 = streams.parse().map_err(io::Error::other)?;
    stream(socket, model, 0)?; // Loads the model.
    let mut out = io::stdout();
    for streams in [1, streams] {
        let started = Instant::now();
        let seen = thread::scope(|scope| {
            let threads: Vec<_> =
                (0..streams).map(|index| scope.spawn(move || stream(socket, model, index))).collect();
            let join = |thread: thread::ScopedJoinHandle<'_, io::Result<Seen>>| {
                thread.join().map_err(|_| io::Error::other("a stream panicked"))?
            };
            threads.into_iter().map(join).collect::<io::Result<Vec<Seen>>>()
        })?;
        let took = started.elapsed();
        let tokens: u64 = seen.iter().map(|seen| seen.tokens).sum();
        let first = seen.iter().map(|seen| seen.first).max().unwrap_or_default();
        let gap = seen.iter().map(|seen| seen.longest_gap).max().unwrap_or_default();
        writeln!(
            out,
            "{streams} at once: {tokens} tokens in {took:.2?}, {:.1} tokens/s; first text after at most {first:.0?}, then gaps of at most {gap:.0?}",
            tokens as f64 / took.as_secs_f64()
        )?;
    }
    Ok(())
}

fn stream(socket: &str, model: &str, index: u32) -> io::Result<Seen> {
    let body = json!({
        "model": model,
        "messages": [{"role": "user", "content": format!("Count from {index} to 5000, one number per line: {index}")}],
        "max_tokens": TOKENS,
        "seed": index,
        "stream": true,
        "stream_options": {"include_usage": true},
    })
    .to_string();
    let started = Instant::now();
    let mut connection = UnixStream::connect(socket)?;
    write!(
        connection,
        "POST /v1/chat/completions HTTP/1.1\r\nhost: engine\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut seen = Seen { tokens: 0, first: Duration::ZERO, longest_gap: Duration::ZERO };
    let mut last = None;
    // The chunk sizes between the lines are skipped with everything else that is no event.
    for line in BufReader::new(connection).lines() {
        let line = line?;
        let Some(data) = line.strip_prefix("data: {") else { continue };
        let event: Value = serde_json::from_str(&format!("{{{data}"))?;
        if let Some(error) = event.get("error") {
            return Err(io::Error::other(error.to_string()));
        }
        let now = Instant::now();
        match last.replace(now) {
            None => seen.first = now - started,
            Some(last) => seen.longest_gap = seen.longest_gap.max(now - last),
        }
        seen.tokens = event["usage"]["completion_tokens"].as_u64().unwrap_or(seen.tokens);
    }
    Ok(seen)
}
