//! A value from the bytes of one whole frame.

use bytes::Bytes;
use memchr::memchr;

use super::scan::{ProtocolError, number};
use super::{ServerError, Value};

/// Builds the value of a frame whose length the [`Scanner`](super::Scanner) has found. Strings are slices of `frame`.
pub fn parse_frame(frame: &Bytes) -> Result<Value, ProtocolError> {
    Parser { frame, at: 0 }.value()
}

struct Parser<'a> {
    frame: &'a Bytes,
    at: usize,
}

impl Parser<'_> {
    fn value(&mut self) -> Result<Value, ProtocolError> {
        let (kind, from, to) = self.line()?;
        let line = &self.frame[from..to];
        Ok(match kind {
            b'+' => Value::Status(self.frame.slice(from..to)),
            b'-' => error(line),
            b':' => Value::Integer(number(line)?),
            b'_' => Value::Null,
            b',' => Value::Double(double(line)?),
            b'#' => Value::Boolean(line == b"t"),
            b'(' => Value::Bulk(self.frame.slice(from..to)),
            b'$' => self.string(number(line)?)?.map_or(Value::Null, Value::Bulk),
            // A verbatim string begins with its format, such as `txt:`.
            b'=' => self
                .string(number(line)?)?
                .map_or(Value::Null, |text| Value::Bulk(text.slice(text.len().min(4)..))),
            b'!' => self.string(number(line)?)?.map_or(Value::Null, |text| error(&text)),
            b'*' | b'~' => match number(line)? {
                ..0 => Value::Null,
                count => Value::Array(self.elements(count)?),
            },
            b'>' => Value::Push(self.elements(number(line)?)?),
            b'%' => Value::Map(self.pairs(number(line)?)?),
            b'|' => {
                // What an attribute says is of no use here; the value that it describes follows.
                self.pairs(number(line)?)?;
                self.value()?
            }
            other => return Err(ProtocolError(format!("a frame that begins with byte {other:#04x}"))),
        })
    }

    /// The kind of the next line, and where its text lies.
    fn line(&mut self) -> Result<(u8, usize, usize), ProtocolError> {
        let rest = self.frame.get(self.at..).unwrap_or_default();
        let end = memchr(b'\n', rest).filter(|&end| end >= 2).ok_or_else(cut)?;
        let from = self.at;
        self.at += end + 1;
        Ok((rest[0], from + 1, from + end - 1))
    }

    fn string(&mut self, length: i64) -> Result<Option<Bytes>, ProtocolError> {
        let Ok(length) = usize::try_from(length) else {
            return Ok(None);
        };
        let (from, to) = (self.at, self.at.checked_add(length).ok_or_else(cut)?);
        if self.frame.len() < to.saturating_add(2) {
            return Err(cut());
        }
        self.at = to + 2;
        Ok(Some(self.frame.slice(from..to)))
    }

    fn elements(&mut self, count: i64) -> Result<Vec<Value>, ProtocolError> {
        // Never more room than the frame could fill: the count is the other side's word.
        let mut elements = Vec::with_capacity(usize::try_from(count).unwrap_or(0).min(self.frame.len() / 3));
        for _ in 0..count {
            elements.push(self.value()?);
        }
        Ok(elements)
    }

    fn pairs(&mut self, count: i64) -> Result<Vec<(Value, Value)>, ProtocolError> {
        let mut pairs = Vec::with_capacity(usize::try_from(count).unwrap_or(0).min(self.frame.len() / 6));
        for _ in 0..count {
            pairs.push((self.value()?, self.value()?));
        }
        Ok(pairs)
    }
}

fn error(text: &[u8]) -> Value {
    Value::Error(ServerError { text: String::from_utf8_lossy(text).into_owned() })
}

fn double(line: &[u8]) -> Result<f64, ProtocolError> {
    std::str::from_utf8(line)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| ProtocolError("a double that is no number".to_owned()))
}

fn cut() -> ProtocolError {
    ProtocolError("a frame that ends too soon".to_owned())
}
