//! Whatever the pieces of a stream, its events and lines are the same.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::{ndjson, sse};
use crate::WireError;

/// An event as text, for readable assertions.
type Read = Result<(Option<String>, String), WireError>;

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn drain(decoder: &mut sse::Decoder, events: &mut Vec<Read>) {
    while let Some(event) = decoder.next_event() {
        events.push(event.map(|event| (event.event.as_ref().map(text), text(&event.data))));
    }
}

fn events_of(pieces: &[&[u8]], max_event_bytes: usize) -> Vec<Read> {
    let mut decoder = sse::Decoder::new(max_event_bytes);
    let mut events = Vec::new();
    for piece in pieces {
        decoder.push(Bytes::copy_from_slice(piece));
        drain(&mut decoder, &mut events);
    }
    events
}

fn lines_of(pieces: &[&[u8]], max_line_bytes: usize) -> Vec<Result<String, WireError>> {
    let mut decoder = ndjson::Decoder::new(max_line_bytes);
    let mut lines = Vec::new();
    for piece in pieces {
        decoder.push(Bytes::copy_from_slice(piece));
        while let Some(line) = decoder.next_line() {
            lines.push(line.map(|line| text(&line)));
        }
    }
    lines.extend(decoder.finish().map(|line| Ok(text(&line))));
    lines
}

/// Asserts the events of a stream, whole, byte by byte, and cut in two at every byte.
#[track_caller]
fn check(stream: &[u8], expected: &[(Option<&str>, &str)]) {
    let expected: Vec<Read> =
        expected.iter().map(|(event, data)| Ok((event.map(str::to_owned), (*data).to_owned()))).collect();
    assert_eq!(events_of(&[stream], 1024), expected, "whole");
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(events_of(&bytes, 1024), expected, "byte by byte");
    for at in 0..=stream.len() {
        let (head, tail) = stream.split_at(at);
        assert_eq!(events_of(&[head, tail], 1024), expected, "cut at byte {at}");
    }
}

#[test]
fn every_line_end_ends_a_line() {
    for end in ["\n", "\r\n", "\r"] {
        let stream = format!("data: a{end}{end}event: ping{end}data: b{end}data: c{end}{end}");
        check(stream.as_bytes(), &[(None, "a"), (Some("ping"), "b\nc")]);
    }
    check(b"data: a\r\n\r\ndata: b\n\rdata: c\r\n\n", &[(None, "a"), (None, "b"), (None, "c")]);
}

#[test]
fn a_stream_that_ends_a_line_in_cr_does_not_wait_for_the_lf() {
    let mut decoder = sse::Decoder::new(1024);
    decoder.push(Bytes::from_static(b"data: now\r\r"));
    assert!(decoder.next_event().is_some());
}

#[test]
fn a_byte_order_mark_is_only_skipped_at_the_start() {
    check(b"\xEF\xBB\xBFdata: a\n\n", &[(None, "a")]);
    check(b"data: a\n\n\xEF\xBB\xBFdata: b\n\n", &[(None, "a")]);
    // What only begins like one is the beginning of a field's name.
    check(b"\xEF\xBBdata: a\n\ndata: b\n\n", &[(None, "b")]);
}

#[test]
fn comments_and_fields_for_reconnecting_never_surface() {
    check(b": keep-alive\n\n:\n\nid: 7\nretry: 10\n\ndata: a\n: inside\nid\nunknown: b\n\n", &[(None, "a")]);
}

#[test]
fn one_space_after_the_colon_is_not_data() {
    check(b"data:a\n\ndata: a\n\ndata:  a\n\n", &[(None, "a"), (None, "a"), (None, " a")]);
    check(b"data: a: b\n\n", &[(None, "a: b")]);
}

/// The examples of the specification.
#[test]
fn the_examples_of_the_specification_decode_as_it_says() {
    check(
        b"data: YHOO\ndata: +2\ndata: 10\n\n: test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
        &[(None, "YHOO\n+2\n10"), (None, "first event"), (None, "second event"), (None, " third event")],
    );
    check(b"data\n\ndata\ndata\n\ndata:", &[(None, ""), (None, "\n")]);
}

