//! Calls in the order in which JavaScript makes them.

use std::task::{Context, Poll, Waker};

use napi::bindgen_prelude::within_runtime_if_available;

/// Runs a future up to its first wait at once, and the rest wherever it is awaited. napi gives each future to some thread of the
/// runtime, so that two calls of one tick could overtake each other; what is sent by the first poll cannot.
pub(crate) fn eager<T>(
    future: impl Future<Output = T> + Send + 'static,
) -> impl Future<Output = T> + Send + 'static
where
    T: Send + 'static,
{
    let mut future = Box::pin(future);
    // Whoever polls next leaves its own waker.
    let first = within_runtime_if_available(|| future.as_mut().poll(&mut Context::from_waker(Waker::noop())));
    async move {
        match first {
            Poll::Ready(value) => value,
            Poll::Pending => future.await,
        }
    }
}
