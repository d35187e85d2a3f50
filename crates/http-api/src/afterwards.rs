//! What a connection does once its request was answered with another protocol.

use std::pin::Pin;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Passed along with a request that wants another protocol. Whoever answers it leaves its work here, and the connection does it
/// itself: so it keeps the connection's place, and ends with the server.
#[derive(Clone, Default)]
pub(crate) struct Afterwards {
    work: Arc<Mutex<Option<Work>>>,
    draining: CancellationToken,
}

impl Afterwards {
    /// Says what is done.
    pub(crate) fn set(&self, work: impl Future<Output = ()> + Send + 'static) {
        *self.work.lock() = Some(Box::pin(work));
    }

    pub(crate) fn take(&self) -> Option<Work> {
        self.work.lock().take()
    }

    /// Cancelled when the server is about to end.
    pub(crate) fn draining(&self) -> CancellationToken {
        self.draining.clone()
    }

    pub(crate) fn drain(&self) {
        self.draining.cancel();
    }
}
