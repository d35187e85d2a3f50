//! The embedded tier: the same operations without Redis, in the memory of the process. Pure: the clock is passed in.

use std::time::Instant;

use bytes::Bytes;

use crate::error::RedisServiceError;
use crate::op::Op;
use crate::tier::in_flight::Outcome;

/// Values in the memory of the process, bounded in bytes.
pub(crate) struct Embedded {}

impl Embedded {
    pub(crate) fn new(_max_bytes: u64) -> Self {
        Self {}
    }

    /// The keys that begin with `prefix`.
    pub(crate) fn keys(&self, _prefix: &[u8], _now: Instant) -> Vec<Bytes> {
        Vec::new()
    }

    /// Notes that the key carries these tags.
    pub(crate) fn tag(&self, _key: &Bytes, _tags: &[Bytes]) {}

    /// Forgets the tag, and says which keys carried it.
    pub(crate) fn take_tag(&self, _tag: &[u8]) -> Vec<Bytes> {
        Vec::new()
    }

    /// Carries out one operation.
    pub(crate) fn apply(&self, op: &Op, _now: Instant) -> Outcome {
        Err(RedisServiceError::Unsupported {
            message: format!("{}: the embedded tier is not built yet", op.name()),
        })
    }
}
