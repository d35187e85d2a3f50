//! A Redis that is connected to when it is first needed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis_service::{Options, RedisService};
use tokio::sync::SetOnce;
use tokio_util::task::TaskTracker;

/// Connects once. A request waits no longer for it than a read may take, and if it fails, that is for good: the configuration is wrong. A
/// server that is away is no failure.
pub(crate) struct LateRedis {
    options: Options,
    without: &'static str,
    asked: AtomicBool,
    service: Arc<SetOnce<Option<RedisService>>>,
    connecting: TaskTracker,
}

impl LateRedis {
    /// `without` is what its absence means, for the log.
    pub(crate) fn new(options: Options, without: &'static str) -> Self {
        Self {
            options,
            without,
            asked: AtomicBool::new(false),
            service: Arc::default(),
            connecting: TaskTracker::new(),
        }
    }

    /// The service, or why there is none.
    pub(crate) async fn service(&self) -> Result<&RedisService, &'static str> {
        self.service_within(self.options.read_budget()).await
    }

    /// The same, waiting for so long.
    pub(crate) async fn service_within(&self, within: Duration) -> Result<&RedisService, &'static str> {
        const FAILED: &str = "the connection failed";
        if let Some(service) = self.service.get() {
            return service.as_ref().ok_or(FAILED);
        }
        if !self.asked.swap(true, Ordering::AcqRel) {
            let (options, service, without) = (self.options.clone(), Arc::clone(&self.service), self.without);
            self.connecting.spawn(async move {
                let connected = RedisService::connect(options, None).await.inspect_err(|error| {
                    tracing::warn!(%error, "{without}: see the section [redis]");
                });
                // Nobody else sets it.
                let _ = service.set(connected.ok());
            });
        }
        match tokio::time::timeout(within, self.service.wait()).await {
            Ok(service) => service.as_ref().ok_or(FAILED),
            Err(_) => Err("the connection does not stand yet"),
        }
    }

    /// Ends the connection, if there is one.
    pub(crate) async fn close(&self) {
        let asked = self.asked.swap(true, Ordering::AcqRel);
        self.connecting.close();
        self.connecting.wait().await;
        if let (true, Some(Some(service))) = (asked, self.service.get()) {
            service.close().await;
        }
    }
}
