//! Sessions as they cross: their data is one JSON document.

use std::time::Duration;

use bytes::Bytes;
use napi::Env;
use napi::bindgen_prelude::PromiseRaw;
use napi_derive::napi;
use redis_service::{CreateOptions, Session, SessionInfo};

use super::batch::millis;
use super::{RedisService, core_of};
use crate::eager::eager;
use crate::error::Crossing;

/// How a session is made.
#[napi(object)]
pub struct RedisSessionOptions {
    /// Whose it is.
    pub user_id: Option<String>,
    /// How long it lives.
    pub ttl_ms: f64,
    /// Whether each use gives it the whole time again.
    pub rolling: bool,
    /// How long it lives at most.
    pub absolute_ttl_ms: Option<f64>,
}

impl From<RedisSessionOptions> for CreateOptions {
    fn from(options: RedisSessionOptions) -> Self {
        Self {
            user_id: options.user_id,
            ttl: millis(options.ttl_ms).unwrap_or(Duration::ZERO),
            rolling: options.rolling,
            absolute_ttl: options.absolute_ttl_ms.and_then(millis),
        }
    }
}

/// A session; `id` is its handle where it is listed.
#[napi(object)]
pub struct RedisSession {
    /// The id or handle.
    pub id: String,
    /// Whose it is.
    pub user_id: Option<String>,
    /// A JSON object.
    pub data: String,
    /// ms since 1970.
    pub created_at: f64,
    /// ms since 1970.
    pub expires_at: f64,
}

impl RedisSession {
    fn new(id: String, user_id: Option<String>, data: &Bytes, created: u64, expires: u64) -> Self {
        Self {
            id,
            user_id,
            data: String::from_utf8_lossy(data).into_owned(),
            created_at: created as f64,
            expires_at: expires as f64,
        }
    }
}

impl From<Session> for RedisSession {
    fn from(session: Session) -> Self {
        Self::new(session.id, session.user_id, &session.data, session.created_at_ms, session.expires_at_ms)
    }
}

impl From<SessionInfo> for RedisSession {
    fn from(session: SessionInfo) -> Self {
        Self::new(
            session.handle,
            session.user_id,
            &session.data,
            session.created_at_ms,
            session.expires_at_ms,
        )
    }
}

#[napi]
impl RedisService {
    /// A new session.
    #[napi(catch_unwind)]
    pub fn session_create<'env>(
        &self,
        env: &'env Env,
        data: String,
        options: RedisSessionOptions,
    ) -> napi::Result<PromiseRaw<'env, RedisSession>> {
        let core = self.core.clone();
        env.spawn_future(eager(async move {
            let made = core_of(&core)?.sessions().create(data.as_bytes(), options.into()).await;
            Ok(made.map_err(Crossing::from)?.into())
        }))
    }

    /// Writes a session under the caller's own id.
    #[napi(catch_unwind)]
    pub fn session_put<'env>(
        &self,
        env: &'env Env,
        id: String,
        data: String,
        options: RedisSessionOptions,
    ) -> napi::Result<PromiseRaw<'env, RedisSession>> {
        let core = self.core.clone();
        env.spawn_future(eager(async move {
            let put = core_of(&core)?.sessions().put(&id, data.as_bytes(), options.into()).await;
            Ok(put.map_err(Crossing::from)?.into())
        }))
    }

    /// A session, if there is one.
    #[napi(catch_unwind)]
    pub fn session_get<'env>(
        &self,
        env: &'env Env,
        id: String,
    ) -> napi::Result<PromiseRaw<'env, Option<RedisSession>>> {
        let core = self.core.clone();
        env.spawn_future(eager(async move {
            let found = core_of(&core)?.sessions().get(&id).await.map_err(Crossing::from)?;
            Ok(found.map(RedisSession::from))
        }))
    }

    /// New data for a session that exists.
    #[napi(catch_unwind)]
    pub fn session_update<'env>(
        &self,
        env: &'env Env,
        id: String,
        data: String,
    ) -> napi::Result<PromiseRaw<'env, RedisSession>> {
        let core = self.core.clone();
        env.spawn_future(eager(async move {
            let updated = core_of(&core)?.sessions().update(&id, data.as_bytes()).await;
            Ok(updated.map_err(Crossing::from)?.into())
        }))
    }

    /// The whole time to live again, or another one; whether there was a session.
    #[napi(catch_unwind)]
    pub fn session_touch<'env>(
        &self,
        env: &'env Env,
        id: String,
        ttl_ms: Option<f64>,
    ) -> napi::Result<PromiseRaw<'env, bool>> {
        let core = self.core.clone();
        env.spawn_future(eager(async move {
            let touched = core_of(&core)?.sessions().touch(&id, ttl_ms.and_then(millis)).await;
            Ok(touched.map_err(Crossing::from)?)
        }))
    }

    /// The session under a new id.
    #[napi(catch_unwind)]
    pub fn session_regenerate<'env>(
        &self,
        env: &'env Env,
        id: String,
    ) -> napi::Result<PromiseRaw<'env, RedisSession>> {
        let core = self.core.clone();
        env.spawn_future(eager(async move {
            let made = core_of(&core)?.sessions().regenerate(&id).await;
            Ok(made.map_err(Crossing::from)?.into())
        }))
    }

    /// Ends a session for good; whether there was one.
    #[napi(catch_unwind)]
    pub fn session_destroy<'env>(
        &self,
        env: &'env Env,
        id_or_handle: String,
    ) -> napi::Result<PromiseRaw<'env, bool>> {
        let core = self.core.clone();
        env.spawn_future(eager(async move {
            Ok(core_of(&core)?.sessions().destroy(&id_or_handle).await.map_err(Crossing::from)?)
        }))
    }

    /// The sessions of a user.
    #[napi(catch_unwind)]
    pub fn session_list<'env>(
        &self,
        env: &'env Env,
        user_id: String,
    ) -> napi::Result<PromiseRaw<'env, Vec<RedisSession>>> {
        let core = self.core.clone();
        env.spawn_future(eager(async move {
            let listed = core_of(&core)?.sessions().list_for_user(&user_id).await.map_err(Crossing::from)?;
            Ok(listed.into_iter().map(RedisSession::from).collect())
        }))
    }

    /// Ends the sessions of a user; how many there were.
    #[napi(catch_unwind)]
    pub fn session_revoke_all<'env>(
        &self,
        env: &'env Env,
        user_id: String,
    ) -> napi::Result<PromiseRaw<'env, f64>> {
        let core = self.core.clone();
        env.spawn_future(eager(async move {
            let revoked = core_of(&core)?.sessions().revoke_all(&user_id).await.map_err(Crossing::from)?;
            Ok(revoked as f64)
        }))
    }
}
