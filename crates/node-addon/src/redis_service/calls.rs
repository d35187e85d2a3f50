//! What is asked one at a time: tags, shared computations, any command, messages.

use std::time::Duration;

use bytes::Bytes;
use napi::Env;
use napi::bindgen_prelude::{Either, PromiseRaw, Uint8Array};
use napi_derive::napi;
use redis_service::envelope::CacheValue;
use redis_service::{Begin, Lease, OnlyIf};

use super::batch::millis;
use super::value::{RedisValue, answer_json};
use super::{Core, RedisService, core_of};
use crate::eager::eager;
use crate::error::Crossing;

/// What is to be done about a value.
#[napi(object)]
pub struct RedisTurn {
    /// `fresh`, `stale`, `lead` or `alone`.
    pub state: String,
    /// Of `fresh` and `stale`.
    pub value: Option<RedisValue>,
    /// Of `lead`, and of `stale` where this caller refreshes.
    pub lease: Option<String>,
}

#[napi]
impl RedisService {
    /// Writes a value with tags.
    #[napi(catch_unwind)]
    pub fn set_tagged<'env>(
        &self,
        env: &'env Env,
        key: String,
        value: RedisValue,
        ttl_ms: f64,
        only_if: Option<String>,
        tags: Vec<String>,
    ) -> napi::Result<PromiseRaw<'env, bool>> {
        let core = self.core.clone();
        let value = CacheValue::from(value);
        let only_if =
            only_if.map(|only_if| if only_if == "absent" { OnlyIf::Absent } else { OnlyIf::Present });
        env.spawn_future(eager(async move {
            let core = core_of(&core)?;
            let stored = core.encode(&value).map_err(Crossing::from)?;
            let tags: Vec<Bytes> = tags.into_iter().map(Bytes::from).collect();
            let written = core.set_tagged(key.into(), stored, millis(ttl_ms), only_if, &tags).await;
            Ok(written.map_err(Crossing::from)?)
        }))
    }

    /// Deletes the values whose keys begin so; how many there were.
    #[napi(catch_unwind)]
    pub fn clear<'env>(&self, env: &'env Env, prefix: String) -> napi::Result<PromiseRaw<'env, f64>> {
        let core = self.core.clone();
        env.spawn_future(eager(async move {
            Ok(core_of(&core)?.clear(prefix.as_bytes()).await.map_err(Crossing::from)? as f64)
        }))
    }

    /// Deletes the values that carry a tag; how many there were.
    #[napi(catch_unwind)]
    pub fn invalidate_tag<'env>(&self, env: &'env Env, tag: String) -> napi::Result<PromiseRaw<'env, f64>> {
        let core = self.core.clone();
        env.spawn_future(eager(async move {
            Ok(core_of(&core)?.invalidate_tag(tag.as_bytes()).await.map_err(Crossing::from)? as f64)
        }))
    }

    /// Looks for a value, and decides who computes it.
    #[napi(catch_unwind)]
    pub fn flight_begin<'env>(
        &self,
        env: &'env Env,
        key: String,
        stale_ms: f64,
    ) -> napi::Result<PromiseRaw<'env, RedisTurn>> {
        let core = self.core.clone();
        env.spawn_future(eager(async move {
            let core = core_of(&core)?;
            let stale = millis(stale_ms).unwrap_or(Duration::ZERO);
            let turn = core.flight_begin(&key.into(), stale).await.map_err(Crossing::from)?;
            Ok(match turn {
                Begin::Fresh(stored) => turn_with("fresh", core, &stored, None)?,
                Begin::Stale(stored, lease) => turn_with("stale", core, &stored, lease)?,
                Begin::Lead(lease) => {
                    RedisTurn { state: "lead".to_owned(), value: None, lease: Some(lease.token) }
                }
                Begin::Alone => RedisTurn { state: "alone".to_owned(), value: None, lease: None },
            })
        }))
    }

    /// Keeps a lease; whether it still was the caller's.
    #[napi(catch_unwind)]
    pub fn flight_renew<'env>(
        &self,
        env: &'env Env,
        key: String,
        token: String,
    ) -> napi::Result<PromiseRaw<'env, bool>> {
        let core = self.core.clone();
        env.spawn_future(eager(async move {
            let lease = Lease { key: key.into(), token };
            Ok(core_of(&core)?.flight_renew(&lease).await.map_err(Crossing::from)?)
        }))
    }

    /// Ends a lease without a value.
    #[napi(catch_unwind)]
    pub fn flight_abandon<'env>(
        &self,
        env: &'env Env,
        key: String,
        token: String,
    ) -> napi::Result<PromiseRaw<'env, ()>> {
        let core = self.core.clone();
        env.spawn_future(eager(async move {
            let lease = Lease { key: key.into(), token };
            Ok(core_of(&core)?.flight_abandon(&lease).await.map_err(Crossing::from)?)
        }))
    }

    /// Any command; the answer is JSON, see `answer_json`.
    #[napi(catch_unwind)]
    pub fn command<'env>(
        &self,
        env: &'env Env,
        words: Vec<Either<String, Uint8Array>>,
    ) -> napi::Result<PromiseRaw<'env, String>> {
        let core = self.core.clone();
        let arguments = words
            .into_iter()
            .map(|argument| match argument {
                Either::A(text) => Bytes::from(text),
                Either::B(bytes) => Bytes::copy_from_slice(&bytes),
            })
            .collect();
        env.spawn_future(eager(async move {
            let answer = core_of(&core)?.command(arguments).await.map_err(Crossing::from)?;
            Ok(answer_json(&answer).to_string())
        }))
    }

    /// Sends a message; how many were listening.
    #[napi(catch_unwind)]
    pub fn publish<'env>(
        &self,
        env: &'env Env,
        channel: String,
        message: RedisValue,
    ) -> napi::Result<PromiseRaw<'env, f64>> {
        let core = self.core.clone();
        let message = CacheValue::from(message);
        env.spawn_future(eager(async move {
            let core = core_of(&core)?;
            let payload = core.encode_plain(&message).map_err(Crossing::from)?;
            Ok(core.publish(channel.as_bytes(), payload).await.map_err(Crossing::from)? as f64)
        }))
    }
}

fn turn_with(state: &str, core: &Core, stored: &Bytes, lease: Option<Lease>) -> napi::Result<RedisTurn> {
    let value = core.decode(stored).map(RedisValue::of).transpose()?;
    Ok(RedisTurn { state: state.to_owned(), value, lease: lease.map(|lease| lease.token) })
}
