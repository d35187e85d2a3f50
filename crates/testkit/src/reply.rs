//! From a behaviour and a request to the exact bytes and waits of the answer: pure, the provider carries it out.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use crate::behaviour::{Answer, Behaviour, Vectors};
use crate::dialect::{Asked, Dialect, embeddings, error_body};

/// One thing to do on the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Write these bytes at once, as one packet where they fit.
    Send(Bytes),
    /// Do nothing for so long.
    Wait(Duration),
}

/// What becomes of the connection after the last step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The answer is complete: the next request may come.
    KeepAlive,
    /// The socket is closed (FIN).
    Close,
    /// The socket is reset (RST).
    Reset,
    /// Nothing happens any more until the client goes.
    Stall,
}

/// An answer as a sequence of steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) steps: Vec<Step>,
    pub(crate) ending: Ending,
}

impl Reply {
    fn new(steps: Vec<Step>, ending: Ending) -> Self {
        Self { steps, ending }
    }

    /// A whole response of one piece.
    pub(crate) fn whole(code: u16, headers: &[(String, String)], content_type: &str, body: &[u8]) -> Self {
        let mut bytes = head(code, headers, content_type, Some(body.len()));
        bytes.extend_from_slice(body);
        Self::new(vec![Step::Send(bytes.freeze())], Ending::KeepAlive)
    }

    /// A whole JSON response.
    pub(crate) fn json(code: u16, body: &serde_json::Value) -> Self {
        Self::whole(code, &[], "application/json", body.to_string().as_bytes())
    }
}

/// The answer to a chat request.
pub(crate) fn to_chat(behaviour: &Behaviour, asked: &Asked) -> Reply {
    let empty = Answer::tokens(0);
    match behaviour {
        Behaviour::Answer(answer) => partial(asked, answer, usize::MAX, Ending::KeepAlive),
        Behaviour::CloseBeforeContent => partial(asked, &Answer::default(), 0, Ending::Close),
        Behaviour::CutAfter { chunks, answer } => partial(asked, answer, *chunks, Ending::Close),
        Behaviour::ResetAfter { chunks, answer } => partial(asked, answer, *chunks, Ending::Reset),
        Behaviour::StallAfter { chunks, answer } => partial(asked, answer, *chunks, Ending::Stall),
        Behaviour::EndAfter { chunks, answer } => ended_early(asked, answer, *chunks, None),
        Behaviour::ErrorEventAfter { chunks, answer } => {
            ended_early(asked, answer, *chunks, Some(asked.error_event()))
        }
        Behaviour::SseErrorBeforeContent => ended_early(asked, &empty, 0, Some(asked.error_event())),
        Behaviour::Garbage => Reply::whole(200, &[], asked.content_type(), &asked.garbage()),
        Behaviour::SlowDrip { bytes_per, every, answer } => {
            let full = partial(asked, answer, usize::MAX, Ending::KeepAlive);
            Reply::new(drip(&full.steps, *bytes_per, *every), Ending::KeepAlive)
        }
        other => to_any(other, asked.dialect, &serde_json::Value::Null),
    }
}

/// The answer to a request for embeddings; the error is a sentence for the client.
pub(crate) fn to_embeddings(behaviour: &Behaviour, dialect: Dialect, body: &[u8]) -> Result<Reply, String> {
    let shape = match behaviour {
        Behaviour::Vectors(shape) => shape.clone(),
        _ => Vectors::default(),
    };
    let mut reply = to_any(behaviour, dialect, &embeddings(dialect, body, &shape)?);
    if let Behaviour::Answer(answer) = behaviour
        && !answer.first_token_delay.is_zero()
    {
        reply.steps.insert(0, Step::Wait(answer.first_token_delay));
    }
    Ok(reply)
}

/// The answer to a request for `body`, which is a listing, or that a fault replaces whatever was asked.
/// Behaviours that only have a meaning inside a chat answer send the body as it is.
pub(crate) fn to_any(behaviour: &Behaviour, dialect: Dialect, body: &serde_json::Value) -> Reply {
    match behaviour {
        Behaviour::Status { code, headers, body } => {
            let body = body.clone().unwrap_or_else(|| {
                let message = format!("the fake provider was told to answer {code}");
                error_body(dialect, &message, error_type(*code)).to_string()
            });
            Reply::whole(*code, headers, "application/json", body.as_bytes())
        }
        Behaviour::Hang => Reply::new(Vec::new(), Ending::Stall),
        Behaviour::CloseBeforeResponse => Reply::new(Vec::new(), Ending::Close),
        Behaviour::NotHttp => {
            let bytes = Bytes::from_static(b"\x15\x03\x01\x00\x02\x02\x46 220 ready\r\n\r\n");
            Reply::new(vec![Step::Send(bytes)], Ending::Close)
        }
        Behaviour::ErrorInside200 => {
            Reply::json(200, &error_body(dialect, "the model could not be loaded", "server_error"))
        }
        Behaviour::Garbage => Reply::whole(200, &[], "application/json", b"<html>\xff\xfe not JSON\n"),
        Behaviour::CloseBeforeContent | Behaviour::CutAfter { .. } => {
            let head = head(200, &[], "application/json", Some(body.to_string().len()));
            Reply::new(vec![Step::Send(head.freeze())], Ending::Close)
        }
        Behaviour::SlowDrip { bytes_per, every, .. } => {
            let full = Reply::json(200, body);
            Reply::new(drip(&full.steps, *bytes_per, *every), Ending::KeepAlive)
        }
        _ => Reply::json(200, body),
    }
}

