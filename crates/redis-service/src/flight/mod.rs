//! One computation of a value for any number of callers: in the process by a [`single`] flight, and across processes by a short
//! lock in Redis.
//!
//! Whoever holds the lock computes and renews it; the others look again every few milliseconds until the value is there, or
//! until the lock has gone without one, and then one of them takes over. Without Redis each process computes for itself.
//! `flight_begin`, `flight_renew`, `flight_finish` and `flight_abandon` are for callers that keep the process' own
//! flights themselves, as the Node package does; [`RedisService::get_or_compute`] is for the others.

mod compute;
mod single;

use std::time::Duration;

use bytes::Bytes;

pub use self::compute::{ComputeError, FlightOptions};
pub(crate) use self::single::Flights;
use crate::error::RedisServiceError;
use crate::op::{OnlyIf, Op, Reply};
use crate::resp::Command;
use crate::scripts::{DELETE_IF_EQUAL, RENEW_IF_EQUAL};
use crate::service::{RedisService, Tier};

/// How long the lock outlives a leader that was killed.
const LOCK: Duration = Duration::from_secs(5);

/// How often a leader renews the lock: twice may fail before the lock is gone.
pub const RENEW_EVERY: Duration = Duration::from_millis(1500);

/// Time between two looks of somebody who waits for another process: the first is short for what is quickly computed.
const LOOK_EVERY: std::ops::RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_millis(100);

/// The largest part by which a time to live is cut, so that values that were written together do not expire together.
const JITTER: f64 = 0.05;

/// The right to compute a value, until it is finished, abandoned, or not renewed for 5 s.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The key whose value is computed.
    pub key: Bytes,
    /// What lies under the lock's key in Redis.
    pub token: String,
}

/// What is to be done about a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begin {
    /// Nothing: here it is.
    Fresh(Bytes),
    /// It may still be used; with a lease the caller should compute it anew.
    Stale(Bytes, Option<Lease>),
    /// There is none; the caller computes it, and nobody else does.
    Lead(Lease),
    /// There is none that could be had, and Redis is away: the caller computes it, and other processes may too.
    Alone,
}

/// What is stored under a key at present.
enum Look {
    Fresh(Bytes),
    Stale(Bytes),
    Nothing,
}

