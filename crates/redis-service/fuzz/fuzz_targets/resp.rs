//! Whatever a server sends, in whatever pieces: nothing panics, nothing loops, and the pieces do not matter.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use redis_service::resp::{Scanner, Value, parse_frame};

fuzz_target!(|input: (u8, &[u8])| {
    let (size, stream) = input;
    let whole = read(stream.chunks(stream.len().max(1)));
    let pieces = read(stream.chunks(usize::from(size).max(1)));
    // By their text: a double that is no number equals nothing.
    assert_eq!(format!("{whole:?}"), format!("{pieces:?}"));
});

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Value> {
    let (mut scanner, mut buffer, mut values) = (Scanner::default(), BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let length = match scanner.frame(&buffer) {
                Ok(None) => break,
                Ok(Some(length)) => length,
                Err(_) => return values,
            };
            assert!(length > 0 && length <= buffer.len());
            match parse_frame(&buffer.split_to(length).freeze()) {
                Ok(value) => values.push(value),
                Err(_) => return values,
            }
        }
    }
    values
}
