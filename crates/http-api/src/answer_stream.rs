//! The body of a streamed answer: chunks of the core become frames of the client's dialect.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use futures_core::future::BoxFuture;
use http_body::{Body, Frame};
use llm_wire::openai::ChatRequest;
use llm_wire::{ollama, sse};
use runtime::{Answer, ChatStream, RuntimeError};
use tokio::time::{Instant, Sleep};

use crate::error::ApiError;

/// Chunks that are ready at the same time travel in one frame: a fast upstream costs one write per read, and no chunk
/// waits for another. Beyond this many bytes the frame goes out, so that a slow reader holds no more than this.
const FRAME: usize = 64 << 10;
/// The pause after which a comment tells proxies and clients that the connection lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The same while the first content is awaited: it is then that clients give up.
const KEEP_ALIVE_BEFORE_CONTENT: Duration = Duration::from_secs(5);

/// An answer that is still to come.
pub(crate) type Pending = BoxFuture<'static, Result<Answer, RuntimeError>>;

/// How a stream is written.
pub(crate) enum Framing {
    /// Server-sent events with OpenAI's chunks.
    Events,
    /// Ollama's lines of JSON.
    Lines { translation: Box<ollama::FromOpenAi>, received: std::time::Instant },
}

impl Framing {
    pub(crate) fn lines(request: &ChatRequest, received: std::time::Instant) -> Self {
        Self::Lines { translation: Box::new(ollama::FromOpenAi::new(request.model().to_owned())), received }
    }

    fn chunk(&mut self, out: &mut BytesMut, chunk: &[u8]) -> Result<(), ApiError> {
        match self {
            Self::Events => sse::append_data_frame(out, chunk),
            Self::Lines { translation, .. } => {
                if let Some(line) = translation.chunk(chunk, &now_rfc3339())? {
                    out.extend_from_slice(&line);
                }
            }
        }
        Ok(())
    }

    /// A stream that failed ends in an error, and in nothing that looks like a regular end.
    fn failed(&mut self, out: &mut BytesMut, error: &ApiError) {
        tracing::debug!(code = error.body().uat_code, "a stream failed after its beginning");
        match self {
            Self::Events => {
                out.extend_from_slice(b"event: error\n");
                sse::append_data_frame(out, &error.body().to_json());
            }
            Self::Lines { .. } => {
                out.extend_from_slice(&ollama::error_body(&error.to_string()));
                out.extend_from_slice(b"\n");
            }
        }
    }

    fn ended(&mut self, out: &mut BytesMut) {
        match self {
            Self::Events => sse::append_data_frame(out, sse::DONE),
            Self::Lines { translation, received } => {
                out.extend_from_slice(&translation.done(&now_rfc3339(), received.elapsed()));
            }
        }
    }

    /// Ollama's clients parse every line, so there is nothing that could be sent to them in between.
    fn keep_alive(&self) -> Option<&'static [u8]> {
        match self {
            Self::Events => Some(b": keep-alive\n\n"),
            Self::Lines { .. } => None,
        }
    }
}

/// The time as Ollama writes it.
pub(crate) fn now_rfc3339() -> String {
    humantime::format_rfc3339_micros(SystemTime::now()).to_string()
}

enum State {
    /// Held: 200 went out, the first content is still to come.
    Held(Pending),
    Running(ChatStream),
    Over,
}

/// Dropping it closes the connection to whoever is answering.
pub(crate) struct AnswerStream {
    state: State,
    framing: Framing,
    buffer: BytesMut,
    keep_alive: Pin<Box<Sleep>>,
    last_frame: Instant,
}

impl AnswerStream {
    /// A stream whose first content is there.
    pub(crate) fn running(stream: ChatStream, framing: Framing) -> Self {
        Self::new(State::Running(stream), framing, KEEP_ALIVE)
    }

    /// A stream that begins with keep-alive comments, one at once: the headers alone do not reach a client through
    /// every proxy.
    pub(crate) fn held(pending: Pending, framing: Framing) -> Self {
        let mut held = Self::new(State::Held(pending), framing, KEEP_ALIVE_BEFORE_CONTENT);
        held.buffer.extend_from_slice(held.framing.keep_alive().unwrap_or_default());
        held
    }

    fn new(state: State, framing: Framing, first_keep_alive: Duration) -> Self {
        Self {
            state,
            framing,
            buffer: BytesMut::new(),
            keep_alive: Box::pin(tokio::time::sleep(first_keep_alive)),
            last_frame: Instant::now(),
        }
    }

    /// Moves what is ready into the buffer. Ready(()) when the stream is over.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.buffer.len() < FRAME {
            match &mut self.state {
                State::Held(pending) => match pending.as_mut().poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(Answer::Stream(stream))) => self.state = State::Running(stream),
                    Poll::Ready(Ok(Answer::Complete { .. })) => {
                        return self.fail(&unexpected_answer().into());
                    }
                    Poll::Ready(Err(error)) => return self.fail(&error.into()),
                },
                State::Running(stream) => match Pin::new(stream).poll_next(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Some(Ok(chunk))) => {
                        if let Err(error) = self.framing.chunk(&mut self.buffer, &chunk) {
                            return self.fail(&error);
                        }
                    }
                    Poll::Ready(Some(Err(error))) => return self.fail(&RuntimeError::from(error).into()),
                    Poll::Ready(None) => {
                        self.framing.ended(&mut self.buffer);
                        self.state = State::Over;
                    }
                },
                State::Over => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }

    fn fail(&mut self, error: &ApiError) -> Poll<()> {
        self.framing.failed(&mut self.buffer, error);
        self.state = State::Over;
        Poll::Ready(())
    }

    /// One timer per stream, not moved at each chunk: when it rings, it is set to when it should have rung.
    fn poll_keep_alive(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        let Some(comment) = self.framing.keep_alive() else { return Poll::Pending };
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
