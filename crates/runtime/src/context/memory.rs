//! What was said in a session: its latest exchanges, in the Redis of the section `[redis]`, in this process without one.
//!
//! Each exchange has a key of its own under a number that Redis counts, so that requests of one session at the same time lose
//! nothing of each other's.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use redis_service::envelope::CacheValue;
use redis_service::{Options, RedisService, RedisServiceError, SetOptions};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio_util::task::TaskTracker;

use crate::late_redis::LateRedis;

/// What the keys begin with, after the section's own prefix.
const PREFIX: &str = "mem:";
/// A request does not wait longer for its memory, nor an answer for being remembered: twice what a read of Redis may take.
const PATIENCE: Duration = Duration::from_millis(100);
/// Without Redis nobody is waited for, except for a processor; as long as a person waits.
const PATIENCE_ALONE: Duration = Duration::from_secs(5);
/// The longest exchange that is kept, bytes: some 100,000 tokens, more than may be added of all.
const LONGEST: usize = 256 << 10;

/// The memory of all sessions.
pub(crate) struct Memory {
    redis: LateRedis,
    patience: Duration,
    writing: TaskTracker,
}

/// How much of a session is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    /// Exchanges.
    pub(super) turns: u32,
    /// Each for so long.
    pub(super) ttl: Duration,
}

/// A question and its answer.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Exchange {
    pub(super) user: String,
    pub(super) assistant: String,
}

/// A session of a tenant, by a name that says neither.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionKey(String);

impl SessionKey {
    pub(crate) fn new(tenant: Option<&str>, session: &str) -> Self {
        let mut hash = Sha256::new();
        // The length keeps `a` of `b c` apart from `a b` of `c`.
        let len = tenant.map_or(u64::MAX, |tenant| tenant.len() as u64);
        hash.update(len.to_le_bytes());
        hash.update(tenant.unwrap_or_default());
        hash.update(session);
        let mut name = PREFIX.to_owned();
        for byte in hash.finalize() {
            // Writing to a String cannot fail.
            let _ = write!(name, "{byte:02x}");
        }
        Self(name)
    }

    /// How many exchanges there were.
    fn count(&self) -> String {
        format!("{}:n", self.0)
    }

    fn exchange(&self, number: i64) -> String {
        format!("{}:{number}", self.0)
    }
}

impl Memory {
    pub(crate) fn new(redis: Option<&Options>) -> Self {
        let options = Options { replay_writes: false, ..redis.cloned().unwrap_or_default() };
        let patience = if options.names_redis() { PATIENCE } else { PATIENCE_ALONE };
        let redis = LateRedis::new(options, "sessions have no memory");
        Self { redis, patience, writing: TaskTracker::new() }
    }

    /// The exchanges that are kept, each with its number, the oldest first; or why they are not known.
    pub(super) async fn read(&self, key: &SessionKey, span: Span) -> Result<Vec<(u64, Exchange)>, String> {
        let reading = async {
            let service = self.redis.service_within(self.patience).await.map_err(str::to_owned)?;
            read(service, key, span).await.map_err(|error| error.to_string())
        };
        tokio::time::timeout(self.patience, reading).await.unwrap_or_else(|_| Err(self.late("read")))
    }

    /// Keeps an exchange. Returns when it is kept, or when patience ends and that goes on alone.
    pub(super) async fn append(self: &Arc<Self>, key: SessionKey, span: Span, exchange: Exchange) {
        let memory = Arc::clone(self);
        let writing = self.writing.spawn(async move {
            let kept = match memory.redis.service_within(PATIENCE_ALONE).await {
                Ok(service) => {
                    append(service, &key, span, &exchange).await.map_err(|error| error.to_string())
                }
                Err(reason) => Err(reason.to_owned()),
            };
            if let Err(reason) = kept {
                tracing::warn!(reason, "an exchange was not remembered");
            }
        });
        if tokio::time::timeout(self.patience, writing).await.is_err() {
            tracing::debug!("{}", self.late("written"));
        }
    }

    fn late(&self, done: &str) -> String {
        format!("it was not {done} within {} ms", self.patience.as_millis())
    }

    /// What is being written is written first.
    pub(crate) async fn close(&self) {
        self.writing.close();
        self.writing.wait().await;
        self.redis.close().await;
    }
}