/// The first `limit` pieces of an answer and then `ending`; all of them and a proper end where there are no more.
fn partial(asked: &Asked, answer: &Answer, limit: usize, ending: Ending) -> Reply {
    let pieces = answer.pieces();
    if !asked.stream {
        let body = asked.whole(&answer.full_text(), pieces.len());
        let mut bytes = head(200, &[], asked.content_type(), Some(body.len()));
        let complete = ending == Ending::KeepAlive;
        // A fault always loses at least the last byte, otherwise it would be none.
        let share =
            if complete { body.len() } else { body.len() * limit.min(pieces.len()) / (pieces.len() + 1) };
        bytes.extend_from_slice(&body[..share]);
        let gaps = u32::try_from(pieces.len().min(limit).saturating_sub(1)).unwrap_or(u32::MAX);
        let wait = answer.first_token_delay + answer.between_chunks.saturating_mul(gaps);
        let mut steps = Vec::new();
        push_wait(&mut steps, wait);
        steps.push(Step::Send(bytes.freeze()));
        return Reply::new(steps, ending);
    }
    let mut steps = streamed(asked, answer, &pieces, limit);
    if ending == Ending::KeepAlive {
        steps.extend(asked.closing(pieces.len()).iter().map(|bytes| Step::Send(chunk(bytes))));
        steps.push(Step::Send(LAST_CHUNK));
    }
    Reply::new(steps, ending)
}

/// The first `limit` pieces, then `last`, then a proper end of the HTTP body.
fn ended_early(asked: &Asked, answer: &Answer, limit: usize, last: Option<Bytes>) -> Reply {
    if !asked.stream {
        let body = last.unwrap_or_else(|| {
            let whole = asked.whole(&answer.full_text(), answer.pieces().len());
            whole.slice(..whole.len() / 2)
        });
        return Reply::whole(200, &[], asked.content_type(), &body);
    }
    let mut steps = streamed(asked, answer, &answer.pieces(), limit);
    steps.extend(last.map(|bytes| Step::Send(chunk(&bytes))));
    steps.push(Step::Send(LAST_CHUNK));
    Reply::new(steps, Ending::KeepAlive)
}

/// Head, opening and content of a stream. The head and the role go out before the first wait, as some servers do:
/// only a client that waits for content is not misled by them.
fn streamed(asked: &Asked, answer: &Answer, pieces: &[String], limit: usize) -> Vec<Step> {
    let mut steps = vec![Step::Send(head(200, &[], asked.content_type(), None).freeze())];
    steps.extend(asked.opening().map(|bytes| Step::Send(chunk(&bytes))));
    for (index, piece) in pieces.iter().take(limit).enumerate() {
        push_wait(&mut steps, if index == 0 { answer.first_token_delay } else { answer.between_chunks });
        steps.push(Step::Send(chunk(&asked.content(piece))));
    }
    steps
}

/// The same bytes in pieces of `bytes_per`, `every` so often; waits of the original are left out.
fn drip(steps: &[Step], bytes_per: usize, every: Duration) -> Vec<Step> {
    let mut bytes = BytesMut::new();
    for step in steps {
        if let Step::Send(part) = step {
            bytes.extend_from_slice(part);
        }
    }
    let mut bytes = bytes.freeze();
    let mut out = Vec::new();
    while !bytes.is_empty() {
        // Between pieces only: a client that has everything and goes has not left early.
        if !out.is_empty() {
            push_wait(&mut out, every);
        }
        out.push(Step::Send(bytes.split_to(bytes_per.clamp(1, bytes.len()))));
    }
    out
}

fn push_wait(steps: &mut Vec<Step>, wait: Duration) {
    if !wait.is_zero() {
        steps.push(Step::Wait(wait));
    }
}

/// The chunk that ends a chunked body.
const LAST_CHUNK: Bytes = Bytes::from_static(b"0\r\n\r\n");

/// One HTTP chunk.
fn chunk(data: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(data.len() + 12);
    out.put_slice(format!("{:x}\r\n", data.len()).as_bytes());
    out.put_slice(data);
    out.put_slice(b"\r\n");
    out.freeze()
}

/// A response head; without a length the body is chunked.
fn head(code: u16, headers: &[(String, String)], content_type: &str, length: Option<usize>) -> BytesMut {
    let mut out = format!("HTTP/1.1 {code} {}\r\ncontent-type: {content_type}\r\n", reason(code));
    for (name, value) in headers {
        out.push_str(&format!("{name}: {value}\r\n"));
    }
    match length {
        Some(length) => out.push_str(&format!("content-length: {length}\r\n\r\n")),
        None => out.push_str("transfer-encoding: chunked\r\n\r\n"),
    }
    BytesMut::from(out.as_bytes())
}

