//! One client's connection: reads its requests, records them, and carries the answers out.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::Shared;
use super::listening::Socket;
use super::routes::Route;
use crate::behaviour::Behaviour;
use crate::control;
use crate::dialect::{Asked, Dialect, count, error_body, listing, refusal};
use crate::observe::Request;
use crate::reply::{Ending, Reply, Step, to_chat, to_document, to_embeddings};
use crate::request::{Framing, Head, take_body, take_head};

/// Bytes that a client may send ahead while its answer is under way; more are left in the kernel.
const MAX_AHEAD: usize = 1024 * 1024;

/// See the module.
pub(super) struct Connection<S> {
    socket: S,
    buffer: BytesMut,
    number: u64,
    shared: Arc<Shared>,
    /// Whether it counts among the open connections; those that only control the provider do not.
    counted: bool,
}

impl<S> Drop for Connection<S> {
    fn drop(&mut self) {
        self.uncount();
    }
}

impl<S> Connection<S> {
    fn uncount(&mut self) {
        if std::mem::take(&mut self.counted) {
            self.shared.log.connection_closed();
        }
    }
}

impl<S: Socket> Connection<S> {
    pub(super) fn new(socket: S, shared: Arc<Shared>) -> Self {
        let number = shared.connections.fetch_add(1, Ordering::Relaxed);
        shared.log.connection_opened();
        Self { socket, buffer: BytesMut::with_capacity(8 * 1024), number, shared, counted: true }
    }

    /// Serves requests until the client goes or a behaviour closes. A network error ends the connection and nothing
    /// else: that is what clients of a provider do to it.
    pub(super) async fn serve(mut self) {
        loop {
            let (head, body) = match self.read_request().await {
                Ok(Some(request)) => request,
                Ok(None) => return,
                Err(sentence) => {
                    self.send(&refused(Dialect::OpenAi, 400, &sentence), None).await;
                    return;
                }
            };
            let last = head.close;
            let keep_alive = if head.path.starts_with("/__") {
                self.uncount();
                let reply = control::answer(&self.shared, &head, &body).await;
                self.send(&reply, None).await
            } else {
                let path = head.path.clone();
                let (index, reply) = self.route(head, &path, body);
                self.send(&reply, Some((index, path))).await
            };
            if !keep_alive || last {
                return;
            }
        }
    }

    /// The next request; none: the client has gone. The error is a sentence for the client.
    async fn read_request(&mut self) -> Result<Option<(Head, Bytes)>, String> {
        let head = loop {
            if let Some(head) = take_head(&mut self.buffer)? {
                break head;
            }
            if !self.read_more().await {
                return Ok(None);
            }
        };
        if head.expects_continue && self.socket.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.is_err() {
            return Ok(None);
        }
        let mut body = match head.framing {
            Framing::Length(length) => BytesMut::with_capacity(length),
            Framing::Chunked => BytesMut::new(),
        };
        while !take_body(head.framing, &mut self.buffer, &mut body)? {
            if !self.read_more().await {
                return Ok(None);
            }
        }
        Ok(Some((head, body.freeze())))
    }

    async fn read_more(&mut self) -> bool {
        matches!(self.socket.read_buf(&mut self.buffer).await, Ok(bytes) if bytes > 0)
    }

    /// Records the request and decides on its answer.
    fn route(&self, head: Head, path: &str, body: Bytes) -> (u64, Reply) {
        let route = Route::of(&head);
        let refusal = self.refusal(&head, &route);
        let index = self.shared.log.request(|index| Request {
            index,
            connection: self.number,
            method: head.method,
            path: head.path,
            headers: head.headers,
            body: body.clone(),
            at: Instant::now(),
            at_wall: SystemTime::now(),
        });
        let dialect = route.dialect();
        let sentence = |sentence: String| refused(dialect, 400, &sentence);
        let reply = match (refusal, route) {
            (Some(refusal), _) => refusal,
            (None, Route::Unknown(dialect)) => refused(dialect, 404, "no such path"),
            (None, Route::Chat(route)) => {
                let behaviour = self.next_behaviour(path, &body);
                let asked = Asked::read(&route, &body, index);
                asked.and_then(|asked| to_chat(&behaviour, asked)).unwrap_or_else(sentence)
            }
            (None, Route::Embeddings(dialect, model)) => {
                let reply =
                    to_embeddings(&self.next_behaviour(path, &body), dialect, model.as_deref(), &body);
                reply.unwrap_or_else(sentence)
            }
            (None, Route::Count(dialect)) => {
                to_document(&self.next_behaviour(path, &body), dialect, &count(dialect))
            }
            (None, Route::Models(dialect)) => {
                to_document(&self.shared.script.lock().listing, dialect, &listing(dialect))
            }
            (None, Route::Health) => Reply::json(200, &serde_json::json!({"status": "ok"})),
        };
        (index, reply)
    }

