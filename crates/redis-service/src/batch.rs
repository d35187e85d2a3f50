//! Several operations at once, for the parts of the service that are written in terms of others.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::error::RedisServiceError;
use crate::op::{Op, Reply};
use crate::service::RedisService;
use crate::tier::in_flight::{Done, Inbox, Outcome};

impl RedisService {
    /// Carries operations out in one write for each server; their replies in no order. An error is that of any one of them, and
    /// comes when all are answered.
    pub(crate) async fn run_all(&self, ops: Vec<Op>) -> Result<Vec<Reply>, RedisServiceError> {
        let count = ops.len();
        if count == 0 {
            return Ok(Vec::new());
        }
        let (sender, mut outcomes) = mpsc::channel(count);
        let gathered: Arc<dyn Inbox> = Arc::new(Gathered(sender));
        let numbered = ops.into_iter().zip(0..);
        self.start(numbered.map(|(op, number)| (op, Done::Inbox(Arc::clone(&gathered), number))));
        drop(gathered);
        let (mut replies, mut refused) = (Vec::with_capacity(count), None);
        for _ in 0..count {
            match outcomes.recv().await {
                Some(Ok(reply)) => replies.push(reply),
                Some(Err(error)) => refused = Some(error),
                None => return Err(RedisServiceError::Closed),
            }
        }
        refused.map_or(Ok(replies), Err)
    }

    /// Deletes keys; how many there were. What Redis does not take is settled when it is back.
    pub(crate) async fn delete_all(
        &self,
        keys: impl Iterator<Item = Bytes>,
    ) -> Result<u64, RedisServiceError> {
        let replies = self.run_all(keys.map(|key| Op::Delete { key }).collect()).await?;
        Ok(replies.iter().filter(|reply| **reply == Reply::Was(true)).count() as u64)
    }
}

/// Collects outcomes. Writes and commands are answered once each, so that there is room for all.
struct Gathered(mpsc::Sender<Outcome>);

impl Inbox for Gathered {
    fn put(&self, _number: u32, outcome: Outcome) {
        // Nobody waits where the caller was dropped.
        let _ = self.0.try_send(outcome);
    }
}
