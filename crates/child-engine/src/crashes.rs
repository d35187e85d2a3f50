//! When an engine that keeps ending may be started again: a decision over plain state, with the clock passed in.

use std::time::{Duration, Instant};

use resilience::Backoff;

/// An engine that lived longer than this was working: its end says nothing about the next start.
const SHORT_LIFE: Duration = Duration::from_secs(5);
/// Short lives further apart than this are separate mishaps, not a loop.
const MEMORY: Duration = Duration::from_secs(60);
/// So many short lives in a row are a loop. Fewer are restarted at once, because one killed engine is no reason to
/// refuse the next request.
const LOOP: u32 = 3;
/// A crashing engine costs a second of CPU per start; half a minute is as long as a person waits for a fix to act.
const BACKOFF: Backoff = Backoff { base: Duration::from_secs(1), max: Duration::from_secs(30) };

/// The recent ends of an engine.
#[derive(Debug, Default)]
pub(crate) struct Crashes {
    in_a_row: u32,
    last: Option<Instant>,
    not_before: Option<Instant>,
}

impl Crashes {
    /// Notes that an engine that served (or started) at `since` has ended at `now`.
    pub(crate) fn ended(&mut self, since: Instant, now: Instant, rng: &mut fastrand::Rng) {
        if now.saturating_duration_since(since) >= SHORT_LIFE {
            *self = Self::default();
            return;
        }
        let recent = self.last.is_some_and(|last| now.saturating_duration_since(last) < MEMORY);
        self.in_a_row = if recent { self.in_a_row.saturating_add(1) } else { 1 };
        self.last = Some(now);
        self.not_before = (self.in_a_row >= LOOP).then(|| now + BACKOFF.delay(self.in_a_row - LOOP, rng));
    }

    /// Whether a start is allowed at `now`; otherwise how often it crashed, and how long to wait.
    pub(crate) fn may_start(&self, now: Instant) -> Result<(), (u32, Duration)> {
        match self.not_before.map(|at| at.saturating_duration_since(now)) {
            Some(wait) if !wait.is_zero() => Err((self.in_a_row, wait)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rng() -> fastrand::Rng {
        fastrand::Rng::with_seed(7)
    }

    #[test]
    fn two_crashes_are_restarted_at_once_and_the_third_has_to_wait() {
        let (mut crashes, mut rng, start) = (Crashes::default(), rng(), Instant::now());
        for _ in 0..2 {
            crashes.ended(start, start, &mut rng);
            assert_eq!(crashes.may_start(start), Ok(()));
        }
        crashes.ended(start, start, &mut rng);
        let (count, wait) = crashes.may_start(start).unwrap_err();
        assert_eq!(count, 3);
        assert!(wait <= Duration::from_secs(1), "{wait:?}");
        assert_eq!(crashes.may_start(start + wait), Ok(()));
    }

    #[test]
    fn an_engine_that_worked_for_a_while_clears_the_record() {
        let (mut crashes, mut rng, start) = (Crashes::default(), rng(), Instant::now());
        for _ in 0..9 {
            crashes.ended(start, start, &mut rng);
        }
        crashes.ended(start, start + SHORT_LIFE, &mut rng);
        assert_eq!(crashes.may_start(start + SHORT_LIFE), Ok(()));
    }

    #[test]
    fn crashes_far_apart_are_no_loop() {
        let (mut crashes, mut rng, start) = (Crashes::default(), rng(), Instant::now());
        for minute in 0..9 {
            let now = start + MEMORY * minute;
            crashes.ended(now, now, &mut rng);
            assert_eq!(crashes.may_start(now), Ok(()));
        }
    }

    proptest! {
        #[test]
        fn the_wait_never_exceeds_half_a_minute(lives in prop::collection::vec(0_u64..70_000, 0..60), seed: u64) {
            let (mut crashes, mut rng) = (Crashes::default(), fastrand::Rng::with_seed(seed));
            let mut now = Instant::now();
            for millis in lives {
                let since = now;
                now += Duration::from_millis(millis);
                crashes.ended(since, now, &mut rng);
                if let Err((count, wait)) = crashes.may_start(now) {
                    prop_assert!(count >= LOOP && wait <= BACKOFF.max);
                }
            }
        }
    }
}
