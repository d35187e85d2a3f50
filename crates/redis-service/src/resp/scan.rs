//! Where a frame ends, found without looking at any byte twice.

use memchr::memchr;

/// Nesting beyond this is no reply of Redis (its own scripts stop far below) and would exhaust the stack of the parser.
const MAX_DEPTH: usize = 128;

/// A line longer than this is no header: numbers and statuses are short, and errors that quote a command are cut by Redis.
const MAX_LINE: usize = 64 * 1024;

/// What arrived is not RESP: the connection cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected RESP, got {0}")]
pub struct ProtocolError(pub(super) String);

/// Finds the end of the first frame in a buffer that grows. One scanner per connection; [`Scanner::frame`] is called
/// with the buffer from the frame's first byte, again and again, until it is complete.
#[derive(Debug, Default)]
pub struct Scanner {
    /// How far the frame was understood.
    at: usize,
    /// For each open array, how many elements are still to come.
    open: Vec<u64>,
    /// The frame cannot be complete before the buffer is that long.
    need: usize,
}

impl Scanner {
    /// The length of the first frame, or `None` while it is incomplete. After a length the scanner starts anew.
    pub fn frame(&mut self, buffer: &[u8]) -> Result<Option<usize>, ProtocolError> {
        if buffer.len() < self.need {
            return Ok(None);
        }
        loop {
            let Some(line_end) = self.line_end(buffer)? else {
                return Ok(None);
            };
            let (kind, line) = (buffer[self.at], &buffer[self.at + 1..line_end]);
            let after = line_end + 2;
            let elements = match kind {
                b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => 0,
                b'$' | b'=' | b'!' => {
                    let length = number(line)?;
                    if length >= 0 {
                        let end = after
                            .checked_add(usize::try_from(length).unwrap_or(usize::MAX))
                            .and_then(|end| end.checked_add(2))
                            .ok_or_else(|| ProtocolError(format!("a string of {length} bytes")))?;
                        if buffer.len() < end {
                            self.need = end;
                            return Ok(None);
                        }
                        self.at = end;
                    } else {
                        self.at = after;
                    }
                    if self.close() {
                        return Ok(Some(self.finish()));
                    }
                    continue;
                }
                b'*' | b'~' | b'>' => number(line)?.max(0).unsigned_abs(),
                // An attribute comes before the value that it describes, so it counts one element more.
                b'|' => number(line)?.max(0).unsigned_abs().saturating_mul(2).saturating_add(1),
                b'%' => number(line)?.max(0).unsigned_abs().saturating_mul(2),
                other => return Err(ProtocolError(format!("a frame that begins with byte {other:#04x}"))),
            };
            self.at = after;
            if elements > 0 {
                if self.open.len() == MAX_DEPTH {
                    return Err(ProtocolError(format!("arrays nested deeper than {MAX_DEPTH}")));
                }
                self.open.push(elements);
            } else if self.close() {
                return Ok(Some(self.finish()));
            }
        }
    }

    /// How many bytes a buffer of `length` lacks at least until the frame is complete, as far as is known.
    pub fn missing(&self, length: usize) -> usize {
        self.need.saturating_sub(length)
    }

    /// One element is complete; whether the whole frame is.
    fn close(&mut self) -> bool {
        while let Some(left) = self.open.last_mut() {
            *left -= 1;
            if *left > 0 {
                return false;
            }
            self.open.pop();
        }
        true
    }

    fn finish(&mut self) -> usize {
        let length = self.at;
        *self = Self { open: std::mem::take(&mut self.open), ..Self::default() };
        length
    }

    /// Where the CR of the line at `at` stands.
    fn line_end(&mut self, buffer: &[u8]) -> Result<Option<usize>, ProtocolError> {
        let rest = buffer.get(self.at..).unwrap_or_default();
        match memchr(b'\n', &rest[..rest.len().min(MAX_LINE)]) {
            Some(end) if end >= 2 && rest[end - 1] == b'\r' => Ok(Some(self.at + end - 1)),
            Some(_) => Err(ProtocolError("a line that does not end in CR LF".to_owned())),
            None if rest.len() >= MAX_LINE => {
                Err(ProtocolError(format!("a line of more than {MAX_LINE} bytes")))
            }
            None => {
                self.need = buffer.len() + 1;
                Ok(None)
            }
        }
    }
}

/// The number of a header line.
pub(super) fn number(line: &[u8]) -> Result<i64, ProtocolError> {
    std::str::from_utf8(line).ok().and_then(|text| text.parse().ok()).ok_or_else(|| {
        ProtocolError(format!(
            "{:?} where a number belongs",
            String::from_utf8_lossy(&line[..line.len().min(40)])
        ))
    })
}
