//! The ledger of limits that several processes share: the Redis of the section `[redis]`.
//!
//! Each account is one hash, and each claim one script, `claim.lua`, which decides as the crate `access` does in memory. The windows are by
//! the clock of Redis. Where there are replicas, a claim that grew waits for one of them to have heard of it; a failover that loses
//! one all the same is told of it with the process's next claim.
//!
//! It has a connection of its own: claims wait behind no values of the cache, and no reader behind a claim that waits for a replica.

mod usage;

use std::sync::Arc;
use std::time::{Duration, Instant};

use access::{Claim, Granted, Ledger, LedgerError, Ledgers};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use redis_service::resp::{Command, Value};
use redis_service::{Options, RedisService, RedisServiceError};

use crate::late_redis::LateRedis;

/// What the keys begin with, after the section's own prefix: a tilde as all that is not the user's.
const PREFIX: &str = "~uat:limits:";

const CLAIM: &str = include_str!("ledger/claim.lua");

/// How long a claim that grew waits for a replica: half of what a claim has. One that has not heard of it by then is not waited for
/// in the next second, so that a slow replica holds up nobody for long.
const REPLICA_TIME: Duration = Duration::from_millis(25);
const REPLICA_PAUSE: Duration = Duration::from_secs(1);

/// Accounts and usage in Redis. It connects when it is first asked.
pub struct RedisLedger {
    redis: LateRedis,
    replica_late_until: Mutex<Option<Instant>>,
}

impl RedisLedger {
    /// In the Redis of these options.
    pub fn new(options: &Options) -> Arc<Self> {
        let options = Options { near_cache: false, replay_writes: false, ..options.clone() };
        let redis = LateRedis::new(options, "limits cannot be counted");
        Arc::new(Self { redis, replica_late_until: Mutex::default() })
    }

    /// For all accounts, and usage, too.
    pub fn ledgers(self: &Arc<Self>) -> Ledgers {
        Ledgers::shared(Arc::clone(self) as _, Arc::clone(self) as _)
    }

    /// Connects now, and waits for it, at most so long: so that the first request does not.
    pub(crate) async fn connect(&self, within: Duration) {
        // Whether it stands by then is seen when it is asked.
        let _stands_or_late = self.redis.service_within(within).await;
    }

    /// Ends the connection, if there is one.
    pub async fn close(&self) {
        self.redis.close().await;
    }

    async fn service(&self) -> Result<&RedisService, LedgerError> {
        self.redis.service().await.map_err(|reason| LedgerError::Unavailable { reason: reason.to_owned() })
    }

    /// Sets a claim, at a certain time in ms since 1970 or by the clock of Redis.
    async fn set(&self, claim: &Claim, now: Option<u64>) -> Result<Granted, LedgerError> {
        let service = self.service().await?;
        let Claim { account, instance, number, limit, window, held, total, spent, fresh } = claim;
        let key = service
            .prefixed(format!("{PREFIX}{}:{}:{}", account.key, account.what, account.period).as_bytes());
        let or_empty = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
        let command = Command::new("EVAL")
            .arg(CLAIM)
            .arg("1")
            .key(&key)
            .arg(account.period.length().as_millis().to_string())
            .arg(instance.to_string())
            .arg(number.to_string())
            .arg(limit.to_string())
            .arg(or_empty(*window))
            .arg(held.to_string())
            .arg(total.to_string())
            .arg(spent.to_string())
            .arg(fresh.to_string())
            .arg(or_empty(now));
        let answer = service.call(command).await.map_err(|error| unavailable(&error))?;
        let (granted, has_replicas) = read(answer)?;
        if has_replicas {
            self.wait_for_replica(service, &key).await;
        }
        Ok(granted)
    }

    /// Until a replica has heard of what was last written to this key's server. Whether one did decides nothing: the claim stands, and
    /// whoever made it repeats it to a server that forgot.
    async fn wait_for_replica(&self, service: &RedisService, key: &Bytes) {
        if self.replica_late_until.lock().is_some_and(|until| Instant::now() < until) {
            return;
        }
        let wait = Command::new("WAIT").arg("1").arg(REPLICA_TIME.as_millis().to_string()).routed_by(key);
        let heard = matches!(service.call(wait).await.ok().and_then(|value| value.as_integer()), Some(1..));
        let until = if heard { None } else { Instant::now().checked_add(REPLICA_PAUSE) };
        *self.replica_late_until.lock() = until;
    }
}

impl Ledger for RedisLedger {
    fn claim(&self, claim: Claim) -> BoxFuture<'_, Result<Granted, LedgerError>> {
        Box::pin(async move { self.set(&claim, None).await })
    }
}

/// Window, ms until it ends, granted, others, what others have spent, whether to wait for a replica.
fn read(answer: Value) -> Result<(Granted, bool), LedgerError> {
    let odd =
        || LedgerError::Storage { reason: "the script of claims answered with something else".to_owned() };
    let numbers = answer.into_elements().ok_or_else(odd)?;
    let numbers: Option<Vec<u64>> = numbers
        .iter()
        .map(|number| number.as_integer().and_then(|number| u64::try_from(number).ok()))
        .collect();
    match numbers.as_deref() {
        Some(&[window, ends_in, granted, others, others_spent, replicas]) => {
            let ends_in = Duration::from_millis(ends_in);
            Ok((Granted { window, ends_in, granted, others, others_spent }, replicas > 0))
        }
        _ => Err(odd()),
    }
}

fn unavailable(error: &RedisServiceError) -> LedgerError {
    LedgerError::Unavailable { reason: error.to_string() }
}

#[cfg(test)]
mod tests;
