use std::sync::atomic::{AtomicU64, Ordering};

use http::StatusCode;

/// What the server itself counts, for `/metrics`.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// By the first digit of the status, 1 to 5.
    responses: [AtomicU64; 5],
    /// Connections that are open.
    connections: AtomicU64,
    /// Connections ever accepted.
    accepted: AtomicU64,
    /// Browsers that are heard over WebRTC, connected or not yet.
    speakers: AtomicU64,
    /// Those that were ever taken.
    speakers_taken: AtomicU64,
}

impl Traffic {
    pub(crate) fn answered(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5);
        self.responses[class - 1].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn connection_opened(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn connection_closed(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn speaker_came(&self) {
        self.speakers_taken.fetch_add(1, Ordering::Relaxed);
        self.speakers.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn speaker_left(&self) {
        self.speakers.fetch_sub(1, Ordering::Relaxed);
    }

    /// Browsers that are heard now, and those that ever were.
    pub(crate) fn speakers(&self) -> (u64, u64) {
        (self.speakers.load(Ordering::Relaxed), self.speakers_taken.load(Ordering::Relaxed))
    }

    /// Status classes (1 for 1xx) with their counts.
    pub(crate) fn responses(&self) -> impl Iterator<Item = (usize, u64)> {
        self.responses.iter().enumerate().map(|(index, count)| (index + 1, count.load(Ordering::Relaxed)))
    }

    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }
}
