//! Where answers are kept: the coordinator's own view of it, which others implement.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

/// Keeps answers for a while. Each call answers within a budget of the store's own; one that does not is not waited for.
pub trait ResponseStore: Send + Sync + 'static {
    /// The value of a key; `None` where there is none.
    fn get(&self, key: [u8; 32]) -> BoxFuture<'_, Result<Option<Bytes>, Unavailable>>;

    /// Keeps a value for the time `ttl`, or does not: nobody waits for it.
    fn put(&self, key: [u8; 32], value: Bytes, ttl: Duration) -> BoxFuture<'_, Result<(), Unavailable>>;
}

/// The store cannot say. The request is answered as if there were none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the response cache is not available: {reason}")]
pub struct Unavailable {
    /// Why, for the log.
    pub reason: String,
}