#[test]
fn an_event_without_data_is_skipped_with_its_type() {
    check(b"event: ping\n\ndata: a\n\nevent: x\nevent:\ndata: b\n\n", &[(None, "a"), (None, "b")]);
}

#[test]
fn an_event_in_one_piece_is_a_slice_of_it() {
    let piece = Bytes::from_static(b"data: one\n\ndata: two\n\n");
    let mut decoder = sse::Decoder::new(1024);
    decoder.push(piece.clone());
    for at in [6, 17] {
        let event = decoder.next_event().unwrap().unwrap();
        assert_eq!(event.data.as_ptr(), piece[at..].as_ptr());
    }
}

#[test]
fn the_end_of_a_cut_stream_is_there_for_who_asks() {
    let mut decoder = sse::Decoder::new(1024);
    decoder.push(Bytes::from_static(b"data: a\n\ndata: [DONE]"));
    assert_eq!(decoder.next_event().unwrap().unwrap().data, "a");
    assert!(decoder.next_event().is_none());
    assert_eq!(decoder.finish().unwrap().data, sse::DONE);
    assert!(sse::Decoder::new(1024).finish().is_none());
}

#[test]
fn an_event_may_fill_the_bound_and_not_exceed_it() {
    let too_large = || Err(WireError::TooLarge { what: "a server-sent event", limit: 12 });
    let fits: &[u8] = b"data: 123456\n\n";
    let exceeds: &[u8] = b"data: 1234567\n\ndata: a\n\n";
    let together: &[u8] = b"data: 12\ndata: 12345\n\n";
    for split in 1..8 {
        let pieces = |stream: &'static [u8]| stream.chunks(split).collect::<Vec<_>>();
        assert_eq!(events_of(&pieces(fits), 12), [Ok((None, "123456".to_owned()))]);
        assert_eq!(events_of(&pieces(exceeds), 12), [too_large()], "nothing follows the error");
        assert_eq!(events_of(&pieces(together), 12), [too_large()]);
    }
}

#[test]
fn ten_megabytes_without_a_line_end_are_refused_at_the_bound() {
    let mut decoder = sse::Decoder::new(64 * 1024);
    let piece = Bytes::from(vec![b'x'; 16 * 1024]);
    let mut events = Vec::new();
    let mut refused_at = None;
    for number in 1..=640 {
        decoder.push(piece.clone());
        drain(&mut decoder, &mut events);
        assert!(decoder.buffered() <= 64 * 1024);
        if !events.is_empty() {
            refused_at.get_or_insert(number);
        }
    }
    assert_eq!(refused_at, Some(5));
    assert_eq!(events.len(), 1);
    assert_eq!(decoder.buffered(), 0);

    let mut decoder = ndjson::Decoder::new(64 * 1024);
    decoder.push(Bytes::from(vec![b'x'; 10 << 20]));
    assert!(matches!(decoder.next_line(), Some(Err(WireError::TooLarge { limit: 65_536, .. }))));
    decoder.push(Bytes::from_static(b"{}\n"));
    assert!(decoder.next_line().is_none());
}

#[test]
fn four_megabytes_byte_by_byte_are_read_once() {
    // Quadratic work would be 8 * 10^12 steps: this test would not end.
    let size = 4 << 20;
    let mut decoder = sse::Decoder::new(size + 16);
    decoder.push(Bytes::from_static(b"data: "));
    let byte = Bytes::from_static(b"x");
    for _ in 0..size {
        decoder.push(byte.clone());
        assert!(decoder.next_event().is_none());
    }
    decoder.push(Bytes::from_static(b"\n\n"));
    assert_eq!(decoder.next_event().unwrap().unwrap().data.len(), size);
}

#[test]
fn lines_are_cut_at_lf_and_blank_ones_are_skipped() {
    let stream = b"{\"a\":1}\r\n\n  \n{\"b\":\"\r\"}\n{\"c\":3}";
    let expected: Vec<_> =
        ["{\"a\":1}", "{\"b\":\"\r\"}", "{\"c\":3}"].map(|line| Ok(line.to_owned())).into();
    for at in 0..=stream.len() {
        let (head, tail) = stream.split_at(at);
        assert_eq!(lines_of(&[head, tail], 64), expected, "cut at byte {at}");
    }
}