fn reason(code: u16) -> &'static str {
    match code {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Scripted",
    }
}

fn error_type(code: u16) -> &'static str {
    match code {
        401 | 403 => "authentication_error",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(stream: bool) -> Asked {
        let model = "m".to_owned();
        Asked { dialect: Dialect::OpenAi, model, stream, include_usage: false, index: 1 }
    }

    fn bytes_of(reply: &Reply) -> Vec<u8> {
        drip(&reply.steps, usize::MAX, Duration::ZERO)
            .into_iter()
            .flat_map(|step| match step {
                Step::Send(bytes) => bytes.to_vec(),
                Step::Wait(_) => Vec::new(),
            })
            .collect()
    }

    fn count(reply: &Reply, needle: &str) -> usize {
        String::from_utf8_lossy(&bytes_of(reply)).matches(needle).count()
    }

    #[test]
    fn a_whole_stream_has_every_chunk_a_finish_reason_and_done() {
        let reply = to_chat(&Behaviour::Answer(Answer::tokens(5)), &asked(true));
        assert_eq!(count(&reply, r#""delta":{"content":"#), 5);
        assert_eq!(count(&reply, r#""finish_reason":"stop""#), 1);
        assert_eq!(count(&reply, "data: [DONE]"), 1);
        assert_eq!(reply.ending, Ending::KeepAlive);
    }

    #[test]
    fn usage_is_sent_only_to_those_who_asked() {
        let behaviour = Behaviour::Answer(Answer::tokens(5));
        assert_eq!(count(&to_chat(&behaviour, &asked(true)), "completion_tokens"), 0);
        let reply = to_chat(&behaviour, &Asked { include_usage: true, ..asked(true) });
        assert_eq!(count(&reply, r#""choices":[],"usage""#), 1);
    }

    #[test]
    fn a_cut_stream_has_exactly_the_chunks_before_the_cut_and_no_end() {
        let behaviour = Behaviour::CutAfter { chunks: 3, answer: Answer::tokens(5) };
        let reply = to_chat(&behaviour, &asked(true));
        assert_eq!(count(&reply, r#""delta":{"content":"#), 3);
        assert_eq!(count(&reply, "[DONE]"), 0);
        assert!(!bytes_of(&reply).ends_with(b"0\r\n\r\n"));
        assert_eq!(reply.ending, Ending::Close);
    }

    #[test]
    fn a_cut_past_the_last_chunk_still_lacks_the_end() {
        let behaviour = Behaviour::CutAfter { chunks: 99, answer: Answer::tokens(5) };
        for stream in [true, false] {
            let whole = bytes_of(&to_chat(&Behaviour::Answer(Answer::tokens(5)), &asked(stream))).len();
            assert!(bytes_of(&to_chat(&behaviour, &asked(stream))).len() < whole);
        }
    }

    #[test]
    fn before_content_there_is_a_head_and_a_role_but_no_content() {
        for behaviour in [Behaviour::CloseBeforeContent, Behaviour::SseErrorBeforeContent] {
            let reply = to_chat(&behaviour, &asked(true));
            assert_eq!(count(&reply, "HTTP/1.1 200 OK"), 1);
            assert_eq!(count(&reply, r#""role":"assistant""#), 1);
            assert_eq!(count(&reply, r#""delta":{"content":"#), 0);
        }
    }

    #[test]
    fn an_early_end_is_framed_properly_and_says_nothing() {
        let behaviour = Behaviour::EndAfter { chunks: 2, answer: Answer::tokens(5) };
        let reply = to_chat(&behaviour, &asked(true));
        assert!(bytes_of(&reply).ends_with(b"0\r\n\r\n"));
        assert_eq!(count(&reply, "[DONE]") + count(&reply, r#""stop""#), 0);
    }

    #[test]
    fn a_drip_changes_no_byte() {
        let answer = Answer::text("größer 👍");
        let whole = to_chat(&Behaviour::Answer(answer.clone()), &asked(true));
        let drip = Behaviour::SlowDrip { bytes_per: 1, every: Duration::from_millis(1), answer };
        let dripped = to_chat(&drip, &asked(true));
        assert_eq!(bytes_of(&dripped), bytes_of(&whole));
        assert_eq!(
            dripped.steps.len(),
            2 * bytes_of(&whole).len() - 1,
            "a piece per byte and a wait between two"
        );
    }

    #[test]
    fn waits_stand_before_the_first_content_and_between_the_rest() {
        let pace = Duration::from_millis(5);
        let answer = Answer::tokens(3).first_token_after(Duration::from_millis(100)).paced(pace);
        let reply = to_chat(&Behaviour::Answer(answer.clone()), &asked(true));
        let waits: Vec<_> =
            reply.steps.iter().filter(|step| matches!(step, Step::Wait(_))).cloned().collect();
        assert_eq!(waits, [Step::Wait(Duration::from_millis(100)), Step::Wait(pace), Step::Wait(pace)]);
        let whole = to_chat(&Behaviour::Answer(answer), &asked(false));
        assert_eq!(whole.steps[0], Step::Wait(Duration::from_millis(110)));
    }
}