    /// What keeps a request from being read at all: a wrong key, or a header that is missing.
    fn refusal(&self, head: &Head, route: &Route) -> Option<Reply> {
        let dialect = route.dialect();
        if let Some(key) = &self.shared.script.lock().key
            && !route.has_key(head, key)
        {
            let (code, message) = refusal(dialect);
            return Some(refused(dialect, code, message));
        }
        if dialect == Dialect::Anthropic && head.header("anthropic-version").is_none() {
            return Some(refused(dialect, 400, "anthropic-version: header is required"));
        }
        if matches!(route, Route::Unknown(_)) {
            let message = format!("the fake provider knows no {} {}", head.method, head.path);
            return Some(refused(dialect, 404, &message));
        }
        None
    }

    fn next_behaviour(&self, path: &str, body: &[u8]) -> Behaviour {
        let mut script = self.shared.script.lock();
        let behaviour = match (script.queue.pop_front(), script.decide.clone()) {
            (Some(queued), _) => queued,
            (None, None) => script.default.clone(),
            (None, Some(decide)) => {
                // It is the test's own code, and may ask this provider.
                drop(script);
                (decide.0)(path, body)
            }
        };
        behaviour.at(SystemTime::now())
    }

    /// Carries a reply out while watching whether the client goes. True: the connection can take a further request.
    async fn send(&mut self, reply: &Reply, request: Option<(u64, String)>) -> bool {
        let sent = AtomicU64::new(0);
        let (mut read, mut write) = tokio::io::split(&mut self.socket);
        let completed = tokio::select! {
            // The client's close is looked at first, so that a stalled or failing write does not hide it.
            biased;
            () = gone(&mut read, &mut self.buffer) => false,
            written = carry_out(&mut write, reply, &sent) => written.is_ok(),
        };
        if !completed {
            if let Some((index, path)) = request {
                self.shared.log.disconnect(index, path, sent.into_inner());
            }
            return false;
        }
        if reply.ending == Ending::Reset {
            // A socket that the client has closed already needs no reset.
            let _ = self.socket.reset_on_close();
        }
        reply.ending == Ending::KeepAlive
    }
}

/// Writes the steps in order, and then does as the ending says.
async fn carry_out<W: AsyncWrite + Unpin>(write: &mut W, reply: &Reply, sent: &AtomicU64) -> io::Result<()> {
    for step in reply.steps() {
        match step {
            Step::Wait(wait) => tokio::time::sleep(wait).await,
            Step::Send(bytes) => put(write, &bytes, sent).await?,
            Step::Repeat(bytes, times) => {
                for _ in 0..times {
                    put(write, &bytes, sent).await?;
                }
            }
            Step::Pulse(bytes, every) => loop {
                put(write, &bytes, sent).await?;
                // A sleep of nothing would still last until the clock's next tick.
                if !every.is_zero() {
                    tokio::time::sleep(every).await;
                }
            },
        }
    }
    if reply.ending == Ending::Stall {
        std::future::pending::<()>().await;
    }
    Ok(())
}

async fn put<W: AsyncWrite + Unpin>(write: &mut W, bytes: &Bytes, sent: &AtomicU64) -> io::Result<()> {
    write.write_all(bytes).await?;
    write.flush().await?;
    sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    Ok(())
}

/// A refusal in the dialect's words.
fn refused(dialect: Dialect, code: u16, message: &str) -> Reply {
    Reply::json(code, &error_body(dialect, code, message))
}

/// Returns when the client has closed. What it sends meanwhile is kept for the next request.
async fn gone<R: AsyncRead + Unpin>(read: &mut R, buffer: &mut BytesMut) {
    while buffer.len() < MAX_AHEAD {
        if !matches!(read.read_buf(buffer).await, Ok(bytes) if bytes > 0) {
            return;
        }
    }
    std::future::pending::<()>().await;
}