async fn read(
    service: &RedisService,
    key: &SessionKey,
    Span { turns, ttl }: Span,
) -> Result<Vec<(u64, Exchange)>, RedisServiceError> {
    // Not a read, which would say nothing where Redis is away.
    let last = service.increment(&key.count(), 0, Some(ttl)).await?;
    let numbers: Vec<i64> = ((last - i64::from(turns)).max(0) + 1..=last).collect();
    if numbers.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = numbers.iter().map(|number| key.exchange(*number)).collect();
    let values = service.mget(&names.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    // One that is missing is being written, or its time is over.
    let known = numbers.into_iter().zip(values).filter_map(|(number, value)| {
        let Some(CacheValue::Json(json)) = value else { return None };
        Some((u64::try_from(number).ok()?, serde_json::from_slice(&json).ok()?))
    });
    Ok(known.collect())
}

async fn append(
    service: &RedisService,
    key: &SessionKey,
    Span { turns, ttl }: Span,
    exchange: &Exchange,
) -> Result<(), RedisServiceError> {
    let json = serde_json::to_vec(exchange).unwrap_or_default();
    if json.len() > LONGEST {
        tracing::warn!(bytes = json.len(), "an exchange is too long to be remembered");
        return Ok(());
    }
    let number = service.increment(&key.count(), 1, Some(ttl)).await?;
    let options = SetOptions { ttl: Some(ttl), only_if: None };
    service.set(&key.exchange(number), &CacheValue::Json(Bytes::from(json)), &options).await?;
    // It lives as long as the latest exchange.
    service.expire(&key.count(), ttl).await?;
    if number > i64::from(turns) {
        service.delete(&[&key.exchange(number - i64::from(turns))]).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Span = Span { turns: 3, ttl: Duration::from_secs(60) };

    fn exchange(number: usize) -> Exchange {
        Exchange { user: format!("question {number}"), assistant: format!("answer {number}") }
    }

    async fn said(memory: &Memory, key: &SessionKey) -> Vec<String> {
        memory.read(key, SPAN).await.unwrap().into_iter().map(|(_, exchange)| exchange.user).collect()
    }

    #[tokio::test]
    async fn a_session_keeps_its_latest_exchanges_in_their_order() {
        let memory = Arc::new(Memory::new(None));
        let key = SessionKey::new(None, "s");
        assert!(said(&memory, &key).await.is_empty());
        for number in 1..=5 {
            memory.append(key.clone(), SPAN, exchange(number)).await;
        }
        assert_eq!(said(&memory, &key).await, ["question 3", "question 4", "question 5"]);
        memory.close().await;
    }

    #[tokio::test]
    async fn sessions_and_tenants_do_not_hear_each_other() {
        let memory = Arc::new(Memory::new(None));
        memory.append(SessionKey::new(Some("a"), "s"), SPAN, exchange(1)).await;
        for (tenant, session) in
            [(Some("b"), "s"), (Some("a"), "t"), (None, "s"), (None, "as"), (Some(""), "as")]
        {
            assert!(
                said(&memory, &SessionKey::new(tenant, session)).await.is_empty(),
                "{tenant:?} {session}"
            );
        }
        assert_eq!(said(&memory, &SessionKey::new(Some("a"), "s")).await, ["question 1"]);
    }

    #[tokio::test]
    async fn what_ends_at_the_same_time_is_all_kept() {
        let memory = Arc::new(Memory::new(None));
        let (key, span) = (SessionKey::new(None, "s"), Span { turns: 100, ..SPAN });
        futures_util::future::join_all((0..50).map(|n| memory.append(key.clone(), span, exchange(n)))).await;
        assert_eq!(memory.read(&key, span).await.unwrap().len(), 50);
    }

    #[tokio::test]
    async fn what_is_too_long_is_not_kept() {
        let memory = Arc::new(Memory::new(None));
        let key = SessionKey::new(None, "s");
        let long = Exchange { user: "a".repeat(LONGEST), assistant: String::new() };
        memory.append(key.clone(), SPAN, long).await;
        assert!(said(&memory, &key).await.is_empty());
    }

    #[tokio::test]
    async fn without_its_redis_it_says_so() {
        let options = Options { url: Some("redis://no-such-host.invalid".to_owned()), ..Options::default() };
        let memory = Memory::new(Some(&options));
        assert!(memory.read(&SessionKey::new(None, "s"), SPAN).await.is_err());
    }
}
