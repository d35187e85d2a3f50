//! From a behaviour and a request to the exact bytes and waits of the answer: pure, the provider carries it out.

mod chat;
mod faults;
#[cfg(test)]
mod tests;
mod wire;

use std::time::Duration;

use bytes::Bytes;

pub(crate) use chat::to_chat;
pub(crate) use faults::{to_document, to_embeddings};

/// One thing to do on the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Write these bytes at once, as one packet where they fit.
    Send(Bytes),
    /// Write these bytes so many times.
    Repeat(Bytes, u64),
    /// The same with a pause after each.
    Pulse(Bytes, Duration),
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

/// A response before it is framed, so that a fault can still change its head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    /// What happens before the head.
    before: Vec<Step>,
    /// None: `body` is sent as it is, whatever that is.
    head: Option<Head>,
    body: Vec<Step>,
    pub(crate) ending: Ending,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Head {
    code: u16,
    headers: Vec<(String, String)>,
    content_type: String,
    length: Length,
}

/// How the head says where the body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Bytes(u64),
    /// In chunks; the last one is sent when the ending is [`Ending::KeepAlive`].
    Chunked,
}

impl Reply {
    /// A whole response of one piece.
    pub(crate) fn whole(code: u16, headers: &[(String, String)], content_type: &str, body: Bytes) -> Self {
        let length = Length::Bytes(body.len() as u64);
        let head = Head { code, headers: headers.to_vec(), content_type: content_type.to_owned(), length };
        Self { before: Vec::new(), head: Some(head), body: vec![Step::Send(body)], ending: Ending::KeepAlive }
    }

    /// A whole JSON response.
    pub(crate) fn json(code: u16, body: &serde_json::Value) -> Self {
        Self::whole(code, &[], "application/json", body.to_string().into())
    }

    /// A chunked response, status 200.
    fn chunked(content_type: &str, body: Vec<Step>, ending: Ending) -> Self {
        let content_type = content_type.to_owned();
        let head = Head { code: 200, headers: Vec::new(), content_type, length: Length::Chunked };
        Self { before: Vec::new(), head: Some(head), body, ending }
    }

    /// Bytes that need not be a response.
    fn raw(body: Vec<Step>, ending: Ending) -> Self {
        Self { before: Vec::new(), head: None, body, ending }
    }

    /// The same with this wait before everything.
    fn after(mut self, wait: Duration) -> Self {
        if !wait.is_zero() {
            self.before.insert(0, Step::Wait(wait));
        }
        self
    }
}
