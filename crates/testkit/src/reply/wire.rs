//! From a reply to what is written.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use super::{Ending, Head, Length, Reply, Step};

/// The chunk that ends a chunked body.
const LAST_CHUNK: Bytes = Bytes::from_static(b"0\r\n\r\n");

impl Reply {
    /// What is written, and when.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let mut steps = self.before.clone();
        let Some(head) = &self.head else {
            steps.extend_from_slice(&self.body);
            return steps;
        };
        match head.length {
            Length::Bytes(_) => {
                let mut body = self.body.iter();
                let mut first = BytesMut::from(head.to_string().as_bytes());
                // One packet for the head and the first of the body, as servers do that have both.
                if let Some(Step::Send(bytes)) = body.as_slice().first() {
                    first.extend_from_slice(bytes);
                    body.next();
                }
                steps.push(Step::Send(first.freeze()));
                steps.extend(body.cloned());
            }
            Length::Chunked => {
                steps.push(Step::Send(head.to_string().into()));
                steps.extend(self.body.iter().map(framed));
                if self.ending == Ending::KeepAlive {
                    steps.push(Step::Send(LAST_CHUNK));
                }
            }
        }
        steps
    }

    /// The body as one, without what is made while it is sent.
    pub(super) fn body_bytes(&self) -> Bytes {
        joined(&self.body)
    }

    /// The same bytes in pieces of `bytes_per`, `every` so often; waits of the original are left out.
    pub(super) fn dripped(&self, bytes_per: usize, every: Duration) -> Self {
        let mut bytes = joined(&self.steps());
        let mut body = Vec::new();
        while !bytes.is_empty() {
            // Between pieces only: a client that has everything and goes has not left early.
            if !body.is_empty() && !every.is_zero() {
                body.push(Step::Wait(every));
            }
            body.push(Step::Send(bytes.split_to(bytes_per.clamp(1, bytes.len()))));
        }
        Self::raw(body, self.ending)
    }
}

impl std::fmt::Display for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HTTP/1.1 {} {}\r\n", self.code, reason(self.code))?;
        if !self.content_type.is_empty() {
            write!(f, "content-type: {}\r\n", self.content_type)?;
        }
        for (name, value) in &self.headers {
            write!(f, "{name}: {value}\r\n")?;
        }
        match self.length {
            Length::Bytes(length) => write!(f, "content-length: {length}\r\n\r\n"),
            Length::Chunked => write!(f, "transfer-encoding: chunked\r\n\r\n"),
        }
    }
}

/// What a status is called on the wire.
pub(super) fn reason(code: u16) -> &'static str {
    match code {
        100 => "Continue",
        102 => "Processing",
        103 => "Early Hints",
        200 => "OK",
        302 => "Found",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Scripted",
    }
}

fn joined(steps: &[Step]) -> Bytes {
    let mut bytes = BytesMut::new();
    for step in steps {
        if let Step::Send(part) = step {
            bytes.extend_from_slice(part);
        }
    }
    bytes.freeze()
}

fn framed(step: &Step) -> Step {
    match step {
        Step::Send(bytes) => Step::Send(chunk(bytes)),
        Step::Repeat(bytes, times) => Step::Repeat(chunk(bytes), *times),
        Step::Pulse(bytes, every) => Step::Pulse(chunk(bytes), *every),
        Step::Wait(wait) => Step::Wait(*wait),
    }
}

/// One HTTP chunk.
fn chunk(data: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(data.len() + 12);
    out.put_slice(format!("{:x}\r\n", data.len()).as_bytes());
    out.put_slice(data);
    out.put_slice(b"\r\n");
    out.freeze()
}
