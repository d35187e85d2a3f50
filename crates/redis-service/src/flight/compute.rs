//! `get_or_compute`: the whole of it, for users in Rust.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Begin, Lease, Look, RENEW_EVERY};
use crate::op::Op;
use crate::scripts::DELETE_IF_EQUAL;
use crate::service::{RedisService, Tier};
use crate::tier::in_flight::Done;

/// Why there is no value: what the computation said, or the service. Shared by all who waited for it.
pub type ComputeError = Arc<dyn std::error::Error + Send + Sync>;

/// What is asked of [`RedisService::get_or_compute`].
#[derive(Debug, Clone, Copy, Default)]
pub struct FlightOptions {
    /// How long a value may be used beyond its time while one caller computes it anew.
    pub stale_for: Duration,
}

impl RedisService {
    /// The value of a key, computed by one caller if there is none: one in this process and, with Redis, one among all
    /// processes. The value is fresh for `ttl`, cut by up to 5 %.
    ///
    /// If the caller that computes is dropped or panics, one of those who wait computes in its place; if its computation
    /// fails, they all get its error. With `stale_for`, a value that is past its time is given out at once, except to the one
    /// caller that computes it anew; if that fails, it gets the stale one too.
    ///
    /// # Errors
    /// What `compute` failed with, or a [`RedisServiceError`](crate::RedisServiceError) for a key that holds no value. A Redis
    /// that is away is no error.
    pub async fn get_or_compute<F, Fut>(
        &self,
        key: Bytes,
        ttl: Option<Duration>,
        options: FlightOptions,
        compute: F,
    ) -> Result<Bytes, ComputeError>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Bytes, ComputeError>>,
    {
        let found = self.look(&key, options.stale_for).await.map_err(shared)?;
        if let Look::Fresh(stored) = found {
            return Ok(stored);
        }
        let seat = self.flights.join(&key);
        match found {
            Look::Stale(stored) if !seat.is_first => Ok(stored),
            _ => seat.result(|| self.lead(&key, ttl, options, compute)).await,
        }
    }

    async fn lead<F, Fut>(
        &self,
        key: &Bytes,
        ttl: Option<Duration>,
        options: FlightOptions,
        compute: F,
    ) -> Result<Bytes, ComputeError>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Bytes, ComputeError>>,
    {
        let (stale, lease) = match self.flight_begin(key, options.stale_for).await.map_err(shared)? {
            Begin::Fresh(stored) | Begin::Stale(stored, None) => return Ok(stored),
            Begin::Stale(stored, Some(lease)) => (Some(stored), Some(lease)),
            Begin::Lead(lease) => (None, Some(lease)),
            Begin::Alone => (None, None),
        };
        let mut held = Held { service: self, lease };
        let computed = match &held.lease {
            None => compute().await,
            Some(lease) => tokio::select! {
                computed = compute() => computed,
                never = self.renew_on_and_on(lease) => match never {},
            },
        };
        let value = match (computed, stale) {
            (Ok(value), _) => value,
            (Err(error), Some(stale)) => {
                tracing::warn!(%error, "a value could not be computed anew; the stale one is used on");
                return Ok(stale);
            }
            (Err(error), None) => return Err(error),
        };
        let written = match &held.lease {
            Some(lease) => self.flight_finish(lease, value.clone(), ttl, options.stale_for).await,
            None => self.write_computed(key.clone(), value.clone(), ttl, options.stale_for).await,
        };
        held.lease = None;
        if let Err(error) = written {
            // The value is there; only the next caller has to compute it again.
            tracing::warn!(%error, "a computed value could not be kept");
        }
        Ok(value)
    }

    async fn renew_on_and_on(&self, lease: &Lease) -> Infallible {
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            match self.flight_renew(lease).await {
                Ok(true) => {}
                // Two may compute for a while: nobody is harmed, and nothing can be done about it.
                Ok(false) => tracing::debug!("somebody else took the lock over"),
                Err(error) => tracing::debug!(%error, "the lock could not be renewed"),
            }
        }
    }
}

fn shared(error: crate::error::RedisServiceError) -> ComputeError {
    Arc::new(error)
}

/// Ends the lease of a leader that is dropped, panics or fails.
struct Held<'a> {
    service: &'a RedisService,
    lease: Option<Lease>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let Some(lease) = self.lease.take() else {
            return;
        };
        let op = match &self.service.tier {
            Tier::Redis(_) => Op::Raw(self.service.script(DELETE_IF_EQUAL, &lease)),
            // Nobody else can have taken it over: within the process there is one flight, which renews it.
            Tier::Embedded(_) => Op::Delete { key: super::lock_key(&lease.key) },
        };
        // Whether it arrives does not matter: the lock ends by itself.
        self.service.start([(op, Done::Call(Box::new(|_| {})))]);
    }
}
