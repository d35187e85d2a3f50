//! Waits for several outcomes at once.

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::error::RedisServiceError;
use crate::tier::in_flight::Outcome;

/// Outcomes of a batch, in the order of the operations.
#[derive(Default)]
pub(crate) struct Collected {
    inner: Mutex<(Vec<Option<Outcome>>, usize)>,
    complete: Notify,
}

impl Collected {
    /// How many will come.
    pub(crate) fn expect(&self, count: usize) {
        *self.inner.lock() = ((0..count).map(|_| None).collect(), count);
    }

    /// One has come.
    pub(crate) fn put(&self, at: usize, outcome: Outcome) {
        let mut inner = self.inner.lock();
        let (outcomes, left) = &mut *inner;
        if let Some(place) = outcomes.get_mut(at)
            && place.replace(outcome).is_none()
        {
            *left -= 1;
            if *left == 0 {
                self.complete.notify_one();
            }
        }
    }

    /// All of them, as soon as the last has come.
    pub(crate) async fn all(&self) -> Vec<Outcome> {
        if self.inner.lock().1 > 0 {
            self.complete.notified().await;
        }
        let (outcomes, _) = std::mem::take(&mut *self.inner.lock());
        outcomes.into_iter().map(|outcome| outcome.unwrap_or(Err(RedisServiceError::Closed))).collect()
    }
}
