//! Removing all values whose keys begin alike, without ever asking Redis for all keys at once.

use std::time::Instant;

use bytes::Bytes;

use crate::error::RedisServiceError;
use crate::pubsub::glob;
use crate::resp::{Command, Value};
use crate::service::{RedisService, Tier};

/// Slots that Redis looks at for one answer: below a millisecond of its time.
const COUNT: i64 = 1000;

/// What `clear` leaves alone: people stay logged in, and what was spent stays spent.
const KEPT: [&[u8]; 4] = [b"~uat:session:", b"~uat:user:", b"~uat:limits:", b"~uat:usage:"];

impl RedisService {
    /// Removes all values whose keys begin with `prefix` (after the key prefix), except sessions, limits and usage; how many
    /// it removed.
    ///
    /// Values that are written meanwhile may stay. In a cluster each master is asked. Costs one look at every key that the
    /// servers hold, whatever its name.
    ///
    /// # Errors
    /// [`RedisServiceError::Unavailable`] while a server is away; then some may be removed already.
    pub async fn clear(&self, prefix: &[u8]) -> Result<u64, RedisServiceError> {
        let tier = match &self.tier {
            Tier::Redis(tier) => tier,
            Tier::Embedded(embedded) => {
                return self.delete_all(embedded.keys(prefix, Instant::now()).into_iter().filter(goes)).await;
            }
        };
        let pattern = glob::begins_with(&self.prefixed(prefix));
        let mut removed = 0;
        for node in tier.masters()? {
            let mut cursor = Bytes::from_static(b"0");
            loop {
                let scan =
                    Command::new("SCAN").arg(&cursor).arg("MATCH").arg(&pattern).arg("COUNT").int(COUNT);
                let (next, keys) = page(tier.call_at(&node, &scan).await?)?;
                let keys = keys.iter().filter_map(Value::as_bytes).filter_map(|key| {
                    let own = key.strip_prefix(self.options.key_prefix.as_bytes())?;
                    Some(key.slice_ref(own))
                });
                removed += self.delete_all(keys.filter(goes)).await?;
                cursor = next;
                if &cursor[..] == b"0" {
                    break;
                }
            }
        }
        Ok(removed)
    }
}

fn goes(key: &Bytes) -> bool {
    !KEPT.iter().any(|kept| key.starts_with(kept))
}

/// The answer of SCAN, HSCAN and the like: where to go on, and what was found.
pub(crate) fn page(answer: Value) -> Result<(Bytes, Vec<Value>), RedisServiceError> {
    let mut parts = answer.into_elements().unwrap_or_default().into_iter();
    match (parts.next().as_ref().and_then(Value::as_bytes), parts.next().and_then(Value::into_elements)) {
        (Some(cursor), Some(found)) => Ok((cursor.clone(), found)),
        _ => Err(RedisServiceError::Internal {
            message: "SCAN answered with something else than a page".to_owned(),
        }),
    }
}
