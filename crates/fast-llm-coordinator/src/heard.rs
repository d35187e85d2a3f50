use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use futures_util::future::BoxFuture;

use crate::chat_stream::ChatStream;
use crate::error::CoordinatorError;

/// Somebody who hears a streamed answer beside whoever reads it.
pub trait Listener: Send {
    /// A chunk that the reader is about to get.
    fn chunk(&mut self, chunk: &Bytes);

    /// The answer is whole. The reader learns so when this is ready. Not called for an answer that breaks off.
    fn ended(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// A stream with its listener.
pub(crate) struct Heard {
    pub(crate) stream: ChatStream,
    listener: Option<Box<dyn Listener>>,
    ending: Option<BoxFuture<'static, ()>>,
}

impl Heard {
    pub(crate) fn new(stream: ChatStream, listener: Box<dyn Listener>) -> Self {
        Self { stream, listener: Some(listener), ending: None }
    }

    pub(crate) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, CoordinatorError>>> {
        if let Some(ending) = &mut self.ending {
            ready!(ending.as_mut().poll(cx));
            self.ending = None;
            return Poll::Ready(None);
        }
        let next = ready!(Pin::new(&mut self.stream).poll_next(cx));
        match (&next, &mut self.listener) {
            (Some(Ok(chunk)), Some(listener)) => listener.chunk(chunk),
            (Some(Err(_)), listener) => *listener = None,
            (None, listener) => {
                if let Some(listener) = listener.take() {
                    self.ending = Some(listener.ended());
                    return self.poll_chunk(cx);
                }
            }
            (Some(Ok(_)), None) => {}
        }
        Poll::Ready(next)
    }
}
