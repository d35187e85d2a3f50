//! Values that belong together, removed together.
//!
//! A tag is a hash that holds, for each key that carries it, a token of the key's latest write. A write enters the key, writes
//! the value and enters the key again, each time with a new token; an invalidation reads keys and tokens, deletes the
//! values, and only then removes those keys whose token is still the one that it read. So neither a crash at any point nor a
//! write at the same time leaves a value behind that its tag does not know: what was not removed is found by the next
//! invalidation.

use std::time::Duration;

use bytes::Bytes;

use crate::clear::page;
use crate::error::RedisServiceError;
use crate::op::{OnlyIf, Op};
use crate::resp::{Command, Value};
use crate::scripts::{TAG_ENTER, TAG_REMOVE};
use crate::service::{RedisService, Tier};
use crate::values::was;

/// Keys that one step of an invalidation asks for.
const STEP: i64 = 500;

impl RedisService {
    /// Writes a value that carries tags; whether it was written, as [`Op::Set`] says.
    ///
    /// While Redis is away the value is kept aside without its tags, as it is forgotten when Redis is back.
    ///
    /// # Errors
    /// As for [`Op::Set`]; when a tag cannot be written, the value is not kept either.
    pub async fn set_tagged(
        &self,
        key: Bytes,
        stored: Bytes,
        ttl: Option<Duration>,
        only_if: Option<OnlyIf>,
        tags: &[Bytes],
    ) -> Result<bool, RedisServiceError> {
        let set = Op::Set { key: key.clone(), stored, ttl, only_if };
        if let Tier::Embedded(embedded) = &self.tier {
            let written = was(self.run(set).await)?;
            if written {
                embedded.tag(&key, tags);
            }
            return Ok(written);
        }
        match self.enter(&key, ttl, tags).await {
            // Kept aside: the key is deleted in Redis before it is read there again.
            Err(RedisServiceError::Unavailable { .. }) => return was(self.run(set).await),
            entered => entered?,
        }
        let written = was(self.run(set).await)?;
        if written && let Err(error) = self.enter(&key, ttl, tags).await {
            // An invalidation in between may have removed the key from a tag, which then would never find the value.
            self.run(Op::Delete { key }).await?;
            return Err(error);
        }
        Ok(written)
    }

    /// Removes all values that carry a tag; how many there were. Values that are written with the tag meanwhile stay or go, and
    /// those that stay still carry it.
    ///
    /// # Errors
    /// [`RedisServiceError::Unavailable`] while Redis is away, and then some values may be removed already; calling it
    /// again removes the rest.
    pub async fn invalidate_tag(&self, tag: &[u8]) -> Result<u64, RedisServiceError> {
        if let Tier::Embedded(embedded) = &self.tier {
            return self.delete_all(embedded.take_tag(tag).into_iter()).await;
        }
        let place = self.tag_place(tag);
        let (mut removed, mut cursor) = (0, Bytes::from_static(b"0"));
        loop {
            let scan = Command::new("HSCAN").key(&place).arg(&cursor).arg("COUNT").int(STEP);
            let (next, found) = page(self.call(scan).await?)?;
            let found: Vec<Bytes> = found.iter().filter_map(Value::as_bytes).cloned().collect();
            if !found.is_empty() {
                removed += self.delete_all(found.iter().step_by(2).cloned()).await?;
                // Behind the deletions: after a crash here the next invalidation finds the keys again.
                let mut remove = Command::new("EVAL").arg(TAG_REMOVE).arg("1").key(&place);
                for key_or_token in &found {
                    remove = remove.arg(key_or_token);
                }
                self.call(remove).await?;
            }
            cursor = next;
            if &cursor[..] == b"0" {
                return Ok(removed);
            }
        }
    }

    async fn enter(
        &self,
        key: &[u8],
        ttl: Option<Duration>,
        tags: &[Bytes],
    ) -> Result<(), RedisServiceError> {
        // A new one each time: an invalidation that has read the first entry must leave the second alone.
        let token = format!("{:016x}", fastrand::u64(..));
        let millis = ttl.map_or(-1, |ttl| i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX / 4).max(1));
        let enter = |tag: &Bytes| {
            let command = Command::new("EVAL").arg(TAG_ENTER).arg("1").key(self.tag_place(tag));
            Op::Raw(command.arg(key).arg(&token).int(millis))
        };
        self.run_all(tags.iter().map(enter)).await.into_iter().try_for_each(|outcome| outcome.map(drop))
    }

    fn tag_place(&self, tag: &[u8]) -> Bytes {
        self.prefixed(&[b"~uat:tag:", tag].concat())
    }
}
