//! Faults that do not depend on what was asked, and the answers that know no others: listings, counts, embeddings.

use bytes::Bytes;
use serde_json::Value;

use super::wire::reason;
use super::{Ending, Length, Reply, Step};
use crate::behaviour::{Behaviour, Vectors};
use crate::dialect::{Dialect, embeddings, error_body};

/// Bytes that a body without end is made of at a time.
pub(super) const BLOCK: u64 = 64 * 1024;
/// Such a block.
pub(super) const FILLER: Bytes = Bytes::from_static(&[b'a'; BLOCK as usize]);
/// The same where only white space is allowed.
const BLANKS: Bytes = Bytes::from_static(&[b' '; BLOCK as usize]);

/// The answer to a request for embeddings; the error is a sentence for the client.
pub(crate) fn to_embeddings(
    behaviour: &Behaviour,
    dialect: Dialect,
    model: Option<&str>,
    body: &[u8],
) -> Result<Reply, String> {
    let shape = match behaviour {
        Behaviour::Vectors(shape) => shape.clone(),
        _ => Vectors::default(),
    };
    let reply = to_document(behaviour, dialect, &embeddings(dialect, model, body, &shape)?);
    Ok(match behaviour {
        Behaviour::Answer(answer) => reply.after(answer.first_token_delay),
        _ => reply,
    })
}

/// The answer to a request for `document`. Behaviours that only have a meaning inside a chat answer send it as it is.
pub(crate) fn to_document(behaviour: &Behaviour, dialect: Dialect, document: &Value) -> Reply {
    if let Some(reply) = wrapped(behaviour, &mut |inner| to_document(inner, dialect, document)) {
        return reply;
    }
    match behaviour {
        Behaviour::Garbage | Behaviour::InvalidUtf8After { .. } | Behaviour::WrongJsonAfter { .. } => {
            Reply::whole(200, &[], "application/json", Bytes::from_static(b"<html>\xff\xfe not JSON\n"))
        }
        Behaviour::CloseBeforeContent | Behaviour::CutAfter { .. } => {
            let reply = Reply::json(200, document);
            Reply { body: Vec::new(), ending: Ending::Close, ..reply }
        }
        Behaviour::SlowDrip { bytes_per, every, .. } => {
            Reply::json(200, document).dripped(*bytes_per, *every)
        }
        Behaviour::EndlessPreamble { every, .. } => {
            let body = vec![Step::Pulse(Bytes::from_static(b" "), *every)];
            Reply::chunked("application/json", body, Ending::Close)
        }
        Behaviour::HugeBody { bytes } | Behaviour::EndlessContent { bytes } => {
            let text = document.to_string();
            let open = Bytes::copy_from_slice(&text.as_bytes()[..text.len() - 1]);
            let body = vec![Step::Send(open), Step::Repeat(BLANKS, bytes.div_ceil(BLOCK))];
            Reply::chunked("application/json", body, Ending::Close)
        }
        other => without_request(other, dialect).unwrap_or_else(|| Reply::json(200, document)),
    }
}

/// What a fault answers that replaces whatever was asked.
pub(super) fn without_request(behaviour: &Behaviour, dialect: Dialect) -> Option<Reply> {
    Some(match behaviour {
        Behaviour::Status { code, headers, body } => {
            let body = body.clone().unwrap_or_else(|| {
                let message = format!("the fake provider was told to answer {code}");
                error_body(dialect, *code, &message).to_string()
            });
            Reply::whole(*code, headers, "application/json", body.into())
        }
        Behaviour::Hang => Reply::raw(Vec::new(), Ending::Stall),
        Behaviour::CloseBeforeResponse => Reply::raw(Vec::new(), Ending::Close),
        Behaviour::NotHttp => {
            let bytes = Bytes::from_static(b"\x15\x03\x01\x00\x02\x02\x46 220 ready\r\n\r\n");
            Reply::raw(vec![Step::Send(bytes)], Ending::Close)
        }
        Behaviour::EndlessHead => {
            let start = Bytes::from_static(b"HTTP/1.1 200 OK\r\n");
            let header = Bytes::from_static(b"x-more: and more and more and more and more\r\n");
            Reply::raw(vec![Step::Send(start), Step::Repeat(header, u64::MAX)], Ending::Close)
        }
        Behaviour::ErrorInside200 => {
            Reply::json(200, &error_body(dialect, 500, "the model could not be loaded"))
        }
        _ => return None,
    })
}

/// What a behaviour that changes another one's answer makes of it.
pub(super) fn wrapped(behaviour: &Behaviour, answer: &mut dyn FnMut(&Behaviour) -> Reply) -> Option<Reply> {
    Some(match behaviour {
        Behaviour::Delayed { by, then } => answer(then).after(*by),
        Behaviour::Interim { code, times, then } => {
            let mut reply = answer(then);
            let interim = format!("HTTP/1.1 {code} {}\r\n\r\n", reason(*code)).repeat(*times);
            reply.before.push(Step::Send(interim.into()));
            reply
        }
        Behaviour::HugeHead { bytes, then } => {
            let mut reply = answer(then);
            if let Some(head) = &mut reply.head {
                head.headers.push(("x-huge".to_owned(), "a".repeat(*bytes)));
            }
            reply
        }
        Behaviour::ContentType { content_type, then } => {
            let mut reply = answer(then);
            if let Some(head) = &mut reply.head {
                head.content_type.clone_from(content_type);
            }
            reply
        }
        Behaviour::ContentLength { off_by, then } => {
            let mut reply = answer(then);
            let body = reply.body_bytes();
            if let Some(head) = &mut reply.head {
                head.length = Length::Bytes((body.len() as u64).saturating_add_signed(*off_by));
            }
            reply.body = vec![Step::Send(body)];
            reply.ending = Ending::Close;
            reply
        }
        _ => return None,
    })
}
