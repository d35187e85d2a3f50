//! Subscriptions: events cross in batches.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use napi::Env;
use napi::bindgen_prelude::PromiseRaw;
use napi_derive::napi;
use redis_service::{Event, Mode, RedisServiceError, Subscription};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::value::RedisValue;
use super::{Core, RedisService, core_of};
use crate::error::Crossing;

/// Events of one batch: enough for a turn of the event loop, and the consumer's brake.
const BATCH: usize = 256;

/// Until a subscription that Redis was not there for is tried again.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// A message, or a gap.
#[napi(object)]
pub struct RedisEvent {
    /// Where it was published, without the prefix.
    pub channel: Option<String>,
    /// What was published.
    pub message: Option<RedisValue>,
    /// A gap instead: so many ms ago everything was complete.
    pub gap_since_ms: Option<f64>,
}

/// Messages as they come.
#[napi]
pub struct RedisSubscription {
    core: Arc<std::sync::OnceLock<Core>>,
    channels: Vec<Bytes>,
    pattern: bool,
    /// Made by the first `next`; gone once it has ended.
    subscription: Arc<Mutex<Option<Live>>>,
    begun: Arc<std::sync::atomic::AtomicBool>,
    cancelled: CancellationToken,
}

/// A subscription that has begun.
struct Live {
    subscription: Subscription,
    /// Ends it, after the events that came before.
    failed: Option<RedisServiceError>,
}

#[napi]
impl RedisService {
    /// Does nothing before the first `next`.
    #[napi(catch_unwind)]
    pub fn subscribe(&self, channels: Vec<String>, pattern: bool) -> RedisSubscription {
        RedisSubscription {
            core: self.core.clone(),
            channels: channels.into_iter().map(Bytes::from).collect(),
            pattern,
            subscription: Arc::default(),
            begun: Arc::default(),
            cancelled: CancellationToken::new(),
        }
    }
}

#[napi]
impl RedisSubscription {
    /// The next events, at least one; `null` once it has ended.
    #[napi(catch_unwind)]
    pub fn next<'env>(&self, env: &'env Env) -> napi::Result<PromiseRaw<'env, Option<Vec<RedisEvent>>>> {
        let (core, subscription, cancelled) =
            (self.core.clone(), Arc::clone(&self.subscription), self.cancelled.clone());
        let begins = !self.begun.swap(true, std::sync::atomic::Ordering::AcqRel);
        let (channels, pattern) = (if begins { self.channels.clone() } else { Vec::new() }, self.pattern);
        env.spawn_future(async move {
            let mut held = subscription.lock().await;
            let next = async {
                if begins {
                    let (live, waited) = begin(core_of(&core)?, &channels, pattern).await?;
                    *held = Some(live);
                    if let Some(waited) = waited {
                        let gap_since_ms = Some(waited.as_secs_f64() * 1e3);
                        return Ok(Some(vec![RedisEvent { channel: None, message: None, gap_since_ms }]));
                    }
                }
                let Some(live) = held.as_mut() else {
                    return Ok::<_, napi::Error>(None);
                };
                if let Some(error) = live.failed.take() {
                    return Err(Crossing::from(error).into());
                }
                let mut events = match live.subscription.next().await {
                    None => return Ok(None),
                    Some(Err(error)) => return Err(Crossing::from(error).into()),
                    Some(Ok(event)) => vec![read(core_of(&core)?, event)?],
                };
                while events.len() < BATCH && live.failed.is_none() {
                    match live.subscription.next().now_or_never() {
                        Some(Some(Ok(event))) => events.push(read(core_of(&core)?, event)?),
                        Some(Some(Err(error))) => live.failed = Some(error),
                        Some(None) | None => break,
                    }
                }
                Ok(Some(events))
            };
            let next = tokio::select! {
                biased;
                () = cancelled.cancelled() => None,
                next = next => Some(next),
            };
            match next {
                Some(Ok(Some(events))) => Ok(Some(events)),
                Some(Ok(None)) | None => {
                    *held = None;
                    Ok(None)
                }
                Some(Err(error)) => {
                    *held = None;
                    Err(error)
                }
            }
        })
    }

    /// Unsubscribes; a pending `next` gives `null`.
    #[napi(catch_unwind)]
    pub fn cancel(&self) {
        self.cancelled.cancel();
        if let Ok(mut held) = self.subscription.try_lock() {
            *held = None;
        }
    }
}

/// Subscribes, while Redis is away again and again; then also for how long it was away, since messages may have been lost.
async fn begin(core: &Core, channels: &[Bytes], pattern: bool) -> napi::Result<(Live, Option<Duration>)> {
    let from = Instant::now();
    let mut was_away = core.status().mode == Mode::Fallback;
    loop {
        let made =
            if pattern { core.subscribe_patterns(channels).await } else { core.subscribe(channels).await };
        match made {
            Ok(subscription) => {
                return Ok((Live { subscription, failed: None }, was_away.then(|| from.elapsed())));
            }
            Err(RedisServiceError::Unavailable { .. }) => {
                tokio::time::sleep(AGAIN_AFTER).await;
                was_away = true;
            }
            Err(error) => return Err(Crossing::from(error).into()),
        }
    }
}

fn read(core: &Core, event: Event) -> napi::Result<RedisEvent> {
    Ok(match event {
        Event::Gap { since } => {
            RedisEvent { channel: None, message: None, gap_since_ms: Some(since.as_secs_f64() * 1e3) }
        }
        Event::Message { channel, payload } => RedisEvent {
            channel: Some(String::from_utf8_lossy(&channel).into_owned()),
            // What cannot be read is null, as a value that cannot be read is a miss.
            message: Some(match core.decode(&payload) {
                Some(value) => RedisValue::of(value)?,
                None => RedisValue { json: Some("null".to_owned()), ..RedisValue::default() },
            }),
            gap_since_ms: None,
        },
    })
}