impl RedisService {
    /// Looks for a value, and waits while another process computes it. `stale` is how long values may be used beyond their time,
    /// as it was given to [`flight_finish`](Self::flight_finish). Cancelling it leaves nothing behind.
    ///
    /// # Errors
    /// Those of a read, such as [`RedisServiceError::Conflict`]; a Redis that is away is none.
    pub async fn flight_begin(&self, key: &Bytes, stale: Duration) -> Result<Begin, RedisServiceError> {
        let mut pause = *LOOK_EVERY.start();
        loop {
            let found = self.look(key, stale).await?;
            if let Look::Fresh(stored) = found {
                return Ok(Begin::Fresh(stored));
            }
            let lease = match (self.lock(key).await, found) {
                (Ok(lease), Look::Stale(stored)) => return Ok(Begin::Stale(stored, lease)),
                (Err(_), Look::Stale(stored)) => return Ok(Begin::Stale(stored, None)),
                (Ok(lease), _) => lease,
                (Err(error), _) if error.retryable() => return Ok(Begin::Alone),
                (Err(error), _) => return Err(error),
            };
            if let Some(lease) = lease {
                // Somebody may have finished between the look and the lock.
                return match self.look(key, stale).await {
                    Ok(Look::Fresh(stored)) => {
                        self.flight_abandon(&lease).await?;
                        Ok(Begin::Fresh(stored))
                    }
                    _ => Ok(Begin::Lead(lease)),
                };
            }
            tokio::time::sleep(pause.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
            pause = (pause * 2).min(*LOOK_EVERY.end());
        }
    }

    /// Keeps the lease for 5 s more; whether it still was the caller's.
    pub async fn flight_renew(&self, lease: &Lease) -> Result<bool, RedisServiceError> {
        let held = match &self.tier {
            Tier::Redis(_) => {
                let millis = i64::try_from(LOCK.as_millis()).unwrap_or(i64::MAX);
                self.call(self.script(RENEW_IF_EQUAL, lease).int(millis)).await?.as_integer() == Some(1)
            }
            Tier::Embedded(_) => {
                self.holds(lease).await?
                    && self.run(Op::Expire { key: lock_key(&lease.key), ttl: LOCK }).await?
                        == Reply::Was(true)
            }
        };
        Ok(held)
    }

    /// Writes the value and ends the lease. The value is fresh for `ttl`, cut by up to 5 %, and may be used for `stale` more.
    ///
    /// # Errors
    /// Those of a write, such as [`RedisServiceError::Storage`]; while Redis is away, the value is kept aside.
    pub async fn flight_finish(
        &self,
        lease: &Lease,
        stored: Bytes,
        ttl: Option<Duration>,
        stale: Duration,
    ) -> Result<(), RedisServiceError> {
        let written = self.write_computed(lease.key.clone(), stored, ttl, stale).await;
        match self.flight_abandon(lease).await {
            // The lock ends by itself.
            Err(error) if error.retryable() => {}
            abandoned => abandoned?,
        }
        written
    }

    /// Ends the lease without a value: somebody else may take over at once.
    pub async fn flight_abandon(&self, lease: &Lease) -> Result<(), RedisServiceError> {
        match &self.tier {
            Tier::Redis(_) => self.call(self.script(DELETE_IF_EQUAL, lease)).await.map(|_| ()),
            Tier::Embedded(_) => {
                if self.holds(lease).await? {
                    self.run(Op::Delete { key: lock_key(&lease.key) }).await?;
                }
                Ok(())
            }
        }
    }

    async fn write_computed(
        &self,
        key: Bytes,
        stored: Bytes,
        ttl: Option<Duration>,
        stale: Duration,
    ) -> Result<(), RedisServiceError> {
        let ttl = ttl.map(|ttl| jittered(ttl, fastrand::f64()).saturating_add(stale));
        self.run(Op::Set { key, stored, ttl, only_if: None }).await.map(|_| ())
    }

    async fn look(&self, key: &Bytes, stale: Duration) -> Result<Look, RedisServiceError> {
        Ok(match self.run(Op::Get { key: key.clone(), timed: true }).await? {
            Reply::Stored { stored: Some(stored), ttl, .. } => {
                if ttl.is_none_or(|left| left > stale) {
                    Look::Fresh(stored)
                } else {
                    Look::Stale(stored)
                }
            }
            _ => Look::Nothing,
        })
    }

    /// Takes the lock, unless somebody has it.
    async fn lock(&self, key: &[u8]) -> Result<Option<Lease>, RedisServiceError> {
        let token = format!("{:032x}", fastrand::u128(..));
        let take = Op::Set {
            key: lock_key(key),
            stored: Bytes::from(token.clone()),
            ttl: Some(LOCK),
            only_if: Some(OnlyIf::Absent),
        };
        let taken = self.run(take).await? == Reply::Was(true);
        Ok(taken.then(|| Lease { key: Bytes::copy_from_slice(key), token }))
    }

    async fn holds(&self, lease: &Lease) -> Result<bool, RedisServiceError> {
        let held = self.run(Op::Get { key: lock_key(&lease.key), timed: false }).await?;
        Ok(matches!(held, Reply::Stored { stored: Some(token), .. } if token == lease.token.as_bytes()))
    }

    fn script(&self, script: &str, lease: &Lease) -> Command {
        let place = self.prefixed(&lock_key(&lease.key));
        Command::new("EVAL").arg(script).arg("1").key(place).arg(&lease.token)
    }
}

fn lock_key(key: &[u8]) -> Bytes {
    [b"~uat:lock:", key].concat().into()
}

/// Up to 5 % shorter; `luck` is in 0..1.
fn jittered(ttl: Duration, luck: f64) -> Duration {
    ttl.mul_f64(1.0 - JITTER * luck)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_live_is_cut_by_at_most_a_twentieth() {
        assert_eq!(jittered(Duration::from_secs(100), 0.0), Duration::from_secs(100));
        assert_eq!(jittered(Duration::from_secs(100), 1.0), Duration::from_secs(95));
    }
}
