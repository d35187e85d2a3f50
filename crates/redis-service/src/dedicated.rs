//! Connections that one command has for itself, because it blocks: a few, made when they are needed, and kept for the next.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};

use crate::connection::connect::ConnectError;
use crate::connection::silence::Patience;
use crate::connection::{Link, LinkOwner, Phase};
use crate::error::RedisServiceError;
use crate::resp::{Command, Value};
use crate::tier::RedisTier;
use crate::tier::direct::{Answered, Call};

/// A blocked server is silent as long as it was asked to be; who waits for it measures the time himself.
const PATIENCE: Patience = Patience { silent: Duration::MAX, dead: Duration::MAX };

/// As good as without end, and far from overflowing when it is added to a clock.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The dedicated connections of a service.
pub(crate) struct Dedicated {
    tier: Arc<RedisTier>,
    free: Semaphore,
    idle: Mutex<Vec<Own>>,
}

/// One of them.
struct Own {
    link: Arc<Link>,
    /// The server that it leads to: that of this key's slot, in a cluster.
    key: Option<Bytes>,
    /// Held here, because the link holds it only weakly.
    _owner: Arc<Opening>,
}

/// Tells when a connection may be used.
struct Opening {
    ready: Mutex<Option<oneshot::Sender<()>>>,
}

/// Ends the connection unless the command's answer has come: otherwise what a dropped caller would have taken from a list
/// were lost.
struct EndUnlessDone<'a> {
    tier: &'a RedisTier,
    own: Option<Own>,
}

impl Dedicated {
    pub(crate) fn new(tier: Arc<RedisTier>) -> Self {
        let free = Semaphore::new(tier.options.max_connections - 1);
        Self { tier, free, idle: Mutex::default() }
    }

    /// Runs a command on a connection of its own; queues while all are busy. `within` is how long the command itself may
    /// block, `None` without end. Dropping the future ends the connection, and with it the command.
    pub(crate) async fn call(
        &self,
        command: &Command,
        key: Option<Bytes>,
        within: Option<Duration>,
    ) -> Answered {
        if self.tier.options.max_connections < 2 {
            return Err(RedisServiceError::Unsupported {
                message:
                    "a command that blocks needs a connection of its own: set maxConnections to 2 or more"
                        .to_owned(),
            });
        }
        let _turn = self.free.acquire().await.map_err(|_| RedisServiceError::Closed)?;
        let own = self.open(key).await?;
        let (call, answer) = Call::new(command, FOREVER);
        let link = Arc::clone(&own.link);
        let mut guard = EndUnlessDone { tier: &self.tier, own: Some(own) };
        link.send_own(call);
        let answered = match within {
            None => answer.await,
            Some(within) => {
                let limit = within.saturating_add(self.tier.options.command_timeout()).min(FOREVER);
                tokio::time::timeout(limit, answer)
                    .await
                    .map_err(|_| RedisServiceError::Timeout { after: limit })?
            }
        };
        let answered = answered.unwrap_or(Err(RedisServiceError::Closed));
        if let Some(own) = guard.own.take() {
            match &answered {
                Err(RedisServiceError::Upstream { reply }) if reply.starts_with("MOVED ") => {
                    // The link belongs to a server that has lost the slot.
                    self.tier.keeper.refresh_soon();
                    guard.own = Some(own);
                    return Err(crate::tier::away("the key's slot has moved"));
                }
                _ => self.idle.lock().push(own),
            }
        }
        answered
    }

    async fn open(&self, key: Option<Bytes>) -> Result<Own, RedisServiceError> {
        {
            let mut idle = self.idle.lock();
            idle.retain(|own| own.link.phase() == Phase::Live);
            // A connection fits where one server holds all, or for the very key that it was made for.
            if let Some(at) = idle.iter().position(|own| !self.tier.is_cluster() || own.key == key) {
                return Ok(idle.swap_remove(at));
            }
            // Those that wait for their next command make room; this call counts among the busy ones.
            let most = self.tier.options.max_connections - 1;
            let busy = most - self.free.available_permits();
            while idle.len() + busy > most
                && let Some(own) = idle.pop()
            {
                self.tier.driver.detach(own.link, RedisServiceError::Closed, true);
            }
        }
        let (tier, asked) = (Arc::clone(&self.tier), key.clone());
        // Names and handshakes block, within the connect timeout.
        let connected = tokio::task::spawn_blocking(move || tier.keeper.dedicated(&tier, asked.as_deref()))
            .await
            .map_err(|error| RedisServiceError::Internal { message: error.to_string() })?
            .map_err(|error| match error {
                ConnectError::Unauthorized(message) => RedisServiceError::Unauthorized { message },
                other => crate::tier::away(&other.to_string()),
            })?;
        let (sender, ready) = oneshot::channel();
        let owner = Arc::new(Opening { ready: Mutex::new(Some(sender)) });
        let weak: Weak<Opening> = Arc::downgrade(&owner);
        let driver = &self.tier.driver;
        let name = "a connection of its own".to_owned();
        let link = Link::with_patience(driver.wake(), weak, name, Some(PATIENCE));
        driver.attach(Arc::clone(&link), connected, false);
        let mut guard = EndUnlessDone { tier: &self.tier, own: Some(Own { link, key, _owner: owner }) };
        ready.await.map_err(|_| RedisServiceError::Closed)?;
        guard.own.take().ok_or(RedisServiceError::Closed)
    }

    /// Ends what waits for its next command.
    pub(crate) fn close(&self) {
        self.free.close();
        for own in std::mem::take(&mut *self.idle.lock()) {
            self.tier.driver.detach(own.link, RedisServiceError::Closed, true);
        }
    }
}

impl Drop for EndUnlessDone<'_> {
    fn drop(&mut self) {
        if let Some(own) = self.own.take() {
            self.tier.driver.detach(own.link, RedisServiceError::Closed, true);
        }
    }
}

impl LinkOwner for Opening {
    fn ready(&self, link: &Arc<Link>) {
        link.go_live();
        if let Some(sender) = self.ready.lock().take() {
            // Whoever asked for it may have gone.
            let _ = sender.send(());
        }
    }

    fn silent(&self, _link: &Arc<Link>) {}

    fn down(&self, _link: &Arc<Link>, _why: &RedisServiceError) {
        self.ready.lock().take();
    }

    fn push(&self, _link: &Arc<Link>, _push: Vec<Value>) {}

    fn batch_end(&self) {}
}
