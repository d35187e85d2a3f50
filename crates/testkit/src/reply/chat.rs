//! The answer to a chat request.

use bytes::Bytes;

use super::faults::{BLOCK, FILLER, without_request, wrapped};
use super::{Ending, Reply, Step};
use crate::behaviour::{Answer, Behaviour};
use crate::dialect::{Asked, Script};

/// The answer to a chat request; the error is a sentence for the client.
pub(crate) fn to_chat(behaviour: &Behaviour, asked: Asked) -> Result<Reply, String> {
    let asked = match behaviour.answer() {
        Some(answer) => asked.of(answer)?,
        None => asked,
    };
    Ok(chat(behaviour, &asked))
}

fn chat(behaviour: &Behaviour, asked: &Asked) -> Reply {
    if let Some(reply) = wrapped(behaviour, &mut |inner| chat(inner, asked)) {
        return reply;
    }
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
        Behaviour::SseErrorBeforeContent => {
            ended_early(asked, &Answer::tokens(0), 0, Some(asked.error_event()))
        }
        Behaviour::Garbage => Reply::whole(200, &[], asked.content_type(), asked.garbage()),
        Behaviour::SlowDrip { bytes_per, every, answer } => {
            partial(asked, answer, usize::MAX, Ending::KeepAlive).dripped(*bytes_per, *every)
        }
        Behaviour::EndlessPreamble { events, every } => {
            let (nothing, opening) = if asked.stream {
                (asked.silence(*events), asked.script(&Answer::tokens(0)).opening)
            } else {
                (Bytes::from_static(b" "), None)
            };
            let mut body: Vec<Step> = opening.map(Step::Send).into_iter().collect();
            body.push(Step::Pulse(nothing, *every));
            Reply::chunked(asked.content_type(), body, Ending::Close)
        }
        Behaviour::HugeBody { bytes } => huge(asked, *bytes),
        Behaviour::EndlessContent { bytes } if asked.stream => {
            let content = asked.lone("more and ");
            let times = bytes.div_ceil(content.len() as u64);
            let mut body: Vec<Step> =
                asked.script(&Answer::tokens(1)).opening.map(Step::Send).into_iter().collect();
            body.push(Step::Repeat(content, times));
            Reply::chunked(asked.content_type(), body, Ending::Close)
        }
        Behaviour::EndlessContent { bytes } => huge(asked, *bytes),
        other => damaged(other, asked)
            .or_else(|| without_request(other, asked.dialect))
            .unwrap_or_else(|| Reply::json(200, &serde_json::Value::Null)),
    }
}

/// The answers that are whole, but with something wrong in the middle.
fn damaged(behaviour: &Behaviour, asked: &Asked) -> Option<Reply> {
    let answer = behaviour.answer()?;
    if !asked.stream {
        let whole = asked.whole(answer);
        let body = match behaviour {
            Behaviour::DuplicateChunk { .. } | Behaviour::DuplicateEnd { .. } => {
                [&whole[..], &whole[..]].concat().into()
            }
            Behaviour::InvalidUtf8After { .. } => asked.whole_invalid_utf8(answer),
            Behaviour::WrongJsonAfter { .. } => whole.slice(..whole.len() / 2),
            _ => whole,
        };
        return Some(Reply::whole(200, &[], asked.content_type(), body));
    }
    let mut script = asked.script(answer);
    let within = |at: usize, script: &Script| at.min(script.parts.len());
    match behaviour {
        Behaviour::DuplicateChunk { chunk, times, .. } => {
            if let Some(bytes) = script.parts.get(*chunk).cloned() {
                script.parts.splice(*chunk..*chunk, std::iter::repeat_n(bytes, *times));
            }
        }
        Behaviour::SwapChunks { chunk, .. } => {
            if chunk + 1 < script.parts.len() {
                script.parts.swap(*chunk, chunk + 1);
            }
        }
        Behaviour::InvalidUtf8After { chunks, .. } => {
            let at = within(*chunks, &script);
            script.parts.insert(at, asked.invalid_utf8());
        }
        Behaviour::WrongJsonAfter { chunks, .. } => {
            let at = within(*chunks, &script);
            script.parts.insert(at, asked.wrong_json());
        }
        Behaviour::DuplicateEnd { .. } => {
            let again = [vec![script.finish.clone()], script.end.clone()].concat();
            script.end.extend(again);
        }
        Behaviour::FinishFirst { .. } => {
            let finish = std::mem::take(&mut script.finish);
            script.parts.insert(0, finish);
        }
        _ => return None,
    }
    let mut body = opened(&script, answer, usize::MAX);
    body.extend(ended(script));
    Some(Reply::chunked(asked.content_type(), body, Ending::KeepAlive))
}

/// The first `limit` pieces of an answer and then `ending`; all of them and a proper end where there are no more.
fn partial(asked: &Asked, answer: &Answer, limit: usize, ending: Ending) -> Reply {
    if !asked.stream {
        let mut reply = Reply::whole(200, &[], asked.content_type(), asked.whole(answer));
        let pieces = asked.script(answer).parts.len();
        let body = reply.body_bytes();
        // A fault always loses at least the last byte, otherwise it would be none.
        let complete = ending == Ending::KeepAlive;
        let share = if complete { body.len() } else { body.len() * limit.min(pieces) / (pieces + 1) };
        reply.body = vec![Step::Send(body.slice(..share))];
        reply.ending = ending;
        let gaps = u32::try_from(pieces.min(limit).saturating_sub(1)).unwrap_or(u32::MAX);
        return reply.after(answer.first_token_delay + answer.between_chunks.saturating_mul(gaps));
    }
    let script = asked.script(answer);
    let mut body = opened(&script, answer, limit);
    if ending == Ending::KeepAlive {
        body.extend(ended(script));
    }
    Reply::chunked(asked.content_type(), body, ending)
}

/// The first `limit` pieces, then `last`, then a proper end of the HTTP body.
fn ended_early(asked: &Asked, answer: &Answer, limit: usize, last: Option<Bytes>) -> Reply {
    if !asked.stream {
        let body = last.unwrap_or_else(|| {
            let whole = asked.whole(answer);
            whole.slice(..whole.len() / 2)
        });
        return Reply::whole(200, &[], asked.content_type(), body);
    }
    let mut body = opened(&asked.script(answer), answer, limit);
    body.extend(last.map(Step::Send));
    Reply::chunked(asked.content_type(), body, Ending::KeepAlive)
}

/// Opening and content of a stream. The head and the role go out before the first wait, as some servers do:
/// only a client that waits for content is not misled by them.
fn opened(script: &Script, answer: &Answer, limit: usize) -> Vec<Step> {
    let mut steps: Vec<Step> = script.opening.iter().cloned().map(Step::Send).collect();
    for (index, part) in script.parts.iter().take(limit).enumerate() {
        let wait = if index == 0 { answer.first_token_delay } else { answer.between_chunks };
        if !wait.is_zero() {
            steps.push(Step::Wait(wait));
        }
        steps.push(Step::Send(part.clone()));
    }
    steps
}

/// What ends a stream whose content has all been sent.
fn ended(script: Script) -> impl Iterator<Item = Step> {
    // Empty where it was sent before: an empty HTTP chunk would end the body.
    std::iter::once(script.finish).filter(|finish| !finish.is_empty()).chain(script.end).map(Step::Send)
}

/// One event or document that does not end.
fn huge(asked: &Asked, bytes: u64) -> Reply {
    let body = vec![Step::Send(asked.up_to_text()), Step::Repeat(FILLER, bytes.div_ceil(BLOCK))];
    Reply::chunked(asked.content_type(), body, Ending::Close)
}
