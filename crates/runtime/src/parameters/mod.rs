//! Studies, bandits and advice, kept where the configuration says.

mod redis_logs;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use parameter_analytics_service::storage::{Files, Memory};
use parameter_analytics_service::{AnalyticsError, AnalyticsOptions, ParameterAnalytics};
use redis_service::Options;
use tokio::sync::Semaphore;

use crate::blocking;
use crate::errors::RuntimeError;
use redis_logs::RedisLogs;

/// Where they are kept.
#[derive(Debug, Clone, PartialEq)]
pub enum ParametersPlace {
    /// In this process, as long as it lives.
    Memory,
    /// In files of this folder, which several processes can use.
    Folder(PathBuf),
    /// In Redis.
    Redis(Box<Options>),
}

impl ParametersPlace {
    /// `:memory:`, a URL of Redis, or the path of a folder.
    pub fn parse(text: &str) -> Self {
        let is_redis = |text: &str| {
            ["redis://", "rediss://", "valkey://", "valkeys://"].iter().any(|scheme| text.starts_with(scheme))
        };
        match text {
            ":memory:" => Self::Memory,
            text if is_redis(text) => {
                Self::Redis(Box::new(Options { url: Some(text.to_owned()), ..Options::default() }))
            }
            text => Self::Folder(text.into()),
        }
    }
}

/// Calls that block at the same time: those that compute take all cores with fewer, and those that write wait for disks.
const AT_ONCE: usize = 16;

/// The service with its storage.
pub struct Parameters {
    analytics: Arc<ParameterAnalytics>,
    redis: Option<RedisLogs>,
    places: Semaphore,
}

impl Parameters {
    /// Opens the service; reads and connects to nothing yet. Within a runtime of tokio.
    ///
    /// # Errors
    /// `UAT_INTERNAL`: a thread cannot be started.
    pub fn open(place: ParametersPlace) -> Result<Arc<Self>, RuntimeError> {
        let options = AnalyticsOptions { random: fastrand::u64(..), ..AnalyticsOptions::default() };
        let (analytics, redis) = match place {
            ParametersPlace::Memory => (ParameterAnalytics::new(Memory::default(), options), None),
            ParametersPlace::Folder(folder) => (ParameterAnalytics::new(Files::new(folder), options), None),
            ParametersPlace::Redis(redis) => {
                let logs = RedisLogs::new(&redis, tokio::runtime::Handle::current());
                (ParameterAnalytics::new(logs.clone(), options), Some(logs))
            }
        };
        Ok(Arc::new(Self { analytics: Arc::new(analytics?), redis, places: Semaphore::new(AT_ONCE) }))
    }

    /// The service itself, whose calls block.
    pub fn analytics(&self) -> &Arc<ParameterAnalytics> {
        &self.analytics
    }

    /// Does something with it on a thread that may block.
    ///
    /// # Errors
    /// Those of `act`; `UAT_CLOSED`.
    pub async fn run<T: Send + 'static>(
        &self,
        act: impl FnOnce(&ParameterAnalytics) -> Result<T, AnalyticsError> + Send + 'static,
    ) -> Result<T, RuntimeError> {
        let _place = self.places.acquire().await.map_err(|_| RuntimeError::Closed)?;
        let analytics = Arc::clone(&self.analytics);
        Ok(blocking(move || act(&analytics)).await??)
    }

    /// Keeps what is not kept yet, and lets go of the storage.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn close(&self) -> Result<(), RuntimeError> {
        let closed = self.run(ParameterAnalytics::close).await;
        if let Some(redis) = &self.redis {
            redis.close().await;
        }
        closed
    }
}
