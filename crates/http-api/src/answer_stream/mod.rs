//! The body of a streamed answer: chunks of the core become frames of the client's dialect.

mod frames;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use futures_core::future::BoxFuture;
use http_body::{Body, Frame};
use runtime::{Answer, ChatStream, Key, RuntimeError};
use tokio::time::{Instant, Sleep};

use crate::error::ApiError;
use crate::trail::Trail;

pub(crate) use frames::{Frames, OpenAiEvents};

/// Chunks that are ready at the same time travel in one frame: a fast upstream costs one write per read, and no chunk
/// waits for another. Beyond this many bytes the frame goes out, so that a slow reader holds no more than this.
const FRAME: usize = 64 << 10;
/// The pause after which a comment tells proxies and clients that the connection lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The same while the first content is awaited: it is then that clients give up.
const KEEP_ALIVE_BEFORE_CONTENT: Duration = Duration::from_secs(5);

/// An answer that is still to come.
pub(crate) type Pending = BoxFuture<'static, Result<Answer, RuntimeError>>;

enum State {
    /// Held: 200 went out, the first content is still to come.
    Held(Pending),
    Running(ChatStream),
    Over,
}

/// A key that may be revoked while it is used. The task that polls it is woken once it is; until then a look is one flag,
/// because a stream looks at every chunk.
struct Revocation {
    key: Arc<Key>,
    revoked: BoxFuture<'static, ()>,
    is_waiting: bool,
}

impl Revocation {
    fn of(key: &Arc<Key>) -> Self {
        let waiting = Arc::clone(key);
        Self {
            key: Arc::clone(key),
            revoked: Box::pin(async move { waiting.revoked().await }),
            is_waiting: false,
        }
    }

    fn poll_revoked(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_waiting && !self.key.is_revoked() {
            return Poll::Pending;
        }
        self.is_waiting = true;
        self.revoked.as_mut().poll(cx)
    }
}

/// Dropping it closes the connection to whoever is answering.
pub(crate) struct AnswerStream {
    state: State,
    frames: Box<dyn Frames>,
    buffer: BytesMut,
    keep_alive: Pin<Box<Sleep>>,
    /// The key with which it was asked for.
    key: Option<Revocation>,
    last_frame: Instant,
    trail: Arc<Trail>,
}

impl AnswerStream {
    /// A stream whose first content is there.
    pub(crate) fn running(stream: ChatStream, frames: Box<dyn Frames>, trail: Arc<Trail>) -> Self {
        Self::new(State::Running(stream), frames, KEEP_ALIVE, trail)
    }

    /// A stream that begins with keep-alive comments, one at once: the headers alone do not reach a client through
    /// every proxy.
    pub(crate) fn held(pending: Pending, frames: Box<dyn Frames>, trail: Arc<Trail>) -> Self {
        trail.is_held();
        let mut held = Self::new(State::Held(pending), frames, KEEP_ALIVE_BEFORE_CONTENT, trail);
        held.buffer.extend_from_slice(held.frames.keep_alive().unwrap_or_default());
        held
    }

    fn new(state: State, frames: Box<dyn Frames>, first_keep_alive: Duration, trail: Arc<Trail>) -> Self {
        Self {
            state,
            frames,
            buffer: BytesMut::new(),
            keep_alive: Box::pin(tokio::time::sleep(first_keep_alive)),
            key: None,
            last_frame: Instant::now(),
            trail,
        }
    }

    /// The same stream, which ends in an error when this key is revoked.
    pub(crate) fn until_revoked(mut self, caller: Option<&Arc<Key>>) -> Self {
        self.key = caller.map(Revocation::of);
        self
    }

    /// Moves what is ready into the buffer. Ready(()) when the stream is over.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !matches!(self.state, State::Over)
            && let Some(key) = &mut self.key
            && key.poll_revoked(cx).is_ready()
        {
            return self.fail(&RuntimeError::KeyRevoked.into());
        }
        while self.buffer.len() < FRAME {
            match &mut self.state {
                State::Held(pending) => match pending.as_mut().poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(Answer::Stream(stream))) => {
                        self.trail.streams(stream.report());
                        self.state = State::Running(stream);
                    }
                    Poll::Ready(Ok(Answer::Complete { .. })) => {
                        return self.fail(&unexpected_answer().into());
                    }
                    Poll::Ready(Err(error)) => return self.fail(&error.into()),
                },
                State::Running(stream) => match Pin::new(&mut *stream).poll_next(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Some(Ok(chunk))) => {
                        let framed = match stream.spoken() {
                            Some(_) => self.frames.own(&mut self.buffer, &chunk),
                            None => self.frames.chunk(&mut self.buffer, &chunk),
                        };
                        if let Err(error) = framed {
                            return self.fail(&error);
                        }
                    }
                    Poll::Ready(Some(Err(error))) => return self.fail(&RuntimeError::from(error).into()),
                    Poll::Ready(None) => {
                        match stream.spoken() {
                            Some(_) => self.frames.own_ended(&mut self.buffer),
                            None => self.frames.ended(&mut self.buffer),
                        }
                        self.trail.stream_over(stream.report(), true);
                        self.state = State::Over;
                    }
                },
                State::Over => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }

    fn fail(&mut self, error: &ApiError) -> Poll<()> {
        tracing::debug!(code = error.code(), "a stream failed after its beginning");
        self.trail.failed(error.code(), error.attempts().to_vec());
        if let State::Running(stream) = &self.state {
            self.trail.stream_over(stream.report(), true);
        }
        self.frames.failed(&mut self.buffer, error);
        self.state = State::Over;
        Poll::Ready(())
    }

    /// One timer per stream, not moved at each chunk: when it rings, it is set to when it should have rung.
    fn poll_keep_alive(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        let Some(comment) = self.frames.keep_alive() else { return Poll::Pending };
        let pause = match self.state {
            State::Held(_) => KEEP_ALIVE_BEFORE_CONTENT,
            State::Running(_) | State::Over => KEEP_ALIVE,
        };
        while self.keep_alive.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let due = self.last_frame + pause;
            if due <= now {
                self.last_frame = now;
                self.keep_alive.as_mut().reset(now + pause);
                return Poll::Ready(Bytes::from_static(comment));
            }
            self.keep_alive.as_mut().reset(due);
        }
        Poll::Pending
    }
}

/// A request for a stream that is answered with a whole document would be a bug of ours.
pub(crate) fn unexpected_answer() -> RuntimeError {
    RuntimeError::from(runtime::CoordinatorError::InvalidInput(llm_wire::WireError::Invalid {
        field: "stream".into(),
        expected: "an answer of the kind that was asked for".into(),
        got: "the other kind".into(),
    }))
}

impl Drop for AnswerStream {
    fn drop(&mut self) {
        // Its client went away.
        if let State::Running(stream) = &self.state {
            self.trail.stream_over(stream.report(), false);
        }
    }
}

impl Body for AnswerStream {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        let filled = this.poll_fill(cx);
        if !this.buffer.is_empty() {
            this.last_frame = Instant::now();
            return Poll::Ready(Some(Ok(Frame::data(this.buffer.split().freeze()))));
        }
        match filled {
            Poll::Ready(()) => Poll::Ready(None),
            Poll::Pending => this.poll_keep_alive(cx).map(|comment| Some(Ok(Frame::data(comment)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Over) && self.buffer.is_empty()
    }
}
