//! RESP: however a stream is cut into pieces, the same values come out; and whatever arrives, nothing panics or loops.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use redis_service::resp::{Scanner, ServerError, Value, parse_frame};

/// Writes a value as RESP3.
fn write(value: &Value, out: &mut Vec<u8>) {
    let mut line = |kind: char, text: &str| out.extend_from_slice(format!("{kind}{text}\r\n").as_bytes());
    match value {
        Value::Null => line('_', ""),
        Value::Integer(number) => line(':', &number.to_string()),
        Value::Double(number) => line(',', &number.to_string()),
        Value::Boolean(yes) => line('#', if *yes { "t" } else { "f" }),
        Value::Status(text) => line('+', std::str::from_utf8(text).unwrap()),
        Value::Error(error) => line('-', &error.text),
        Value::Bulk(bytes) => {
            line('$', &bytes.len().to_string());
            out.extend_from_slice(bytes);
            out.extend_from_slice(b"\r\n");
        }
        Value::Array(elements) => {
            line('*', &elements.len().to_string());
            elements.iter().for_each(|element| write(element, out));
        }
        Value::Push(elements) => {
            line('>', &elements.len().to_string());
            elements.iter().for_each(|element| write(element, out));
        }
        Value::Map(pairs) => {
            line('%', &pairs.len().to_string());
            for (key, value) in pairs {
                write(key, out);
                write(value, out);
            }
        }
    }
}

/// Reads a stream that arrives in these pieces, until it ends or is no RESP.
fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Value>, bool) {
    let (mut scanner, mut buffer, mut values) = (Scanner::default(), BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match scanner.frame(&buffer) {
                Ok(None) => break,
                Ok(Some(length)) => {
                    assert!(length > 0 && length <= buffer.len(), "a frame of {length} bytes");
                    match parse_frame(&buffer.split_to(length).freeze()) {
                        Ok(value) => values.push(value),
                        Err(_) => return (values, false),
                    }
                }
                Err(_) => return (values, false),
            }
        }
    }
    (values, buffer.is_empty())
}

fn value() -> impl Strategy<Value = Value> {
    let text = "[ -~]{0,20}";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::Integer),
        any::<bool>().prop_map(Value::Boolean),
        (-1e9..1e9_f64).prop_map(Value::Double),
        text.prop_map(|text| Value::Status(text.into())),
        text.prop_map(|text| Value::Error(ServerError { text })),
        prop::collection::vec(any::<u8>(), 0..200).prop_map(|bytes| Value::Bulk(bytes.into())),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Push),
            prop::collection::vec((inner.clone(), inner), 0..4).prop_map(Value::Map),
        ]
    })
}

/// Bytes that are nearly RESP, which gets further than any bytes do.
fn nearly_resp() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(b"+-:$*~>%|_,#(=!".to_vec()).prop_map(|kind| vec![kind]),
        any::<i16>().prop_map(|number| format!("{number}\r\n").into_bytes()),
        Just(b"\r\n".to_vec()),
        Just(b"9223372036854775807\r\n".to_vec()),
        Just(b"*1\r\n".repeat(40)),
        Just(b"|1\r\n".repeat(40)),
        prop::collection::vec(any::<u8>(), 0..8),
        value().prop_map(|value| {
            let mut out = Vec::new();
            write(&value, &mut out);
            out
        }),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn any_cut_of_a_stream_gives_the_same_values(
        values in prop::collection::vec(value(), 1..5),
        cuts in prop::collection::vec(1..64_usize, 1..200),
    ) {
        let mut stream = Vec::new();
        values.iter().for_each(|value| write(value, &mut stream));
        let (whole, complete) = read(std::iter::once(&stream[..]));
        prop_assert_eq!((&whole, complete), (&values, true));
        let (by_byte, complete) = read(stream.chunks(1));
        prop_assert_eq!((&by_byte, complete), (&values, true));
        let (mut rest, mut sizes, mut pieces) = (&stream[..], cuts.iter().cycle(), Vec::new());
        while !rest.is_empty() {
            let (piece, left) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            pieces.push(piece);
            rest = left;
        }
        let (cut, complete) = read(pieces.into_iter());
        prop_assert_eq!((&cut, complete), (&values, true));
    }

    #[test]
    fn whatever_arrives_nothing_panics_and_cuts_change_nothing(stream in nearly_resp(), size in 1..50_usize) {
        let whole = read(std::iter::once(&stream[..]));
        prop_assert_eq!(read(stream.chunks(size)), whole);
    }

    #[test]
    fn a_frame_that_was_not_scanned_first_does_not_panic_either(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        // Refused or read; only that it returns matters.
        drop(parse_frame(&Bytes::from(bytes)));
    }
}

#[test]
fn hostile_nesting_and_lengths_are_refused_or_waited_for_without_memory() {
    for stream in [
        b"*1\r\n".repeat(1_000_000),
        b"|1\r\n".repeat(1_000_000),
        b"$9223372036854775807\r\n".to_vec(),
        b"*9223372036854775807\r\n".to_vec(),
        b"%9223372036854775807\r\n".to_vec(),
        b"|9223372036854775807\r\n".to_vec(),
        vec![b'+'; 1_000_000],
    ] {
        let (values, complete) = read(std::iter::once(&stream[..]));
        assert!(values.is_empty() && !complete);
    }
}
