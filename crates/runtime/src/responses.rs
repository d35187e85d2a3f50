//! Where answers are kept: in the Redis of the section `[redis]`, in this process without one.

use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use fast_llm_coordinator::{ResponseStore, Unavailable};
use futures_util::future::BoxFuture;
use redis_service::envelope::CacheValue;
use redis_service::{Options, RedisService, RedisServiceError, SetOptions};

use crate::late_redis::LateRedis;

/// What the keys begin with, after the section's own prefix.
const PREFIX: &str = "llm:";

/// The store of the response cache. While its connection takes longer than a read may, and for good if it fails, there is no
/// store.
pub(crate) struct Responses {
    redis: LateRedis,
}

impl Responses {
    pub(crate) fn new(redis: Option<&Options>) -> Self {
        // Nobody has sessions here, and their journal belongs to one process.
        let options = Options { replay_writes: false, ..redis.cloned().unwrap_or_default() };
        Self { redis: LateRedis::new(options, "there is no response cache") }
    }

    async fn service(&self) -> Result<&RedisService, Unavailable> {
        self.redis.service().await.map_err(|reason| Unavailable { reason: reason.to_owned() })
    }

    /// Ends the connection, if there is one.
    pub(crate) async fn close(&self) {
        self.redis.close().await;
    }
}

impl ResponseStore for Responses {
    fn get(&self, key: [u8; 32]) -> BoxFuture<'_, Result<Option<Bytes>, Unavailable>> {
        Box::pin(async move {
            match self.service().await?.get(&name(&key)).await {
                Ok(Some(CacheValue::Bytes(value))) => Ok(Some(value)),
                // Not written here.
                Ok(_) => Ok(None),
                Err(error) => Err(failed(&error)),
            }
        })
    }

    fn put(&self, key: [u8; 32], value: Bytes, ttl: Duration) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(async move {
            let options = SetOptions { ttl: Some(ttl), only_if: None };
            let kept = self.service().await?.set(&name(&key), &CacheValue::Bytes(value), &options).await;
            kept.map(drop).map_err(|error| failed(&error))
        })
    }
}

fn name(key: &[u8; 32]) -> String {
    let mut name = String::with_capacity(PREFIX.len() + 2 * key.len());
    name.push_str(PREFIX);
    for byte in key {
        // Writing to a String cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

fn failed(error: &RedisServiceError) -> Unavailable {
    Unavailable { reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_redis_answers_are_kept_in_the_process_for_their_time() {
        let store = Responses::new(None);
        let (key, value) = ([7; 32], Bytes::from_static(b"\x00\xffanswer"));
        assert_eq!(store.get(key).await, Ok(None));
        store.put(key, value.clone(), Duration::from_secs(60)).await.unwrap();
        assert_eq!(store.get(key).await, Ok(Some(value)));
        assert_eq!(store.get([8; 32]).await, Ok(None));
        store.put(key, Bytes::from_static(b"short"), Duration::from_millis(1)).await.unwrap();
        let gone = async {
            while store.get(key).await != Ok(None) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap();
        store.close().await;
    }

    #[tokio::test]
    async fn a_redis_that_cannot_be_is_no_store_and_no_error() {
        let options = Options { url: Some("redis://no-such-host.invalid".to_owned()), ..Options::default() };
        let store = Responses::new(Some(&options));
        assert!(store.get([0; 32]).await.is_err());
        assert!(store.put([0; 32], Bytes::new(), Duration::from_secs(1)).await.is_err());
        store.close().await;
    }

    #[test]
    fn keys_are_named_in_hexadecimal() {
        let named = name(&std::array::from_fn(|at| u8::try_from(at).unwrap()));
        assert_eq!(named, "llm:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
    }
}
