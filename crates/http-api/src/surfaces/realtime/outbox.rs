//! What comes of a signal, from the threads that hear it to the task that tells it.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use runtime::voice_processing::live::LiveEvent;
use tokio::sync::Notify;

/// Events that wait to be told.
#[derive(Debug, Default)]
pub(in crate::surfaces) struct Outbox {
    events: Mutex<VecDeque<LiveEvent>>,
    news: Arc<Notify>,
}

impl Outbox {
    /// One whose news come together with those of others.
    pub(in crate::surfaces) fn with(news: Arc<Notify>) -> Self {
        Self { news, ..Self::default() }
    }

    pub(in crate::surfaces) fn put(&self, event: LiveEvent) {
        let mut events = self.events.lock();
        // Of two texts in a row somebody who reads slowly needs the later.
        let is_outdated = |last: &LiveEvent| {
            matches!((last, &event), (LiveEvent::Partial { .. }, LiveEvent::Partial { .. }))
        };
        if events.back().is_some_and(is_outdated) {
            events.pop_back();
        }
        events.push_back(event);
        drop(events);
        self.news.notify_one();
    }

    pub(in crate::surfaces) fn take(&self) -> Option<LiveEvent> {
        self.events.lock().pop_front()
    }

    pub(super) fn len(&self) -> usize {
        self.events.lock().len()
    }

    /// Tells of new events.
    pub(super) fn news(&self) -> &Notify {
        &self.news
    }
}
