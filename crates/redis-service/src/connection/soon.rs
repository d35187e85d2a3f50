//! Whether it is worth waiting for an answer on the spot. Pure, but for atomics.

use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

/// Answers in time that one late answer outweighs.
const LATE: i32 = 3;

/// So many late answers in a row end it: further ones would hold the caller up for nothing.
const WORST: i32 = -3 * LATE;

/// The best score, so that a server which becomes slow is noticed soon.
const BEST: i32 = 4 * LATE;

/// Where it is not worth it, one call in so many tries again.
const RETRY_ONE_OF: u32 = 256;

/// How answers have come lately.
#[derive(Debug, Default)]
pub(crate) struct Soon {
    score: AtomicI32,
    skipped: AtomicU32,
}

impl Soon {
    /// Whether to wait.
    pub(crate) fn is_worth_it(&self) -> bool {
        self.score.load(Ordering::Relaxed) >= 0
            || self.skipped.fetch_add(1, Ordering::Relaxed) % RETRY_ONE_OF == RETRY_ONE_OF - 1
    }

    /// How the wait ended.
    pub(crate) fn note(&self, in_time: bool) {
        let change = if in_time { 1 } else { -LATE };
        let score = self.score.load(Ordering::Relaxed);
        // A lost update costs one observation.
        self.score.store((score + change).clamp(WORST, BEST), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(soon: &Soon, calls: u32) -> usize {
        (0..calls).filter(|_| soon.is_worth_it()).count()
    }

    #[test]
    fn late_answers_end_it_and_answers_in_time_bring_it_back() {
        let soon = Soon::default();
        assert_eq!(waits(&soon, 10), 10);
        soon.note(false);
        assert_eq!(waits(&soon, RETRY_ONE_OF), 1);
        for _ in 0..LATE {
            soon.note(true);
        }
        assert_eq!(waits(&soon, 10), 10);
    }

    #[test]
    fn one_late_answer_among_many_changes_nothing() {
        let soon = Soon::default();
        for _ in 0..100 {
            soon.note(true);
        }
        soon.note(false);
        assert_eq!(waits(&soon, 10), 10);
    }
}
