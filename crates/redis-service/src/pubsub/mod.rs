//! Channels: what is published is heard by everybody who has subscribed, and whoever may have missed something is told so.
//!
//! Redis keeps no message for those who are away. A [`Subscription`] that loses its connection subscribes again by itself, and
//! then yields one [`Event::Gap`] in the place of what it may have missed; so it does when its reader was too slow. All
//! subscriptions of a service share one connection. What the nodes of a cluster lose among themselves while our connection to
//! one of them stands is beyond our sight.

mod book;
pub(crate) mod glob;
mod hub;
mod mailbox;
mod wire;

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use self::book::{Book, By, Id};
use self::hub::{Hub, Member};
pub use self::mailbox::Event;
use self::mailbox::Mailbox;
use crate::error::RedisServiceError;
use crate::resp::Command;
use crate::service::{RedisService, Tier};

/// The subscriptions of a service.
#[derive(Clone)]
pub(crate) enum PubSub {
    Redis(Arc<Hub>),
    Embedded(Arc<Local>),
}

/// The subscriptions of a service without Redis.
#[derive(Default)]
pub(crate) struct Local {
    book: Mutex<Book<Arc<Mailbox>>>,
}

impl PubSub {
    pub(crate) fn new(tier: &Tier) -> Self {
        match tier {
            Tier::Redis(tier) => Self::Redis(Hub::new(Arc::clone(tier))),
            Tier::Embedded(_) => Self::Embedded(Arc::default()),
        }
    }

    /// Ends all subscriptions. Blocks until a connection that is being made has been given up.
    pub(crate) fn stop(&self) {
        match self {
            Self::Redis(hub) => hub.stop(),
            Self::Embedded(local) => {
                let mailboxes = local.book.lock().take_all();
                for mailbox in mailboxes {
                    mailbox.end(None);
                }
            }
        }
    }
}

impl Local {
    fn publish(&self, channel: &Bytes, payload: &Bytes) -> u64 {
        let book = self.book.lock();
        let fitting = book.patterns().filter(|pattern| glob::fits(pattern, channel));
        let by_pattern = fitting.flat_map(|pattern| book.listeners(By::Pattern, pattern));
        book.listeners(By::Channel, channel)
            .chain(by_pattern)
            .map(|mailbox| mailbox.message(channel.clone(), payload.clone()))
            .count() as u64
    }
}

/// Messages of some channels, in the order of their publication, and the gaps between them. Dropping it unsubscribes.
///
/// It ends (`None`) when the service is closed. An error is the last item: the server refused to let a subscription go on,
/// because its user's rights have changed.
#[must_use = "dropping it unsubscribes"]
pub struct Subscription {
    mailbox: Arc<Mailbox>,
    at: At,
}

enum At {
    Redis(Weak<Hub>, Id),
    Embedded(Weak<Local>, Id),
}

impl Subscription {
    /// The next message or gap. Cancelling loses nothing.
    pub async fn next(&mut self) -> Option<Result<Event, RedisServiceError>> {
        std::future::poll_fn(|context| self.mailbox.poll(context)).await
    }
}

impl Stream for Subscription {
    type Item = Result<Event, RedisServiceError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.mailbox.poll(context)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        match &self.at {
            At::Redis(hub, id) => {
                if let Some(hub) = hub.upgrade() {
                    hub.remove(*id);
                }
            }
            At::Embedded(local, id) => {
                if let Some(local) = local.upgrade() {
                    local.book.lock().remove(*id);
                }
            }
        }
    }
}

impl RedisService {
    /// Hears what is published on these channels from now on: when this returns, the server has confirmed it.
    ///
    /// # Errors
    /// [`RedisServiceError::InvalidInput`] without a channel; [`RedisServiceError::Unavailable`] if Redis has not confirmed within
    /// the connect timeout and the command timeout; [`RedisServiceError::Unauthorized`] if the user may not;
    /// [`RedisServiceError::Unsupported`] by a server older than Redis 6.
    pub async fn subscribe(&self, channels: &[Bytes]) -> Result<Subscription, RedisServiceError> {
        self.subscribe_by(By::Channel, channels).await
    }

    /// As [`subscribe`](Self::subscribe), to all channels that fit one of these patterns of Redis (`news.*`). The prefix is taken
    /// literally. A message that fits several patterns comes once for each.
    pub async fn subscribe_patterns(&self, patterns: &[Bytes]) -> Result<Subscription, RedisServiceError> {
        self.subscribe_by(By::Pattern, patterns).await
    }

    async fn subscribe_by(&self, by: By, names: &[Bytes]) -> Result<Subscription, RedisServiceError> {
        if names.is_empty() {
            return Err(RedisServiceError::invalid("channels", "at least one channel", "none"));
        }
        let mailbox = Arc::new(Mailbox::default());
        match &self.pubsub {
            PubSub::Embedded(local) => {
                let mut book = local.book.lock();
                let id = book.add(by, names.to_vec(), Arc::clone(&mailbox));
                book.confirm(id);
                Ok(Subscription { mailbox, at: At::Embedded(Arc::downgrade(local), id) })
            }
            PubSub::Redis(hub) => {
                let names = names.iter().map(|name| self.prefixed_name(by, name)).collect();
                let (begun, confirmed) = oneshot::channel();
                let id = hub.add(by, names, Member { mailbox: Arc::clone(&mailbox), begun: Some(begun) })?;
                // Before the wait: whoever gives up has unsubscribed.
                let subscription = Subscription { mailbox, at: At::Redis(Arc::downgrade(hub), id) };
                let limit = self.options.connect_timeout() + self.options.command_timeout();
                match tokio::time::timeout(limit, confirmed).await {
                    Ok(Ok(begun)) => begun.map(|()| subscription),
                    Ok(Err(_)) => Err(RedisServiceError::Closed),
                    Err(_) => Err(RedisServiceError::Unavailable {
                        operation: "subscribe".to_owned(),
                        reason: format!("it did not confirm within {} ms", limit.as_millis()),
                    }),
                }
            }
        }
    }

    fn prefixed_name(&self, by: By, name: &Bytes) -> Bytes {
        match by {
            By::Channel => self.prefixed(name),
            By::Pattern => {
                let mut pattern = glob::begins_with(self.options.key_prefix.as_bytes());
                // Without its star: the caller's pattern goes on from there.
                pattern.pop();
                pattern.extend_from_slice(name);
                pattern.into()
            }
        }
    }

    /// Sends a message to all who have subscribed to the channel; how many that are, as far as the server knows (one of a cluster
    /// knows only its own).
    ///
    /// # Errors
    /// [`RedisServiceError::Unavailable`] while Redis is away: nothing is kept for later.
    pub async fn publish(&self, channel: &[u8], payload: Bytes) -> Result<u64, RedisServiceError> {
        match &self.pubsub {
            PubSub::Embedded(local) => Ok(local.publish(&Bytes::copy_from_slice(channel), &payload)),
            PubSub::Redis(_) => {
                let command = Command::new("PUBLISH").arg(self.prefixed(channel)).arg(&payload);
                let receivers = self.call(command).await?.as_integer();
                Ok(receivers.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
            }
        }
    }
}
