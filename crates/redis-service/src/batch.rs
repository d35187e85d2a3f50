//! Several operations at once, near values first, their outcomes in order.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::error::RedisServiceError;
use crate::op::{Op, Reply};
use crate::service::RedisService;
use crate::tier::in_flight::{Done, Inbox, Outcome};

impl RedisService {
    /// Carries operations out in one write for each server; their outcomes in the order of the operations.
    pub(crate) async fn run_all(&self, ops: impl IntoIterator<Item = Op>) -> Vec<Outcome> {
        let ops: Vec<Op> = ops.into_iter().collect();
        let collected = Arc::new(Collected::expecting(ops.len()));
        let inbox = Arc::clone(&collected) as Arc<dyn Inbox>;
        self.start((0..).zip(ops).filter_map(|(number, op)| match self.near_outcome(&op) {
            Some(outcome) => {
                collected.put(number, &op, outcome);
                None
            }
            None => Some((op, Done::Inbox(Arc::clone(&inbox), number))),
        }));
        collected.all().await
    }

    /// Deletes keys; how many there were. What Redis does not take is settled when it is back.
    pub(crate) async fn delete_all(
        &self,
        keys: impl Iterator<Item = Bytes>,
    ) -> Result<u64, RedisServiceError> {
        let mut deleted = 0;
        for outcome in self.run_all(keys.map(|key| Op::Delete { key })).await {
            deleted += u64::from(outcome? == Reply::Was(true));
        }
        Ok(deleted)
    }
}

/// Outcomes of a batch, in the order of the operations.
struct Collected {
    inner: Mutex<(Vec<Option<Outcome>>, usize)>,
    complete: Notify,
}

impl Collected {
    fn expecting(count: usize) -> Self {
        Self { inner: Mutex::new(((0..count).map(|_| None).collect(), count)), complete: Notify::new() }
    }

    /// All of them, as soon as the last has come.
    async fn all(&self) -> Vec<Outcome> {
        if self.inner.lock().1 > 0 {
            self.complete.notified().await;
        }
        let (outcomes, _) = std::mem::take(&mut *self.inner.lock());
        outcomes.into_iter().map(|outcome| outcome.unwrap_or(Err(RedisServiceError::Closed))).collect()
    }
}

impl Inbox for Collected {
    /// What is overdue is a miss; the late reply is of no use here any more.
    fn put(&self, number: u32, _op: &Op, outcome: Outcome) {
        let mut inner = self.inner.lock();
        let (outcomes, left) = &mut *inner;
        let place = usize::try_from(number).ok().and_then(|number| outcomes.get_mut(number));
        if let Some(place @ None) = place {
            *place = Some(outcome);
            *left -= 1;
            if *left == 0 {
                self.complete.notify_one();
            }
        }
    }
}
