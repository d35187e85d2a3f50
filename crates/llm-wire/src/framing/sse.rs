//! Server-sent events, as the [WHATWG specification] interprets a stream.
//!
//! Written by hand because the `eventsource-stream` crate allocates several strings an event, joins every chunk to a
//! growing buffer and knows no bound, while here most events are slices of the chunk that they came in.
//!
//! [WHATWG specification]: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::lines::{Ends, Lines};
use crate::WireError;

/// The data of the event that ends an OpenAI stream.
pub const DONE: &[u8] = b"[DONE]";

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// One event. Comments, `id` and `retry` never surface: nothing here reconnects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The value of the `event` field; `None` is the default type, `message`.
    pub event: Option<Bytes>,
    /// The values of the `data` fields, joined by LF.
    pub data: Bytes,
}

/// Cuts a byte stream into events.
#[derive(Debug)]
pub struct Decoder {
    lines: Lines,
    max_event_bytes: usize,
    /// Bytes of a byte order mark seen at the start of the stream; its length once that question is settled.
    mark_seen: usize,
    event: Option<Bytes>,
    data: Data,
    failed: bool,
}

/// The data lines of the event that is being read.
#[derive(Debug)]
enum Data {
    None,
    /// One line, still a slice of its chunk.
    One(Bytes),
    Joined(BytesMut),
}

impl Data {
    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(line) => line.len(),
            Self::Joined(lines) => lines.len(),
        }
    }

    fn append(&mut self, line: Bytes) {
        let mut joined = match std::mem::replace(self, Self::None) {
            Self::None => {
                *self = Self::One(line);
                return;
            }
            Self::One(first) => {
                let mut joined = BytesMut::with_capacity(first.len() + 1 + line.len());
                joined.extend_from_slice(&first);
                joined
            }
            Self::Joined(joined) => joined,
        };
        joined.put_u8(b'\n');
        joined.extend_from_slice(&line);
        *self = Self::Joined(joined);
    }

    fn take(&mut self) -> Option<Bytes> {
        match std::mem::replace(self, Self::None) {
            Self::None => None,
            Self::One(line) => Some(line),
            Self::Joined(lines) => Some(lines.freeze()),
        }
    }
}

impl Decoder {
    /// A decoder that refuses events whose lines are longer than `max_event_bytes` together.
    pub fn new(max_event_bytes: usize) -> Self {
        Self {
            lines: Lines::new(Ends::LfOrCr),
            max_event_bytes,
            mark_seen: 0,
            event: None,
            data: Data::None,
            failed: false,
        }
    }

    /// Takes the next bytes of the stream. After an error they are discarded.
    pub fn push(&mut self, mut chunk: Bytes) {
        if self.failed {
            return;
        }
        while self.mark_seen < BYTE_ORDER_MARK.len() && !chunk.is_empty() {
            if chunk.first() == BYTE_ORDER_MARK.get(self.mark_seen) {
                chunk.advance(1);
                self.mark_seen += 1;
            } else {
                // It only began like one, so those bytes are content.
                self.lines.push(Bytes::from_static(BYTE_ORDER_MARK).slice(..self.mark_seen));
                self.mark_seen = BYTE_ORDER_MARK.len();
            }
        }
        self.lines.push(chunk);
    }

    /// The next whole event, or `None` until more is pushed. An event whose one data line lies in one pushed chunk is
    /// a slice of that chunk.
    ///
    /// # Errors
    /// [`WireError::TooLarge`], once, as soon as an event exceeds the bound, whether it has ended or not; after it
    /// there is nothing more.
    pub fn next_event(&mut self) -> Option<Result<Event, WireError>> {
        loop {
            let room = self.max_event_bytes.saturating_sub(self.held());
            match self.lines.next_line(room) {
                Ok(Some(line)) if line.is_empty() => {
                    if let Some(event) = self.take_event() {
                        return Some(Ok(event));
                    }
                }
                Ok(Some(line)) => self.field(line),
                Ok(None) => return None,
                Err(_) => {
                    self.failed = true;
                    self.lines.clear();
                    self.take_event();
                    return Some(Err(WireError::TooLarge {
                        what: "a server-sent event",
                        limit: self.max_event_bytes,
                    }));
                }
            }
        }
    }

    /// The event in which the stream ended, once [`next_event`](Self::next_event) has answered `None`.
    ///
    /// The specification discards it. Some servers leave out the last blank line or even the last line end, so a
    /// caller that can tell a cut document from a whole one, as JSON allows, may want it.
    pub fn finish(mut self) -> Option<Event> {
        let rest = std::mem::replace(&mut self.lines, Lines::new(Ends::LfOrCr)).into_rest();
        if !rest.is_empty() {
            self.field(rest);
        }
        self.take_event()
    }

    /// Bytes held: chunks not yet asked for, and the beginning of an event that has not ended.
    pub fn buffered(&self) -> usize {
        self.lines.buffered() + self.held()
    }

    fn held(&self) -> usize {
        self.data.len() + self.event.as_ref().map_or(0, Bytes::len)
    }

    fn take_event(&mut self) -> Option<Event> {
        let event = self.event.take();
        let data = self.data.take()?;
        Some(Event { event, data })
    }

    fn field(&mut self, mut line: Bytes) {
        let (name_len, value_at) = match memchr::memchr(b':', &line) {
            Some(colon) if line.get(colon + 1) == Some(&b' ') => (colon, colon + 2),
            Some(colon) => (colon, colon + 1),
            None => (line.len(), line.len()),
        };
        match line.get(..name_len) {
            Some(b"data") => {
                line.advance(value_at);
                self.data.append(line);
            }
            Some(b"event") => {
                line.advance(value_at);
                // An empty type is the default one.
                self.event = (!line.is_empty()).then_some(line);
            }
            // An empty name is a comment; `id` and `retry` are for clients that reconnect; the rest is ignored by
            // the specification.
            _ => {}
        }
    }
}

/// One event with this data: `data: ...`, and a blank line. Each line of the data becomes a `data` field.
pub fn data_frame(data: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(data.len() + b"data: \n\n".len());
    append_data_frame(&mut out, data);
    out.freeze()
}

/// Appends what [`data_frame`] returns. A CR, or CR LF, in the data arrives as LF, because the format has one way to
/// say "new line".
pub fn append_data_frame(out: &mut BytesMut, data: &[u8]) {
    out.reserve(data.len() + b"data: \n\n".len());
    let mut rest = data;
    loop {
        let end = memchr::memchr2(b'\n', b'\r', rest);
        let (line, after) = rest.split_at(end.unwrap_or(rest.len()));
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.put_u8(b'\n');
        rest = match after {
            [b'\r', b'\n', rest @ ..] => rest,
            [_, rest @ ..] => rest,
            [] => break,
        };
    }
    out.put_u8(b'\n');
}
