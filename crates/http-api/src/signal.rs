//! A cancellation that connections wait for beside their own work.

use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use tokio_util::sync::CancellationToken;

/// A [`CancellationToken`] for tasks that are woken often: the token locks each time it is polled, and a connection is
/// woken several times per request. Here a task that waits already reads one flag.
#[derive(Default)]
pub(crate) struct Signal {
    /// Set before the token, so that whoever the token wakes sees it.
    is_raised: AtomicBool,
    token: CancellationToken,
}

impl Signal {
    pub(crate) fn raise(&self) {
        self.is_raised.store(true, Ordering::Release);
        self.token.cancel();
    }

    /// Ends when the signal is raised. The future stays in the task that polled it first, whose waker it keeps.
    pub(crate) fn raised(&self) -> impl Future<Output = ()> + Send + '_ {
        let mut cancelled = Box::pin(self.token.cancelled());
        let mut is_waiting = false;
        poll_fn(move |context| {
            if is_waiting && !self.is_raised.load(Ordering::Acquire) {
                return Poll::Pending;
            }
            is_waiting = true;
            cancelled.as_mut().poll(context)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn whoever_waits_is_woken_and_who_comes_late_does_not_wait() {
        let signal = Arc::new(Signal::default());
        let (waits, is_waiting) = tokio::sync::oneshot::channel();
        let waiting = tokio::task::JoinSet::from_iter([{
            let signal = signal.clone();
            async move {
                let mut raised = Box::pin(signal.raised());
                let pending =
                    poll_fn(|context| Poll::Ready(raised.as_mut().poll(context).is_pending())).await;
                waits.send(pending).unwrap();
                raised.await;
            }
        }]);
        assert!(is_waiting.await.unwrap());
        signal.raise();
        waiting.join_all().await;
        signal.raised().await;
    }
}
