//! What waits for one subscriber: messages in the order of their arrival, bounded, and the gaps between them.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::error::RedisServiceError;

/// Messages that wait for a slow subscriber before the oldest are dropped, with a gap in their place: some megabytes where
/// they are of 1 KB, and a second of a busy channel.
const MAX_MESSAGES: usize = 1024;

/// What a subscription yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Something was published.
    Message {
        /// The channel, without the prefix.
        channel: Bytes,
        /// As it was published.
        payload: Bytes,
    },
    /// Messages may have been lost between the event before and the one after this.
    Gap {
        /// How long ago the last was heard that is known to be complete.
        since: Duration,
    },
}

/// Messages and gaps in order. Pure.
#[derive(Debug, Default)]
struct Queue {
    items: VecDeque<Item>,
    messages: usize,
}

#[derive(Debug)]
enum Item {
    Message(Bytes, Bytes),
    Gap(Instant),
}

impl Queue {
    fn message(&mut self, channel: Bytes, payload: Bytes, now: Instant) {
        if self.messages == MAX_MESSAGES {
            self.drop_oldest(now);
        }
        self.messages += 1;
        self.items.push_back(Item::Message(channel, payload));
    }

    /// Drops the oldest message; a gap stands in its place.
    fn drop_oldest(&mut self, now: Instant) {
        let mut since = now;
        while let Some(item) = self.items.pop_front() {
            match item {
                Item::Gap(at) => since = since.min(at),
                Item::Message(..) => {
                    self.messages -= 1;
                    break;
                }
            }
        }
        while let Some(Item::Gap(at)) = self.items.front() {
            since = since.min(*at);
            self.items.pop_front();
        }
        self.items.push_front(Item::Gap(since));
    }

    /// Two gaps with nothing between them are one.
    fn gap(&mut self, since: Instant) {
        if !matches!(self.items.back(), Some(Item::Gap(_))) {
            self.items.push_back(Item::Gap(since));
        }
    }

    fn pop(&mut self, now: Instant) -> Option<Event> {
        Some(match self.items.pop_front()? {
            Item::Message(channel, payload) => {
                self.messages -= 1;
                Event::Message { channel, payload }
            }
            Item::Gap(since) => Event::Gap { since: now.saturating_duration_since(since) },
        })
    }
}

/// The queue of one subscription, and who waits for it.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    queue: Queue,
    end: Option<Option<RedisServiceError>>,
    waker: Option<Waker>,
}

impl Mailbox {
    pub(crate) fn message(&self, channel: Bytes, payload: Bytes) {
        self.change(|inner| inner.queue.message(channel, payload, Instant::now()));
    }

    pub(crate) fn gap(&self, since: Instant) {
        self.change(|inner| inner.queue.gap(since));
    }

    /// Nothing more will come, for this reason or because the service was closed.
    pub(crate) fn end(&self, why: Option<RedisServiceError>) {
        self.change(|inner| {
            inner.end.get_or_insert(why);
        });
    }

    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Result<Event, RedisServiceError>>> {
        let mut inner = self.inner.lock();
        if let Some(event) = inner.queue.pop(Instant::now()) {
            return Poll::Ready(Some(Ok(event)));
        }
        match &mut inner.end {
            Some(why) => Poll::Ready(why.take().map(Err)),
            None => {
                inner.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        let waker = {
            let mut inner = self.inner.lock();
            change(&mut inner);
            inner.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `n` is message n, `g` a gap with its age in seconds.
    fn drained(queue: &mut Queue, now: Instant) -> Vec<String> {
        std::iter::from_fn(|| queue.pop(now))
            .map(|event| match event {
                Event::Message { payload, .. } => String::from_utf8(payload.to_vec()).unwrap(),
                Event::Gap { since } => format!("g{}", since.as_secs()),
            })
            .collect()
    }

    fn put(queue: &mut Queue, numbers: std::ops::Range<usize>, now: Instant) {
        for number in numbers {
            queue.message(Bytes::from_static(b"c"), number.to_string().into(), now);
        }
    }

    #[test]
    fn a_gap_stands_where_messages_were_lost() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        put(&mut queue, 1..2, now);
        queue.gap(now);
        queue.gap(now + Duration::from_secs(1));
        put(&mut queue, 5..6, now);
        queue.gap(now + Duration::from_secs(2));
        assert_eq!(drained(&mut queue, now + Duration::from_secs(2)), ["1", "g2", "5", "g0"]);
    }

    #[test]
    fn what_does_not_fit_becomes_one_gap_before_what_does() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        let later = start + Duration::from_secs(7);
        put(&mut queue, 0..MAX_MESSAGES + 10, start);
        let got = drained(&mut queue, later);
        assert_eq!(got.len(), MAX_MESSAGES + 1);
        assert_eq!((&*got[0], &*got[1]), ("g7", "10"));
        put(&mut queue, 9001..9002, later);
        assert_eq!(drained(&mut queue, later), ["9001"]);
    }

    #[test]
    fn a_gap_among_what_is_dropped_is_not_lost() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        put(&mut queue, 0..1, now);
        queue.gap(now);
        put(&mut queue, 1..MAX_MESSAGES, now);
        assert_eq!(drained(&mut queue, now).len(), MAX_MESSAGES + 1);
        put(&mut queue, 0..1, now);
        queue.gap(now);
        put(&mut queue, 1..MAX_MESSAGES + 1, now + Duration::from_secs(3));
        let got = drained(&mut queue, now + Duration::from_secs(3));
        assert_eq!((got.len(), &*got[0], &*got[1]), (MAX_MESSAGES + 1, "g3", "1"));
    }
}
