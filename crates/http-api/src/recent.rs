//! The requests of the last while, so that their reports can be asked for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use crate::trail::{Known, Trail};

/// The reports that are kept: a minute of 17 a second.
const MOST: usize = 1_024;
/// The same in bytes: an error of an endpoint may be long.
const MOST_BYTES: usize = 4 << 20;
/// What a report weighs without its texts: the structures, and the allocations' own.
const WEIGHT: usize = 512;

/// A ring, the oldest forgotten first; looked through from its end, for that is what is asked for, and seldom.
#[derive(Default)]
pub(crate) struct Recent(Mutex<Ring>);

#[derive(Default)]
struct Ring {
    trails: VecDeque<Arc<Trail>>,
    bytes: usize,
}

/// Whose reports may be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Everybody's.
    All,
    /// Those of this key; `None`: of callers without one.
    Of(Option<Arc<str>>),
}

impl Recent {
    /// Keeps a request, or weighs it again.
    pub(crate) fn keep(&self, trail: &Arc<Trail>) {
        let weight = trail.known(weight);
        let mut forgotten = None;
        let mut ring = self.0.lock();
        let before = trail.weight.swap(weight, Ordering::Relaxed);
        ring.bytes = (ring.bytes + weight).saturating_sub(before);
        if before == 0 {
            ring.trails.push_back(Arc::clone(trail));
        }
        while ring.trails.len() > MOST || ring.bytes > MOST_BYTES {
            let Some(oldest) = ring.trails.pop_front() else { break };
            ring.bytes = ring.bytes.saturating_sub(oldest.weight.swap(0, Ordering::Relaxed));
            forgotten = Some(oldest);
        }
        // Nobody waits while the last one, nearly always the only one, is freed.
        drop(ring);
        drop(forgotten);
    }

    /// The last request of this id that may be seen.
    pub(crate) fn find(&self, id: &str, whose: &Whose) -> Option<Arc<Trail>> {
        let ring = self.0.lock();
        let may_see = |trail: &Trail| match whose {
            Whose::All => true,
            Whose::Of(key) => trail.known(|known| known.key == *key),
        };
        ring.trails.iter().rev().find(|trail| *trail.request_id == *id && may_see(trail)).cloned()
    }
}

fn weight(known: &Known) -> usize {
    let attempts = known.attempts().iter();
    let attempts: usize = attempts.map(|attempt| 128 + attempt.error.as_ref().map_or(0, String::len)).sum();
    let dropped =
        known.report.as_ref().map_or(0, |report| report.dropped.iter().map(|field| 24 + field.len()).sum());
    let decision = known.routed().map_or(0, |routed| routed.weight());
    WEIGHT + attempts + dropped + decision
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use runtime::{Attempt, Outcome};

    use super::*;

    fn trail(id: &str) -> Arc<Trail> {
        Arc::new(Trail::new(Instant::now(), id.into(), None, None))
    }

    fn attempt(error: &str) -> Attempt {
        Attempt {
            endpoint: "e".into(),
            model: "m".into(),
            outcome: Outcome::Error,
            status: None,
            error: Some(error.to_owned()),
            code: None,
            started_ms: 0.0,
            first_token_ms: None,
            total_ms: 1.0,
        }
    }

    #[test]
    fn the_oldest_is_forgotten_first() {
        let recent = Recent::default();
        for number in 0..=MOST {
            recent.keep(&trail(&number.to_string()));
        }
        assert!(recent.find("0", &Whose::All).is_none());
        assert!(
            recent.find("1", &Whose::All).is_some() && recent.find(&MOST.to_string(), &Whose::All).is_some()
        );
    }

    #[test]
    fn long_errors_make_room_for_fewer() {
        let recent = Recent::default();
        for number in 0..10 {
            let trail = trail(&number.to_string());
            trail.failed("UAT_UPSTREAM", vec![attempt(&"x".repeat(MOST_BYTES / 4))]);
            recent.keep(&trail);
        }
        assert!(recent.find("9", &Whose::All).is_some() && recent.find("5", &Whose::All).is_none());
        assert!(recent.0.lock().bytes <= MOST_BYTES);
    }

    #[test]
    fn one_that_grew_is_weighed_again_and_kept_once() {
        let recent = Recent::default();
        let trail = trail("a");
        recent.keep(&trail);
        trail.failed("UAT_UPSTREAM", vec![attempt("a reason")]);
        recent.keep(&trail);
        let ring = recent.0.lock();
        assert_eq!((ring.trails.len(), ring.bytes), (1, WEIGHT + 128 + "a reason".len()));
    }

    #[test]
    fn the_last_one_of_an_id_is_meant() {
        let recent = Recent::default();
        let (first, second) = (trail("same"), trail("same"));
        recent.keep(&first);
        recent.keep(&second);
        assert!(Arc::ptr_eq(&recent.find("same", &Whose::All).unwrap(), &second));
        assert!(recent.find("same", &Whose::Of(Some("team-a".into()))).is_none());
        assert!(recent.find("same", &Whose::Of(None)).is_some());
    }
}