#[test]
fn a_frame_says_new_line_in_one_way() {
    assert_eq!(sse::data_frame(b"a"), "data: a\n\n");
    assert_eq!(sse::data_frame(b""), "data: \n\n");
    assert_eq!(sse::data_frame(b"a\r\nb\rc\n"), "data: a\ndata: b\ndata: c\ndata: \n\n");
}

/// The specification's steps on a whole stream, the slow way.
fn reference(stream: &[u8]) -> Vec<Read> {
    let stream = stream.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(stream);
    let stream = String::from_utf8_lossy(stream).replace("\r\n", "\n").replace('\r', "\n");
    let Some((whole_lines, _)) = stream.rsplit_once('\n') else { return Vec::new() };
    let (mut events, mut kind, mut data) = (Vec::new(), String::new(), String::new());
    for line in whole_lines.split('\n') {
        if line.is_empty() {
            if let Some(data) = data.strip_suffix('\n') {
                events.push(Ok(((!kind.is_empty()).then(|| kind.clone()), data.to_owned())));
            }
            kind.clear();
            data.clear();
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => data.extend([value, "\n"]),
            "event" => value.clone_into(&mut kind),
            _ => {}
        }
    }
    events
}

/// Streams made of what the format is made of.
fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    let token = prop::sample::select(vec![
        "data",
        "event",
        "id",
        ":",
        ": ",
        " ",
        "\n",
        "\n\n",
        "\r",
        "\r\n",
        "\u{FEFF}",
        "x",
        "é",
        "{\"a\":1}",
    ]);
    vec(token, 0..40).prop_map(|tokens| tokens.concat().into_bytes())
}

/// A stream cut at these places.
fn cut<'a>(stream: &'a [u8], places: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| place.index(stream.len() + 1)).collect();
    places.extend([0, stream.len()]);
    places.sort_unstable();
    places.windows(2).map(|ends| &stream[ends[0]..ends[1]]).collect()
}

proptest! {
    #[test]
    fn any_stream_in_any_pieces_decodes_as_the_specification_says(
        stream in any_stream(),
        places in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let expected = reference(&stream);
        prop_assert_eq!(&events_of(&[&stream], 4096), &expected);
        prop_assert_eq!(&events_of(&cut(&stream, &places), 4096), &expected);
        prop_assert_eq!(&events_of(&stream.chunks(1).collect::<Vec<_>>(), 4096), &expected);
    }

    #[test]
    fn the_bound_does_not_depend_on_the_pieces(
        stream in any_stream(),
        places in vec(any::<prop::sample::Index>(), 0..6),
        bound in 0_usize..16,
    ) {
        let whole = events_of(&[&stream], bound);
        prop_assert_eq!(&events_of(&cut(&stream, &places), bound), &whole);
        prop_assert_eq!(&events_of(&stream.chunks(1).collect::<Vec<_>>(), bound), &whole);
        prop_assert_eq!(&lines_of(&cut(&stream, &places), bound), &lines_of(&[&stream], bound));
    }

    #[test]
    fn framed_data_comes_back_with_its_lines(lines in vec("[^\r\n]{0,12}", 1..5)) {
        let data = lines.join("\n");
        let frame = sse::data_frame(data.as_bytes());
        prop_assert_eq!(events_of(&[&frame], 4096), vec![Ok((None, data))]);
    }

    #[test]
    fn any_bytes_in_any_pieces_are_cut_into_the_same_lines(
        stream in vec(prop::sample::select(b"{}ab \r\n\n".to_vec()), 0..60),
        places in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let expected: Vec<_> = String::from_utf8_lossy(&stream)
            .split('\n')
            .map(|line| line.strip_suffix('\r').unwrap_or(line).to_owned())
            .filter(|line| !line.trim_ascii().is_empty())
            .map(Ok)
            .collect();
        prop_assert_eq!(lines_of(&cut(&stream, &places), 4096), expected);
    }
}
