//! Reading HTTP/1.1 requests from bytes: decisions only, the provider does the reading.

use bytes::{Buf, BytesMut};

/// The longest head that is read, in bytes: as generous as common servers.
const MAX_HEAD: usize = 64 * 1024;
/// The longest body that is read, in bytes: larger than any bound of what is tested with it.
const MAX_BODY: usize = 64 * 1024 * 1024;
/// Headers of one request that are read.
const MAX_HEADERS: usize = 128;

/// A request's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) framing: Framing,
    /// The client waits for `100 Continue` before it sends the body.
    pub(crate) expects_continue: bool,
    /// The client will send no further request.
    pub(crate) close: bool,
}

impl Head {
    /// The first header of this name (lower case).
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// How long the body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(usize),
    Chunked,
}

/// Takes a head off the front of `buffer`; none: more bytes are needed. The error is a sentence.
pub(crate) fn take_head(buffer: &mut BytesMut) -> Result<Option<Head>, String> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let length = match parsed.parse(buffer) {
        Err(error) => return Err(format!("not an HTTP/1.1 request: {error}")),
        Ok(httparse::Status::Partial) if buffer.len() > MAX_HEAD => {
            return Err(format!("a head longer than {MAX_HEAD} bytes"));
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Ok(httparse::Status::Complete(length)) => length,
    };
    let headers: Vec<(String, String)> = parsed
        .headers
        .iter()
        .map(|header| (header.name.to_ascii_lowercase(), String::from_utf8_lossy(header.value).into_owned()))
        .collect();
    let find = |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let has =
        |name: &str, token: &str| find(name).is_some_and(|value| value.to_ascii_lowercase().contains(token));
    let framing = if has("transfer-encoding", "chunked") {
        Framing::Chunked
    } else {
        let length = find("content-length").unwrap_or("0");
        let length: usize =
            length.parse().map_err(|_| format!("content-length {length:?} is not a number"))?;
        if length > MAX_BODY {
            return Err(format!("a body of {length} bytes; at most {MAX_BODY} are read"));
        }
        Framing::Length(length)
    };
    let head = Head {
        method: parsed.method.unwrap_or_default().to_owned(),
        path: parsed.path.unwrap_or_default().to_owned(),
        framing,
        expects_continue: has("expect", "100-continue"),
        close: has("connection", "close") || parsed.version == Some(0),
        headers,
    };
    buffer.advance(length);
    Ok(Some(head))
}

/// Takes body bytes off the front of `buffer` into `body`. True: the body is complete. The error is a sentence.
pub(crate) fn take_body(
    framing: Framing,
    buffer: &mut BytesMut,
    body: &mut BytesMut,
) -> Result<bool, String> {
    let Framing::Chunked = framing else {
        let Framing::Length(length) = framing else { return Ok(true) };
        body.unsplit(buffer.split_to((length - body.len()).min(buffer.len())));
        return Ok(body.len() == length);
    };
    loop {
        let (start, size) = match httparse::parse_chunk_size(buffer) {
            Err(_) => return Err("a chunk without a valid size".to_owned()),
            Ok(httparse::Status::Partial) => return Ok(false),
            Ok(httparse::Status::Complete((start, size))) => {
                (start, usize::try_from(size).unwrap_or(usize::MAX))
            }
        };
        if size > MAX_BODY - body.len() {
            return Err(format!("a chunked body longer than {MAX_BODY} bytes"));
        }
        // The chunk is followed by CRLF; trailers are not read, no client of ours sends them.
        if buffer.len() < start + size + 2 {
            return Ok(false);
        }
        body.extend_from_slice(&buffer[start..start + size]);
        buffer.advance(start + size + 2);
        if size == 0 {
            return Ok(true);
        }
    }
}

/// The value of a query parameter, as it stands.
pub(crate) fn query<'a>(path: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = path.split_once('?')?;
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// A complete request, or nothing when more bytes are needed: for the tests of both functions together.
#[cfg(test)]
fn take_request(buffer: &mut BytesMut) -> Result<Option<(Head, bytes::Bytes)>, String> {
    let Some(head) = take_head(buffer)? else { return Ok(None) };
    let mut body = BytesMut::new();
    Ok(take_body(head.framing, buffer, &mut body)?.then(|| (head, body.freeze())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const POST: &str = "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    const CHUNKED: &str =
        "POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";

    #[test]
    fn a_body_is_the_same_however_it_is_framed() {
        for text in [POST, CHUNKED] {
            let mut buffer = BytesMut::from(format!("{text}GET / HTTP/1.1\r\n").as_str());
            let (head, body) = take_request(&mut buffer).unwrap().unwrap();
            assert_eq!((head.method.as_str(), &body[..]), ("POST", &b"hello"[..]));
            assert_eq!(&buffer[..], b"GET / HTTP/1.1\r\n", "what follows belongs to the next request");
        }
    }

    #[test]
    fn a_request_may_be_split_at_every_byte() {
        for text in [POST, CHUNKED] {
            for split in 1..text.len() {
                let mut buffer = BytesMut::from(&text[..split]);
                let mut body = BytesMut::new();
                let mut head = take_head(&mut buffer).unwrap();
                if let Some(head) = &head {
                    assert!(!take_body(head.framing, &mut buffer, &mut body).unwrap());
                }
                buffer.extend_from_slice(&text.as_bytes()[split..]);
                if head.is_none() {
                    head = take_head(&mut buffer).unwrap();
                }
                assert!(take_body(head.unwrap().framing, &mut buffer, &mut body).unwrap());
                assert_eq!(&body[..], b"hello");
            }
        }
    }

    #[test]
    fn what_is_not_http_is_refused_with_a_sentence() {
        assert!(take_head(&mut BytesMut::from("\x16\x03\x01 hello\r\n\r\n")).is_err());
        let endless = "GET / HTTP/1.1\r\nA: ".to_owned() + &"a".repeat(MAX_HEAD);
        assert!(take_head(&mut BytesMut::from(endless.as_str())).is_err());
        let huge = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", MAX_BODY + 1);
        assert!(take_head(&mut BytesMut::from(huge.as_str())).is_err());
    }
}
