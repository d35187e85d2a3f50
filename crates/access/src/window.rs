//! Which window it is. Pure: the clocks are passed in.

use std::time::{Duration, Instant};

use crate::account::Period;

/// The windows of a ledger in this process, by a clock that cannot be set: minutes since the start, and days of UTC.
///
/// The time of day is looked at when a day begins, and not again before it ends. So a clock that is set forward gives nobody a fresh
/// budget while the process runs, and one that is set back neither repeats a day nor makes anybody wait longer than to the next
/// midnight.
#[derive(Debug)]
pub(crate) struct Windows {
    start: Instant,
    day: u64,
    day_ends: Instant,
}

/// A window, and how long it lasts from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) number: u64,
    pub(crate) ends_in: Duration,
}

impl Windows {
    /// `last_day` is the last that was seen before, in a former life; `since_1970` is the time of day.
    pub(crate) fn new(last_day: Option<u64>, since_1970: Duration, now: Instant) -> Self {
        let (today, left) = day_of(since_1970);
        Self { start: now, day: today.max(last_day.unwrap_or(0)), day_ends: now + left }
    }

    /// The window of this period.
    pub(crate) fn at(&mut self, period: Period, since_1970: Duration, now: Instant) -> Window {
        match period {
            Period::Minute => {
                let (elapsed, length) = (now.saturating_duration_since(self.start), period.length());
                let number = elapsed.as_secs() / length.as_secs();
                let into = elapsed - length * u32::try_from(number).unwrap_or(u32::MAX);
                Window { number, ends_in: length.saturating_sub(into) }
            }
            Period::Day => {
                if now >= self.day_ends {
                    let (today, left) = day_of(since_1970);
                    self.day = today.max(self.day + 1);
                    self.day_ends = now + left;
                }
                Window { number: self.day, ends_in: self.day_ends.saturating_duration_since(now) }
            }
        }
    }
}

/// The day, counted from 1970, and how long it lasts yet; never zero.
fn day_of(since_1970: Duration) -> (u64, Duration) {
    let length = Period::Day.length();
    let day = since_1970.as_secs() / length.as_secs();
    let into = Duration::new(since_1970.as_secs() % length.as_secs(), since_1970.subsec_nanos());
    (day, length - into)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn day(windows: &mut Windows, wall: Duration, now: Instant) -> (u64, Duration) {
        let window = windows.at(Period::Day, wall, now);
        (window.number, window.ends_in)
    }

    #[test]
    fn days_begin_at_midnight_utc() {
        let t0 = Instant::now();
        let mut windows = Windows::new(None, 10 * DAY + 23 * HOUR, t0);
        assert_eq!(day(&mut windows, 10 * DAY + 23 * HOUR, t0), (10, HOUR));
        assert_eq!(day(&mut windows, 11 * DAY, t0 + HOUR), (11, DAY));
        assert_eq!(day(&mut windows, 11 * DAY + HOUR, t0 + 2 * HOUR), (11, 23 * HOUR));
    }

    #[test]
    fn minutes_begin_with_the_process() {
        let t0 = Instant::now();
        let mut windows = Windows::new(None, HOUR, t0);
        let at = |windows: &mut Windows, ms| {
            let window = windows.at(Period::Minute, Duration::ZERO, t0 + Duration::from_millis(ms));
            (window.number, window.ends_in.as_millis())
        };
        assert_eq!(at(&mut windows, 0), (0, 60_000));
        assert_eq!(at(&mut windows, 59_999), (0, 1));
        assert_eq!(at(&mut windows, 60_000), (1, 60_000));
    }

    #[test]
    fn a_clock_that_is_set_while_the_process_runs_changes_nothing_before_the_day_ends() {
        let t0 = Instant::now();
        let mut windows = Windows::new(None, 10 * DAY + 20 * HOUR, t0);
        assert_eq!(day(&mut windows, 500 * DAY, t0 + HOUR), (10, 3 * HOUR), "set forward");
        assert_eq!(day(&mut windows, Duration::ZERO, t0 + 2 * HOUR), (10, 2 * HOUR), "set back");
        // When the day has ended the next begins, whatever the clock says, and ends with a midnight of that clock.
        assert_eq!(day(&mut windows, 3 * DAY + 18 * HOUR, t0 + 4 * HOUR), (11, 6 * HOUR));
    }

    #[test]
    fn a_day_that_was_seen_before_a_restart_does_not_come_again() {
        let t0 = Instant::now();
        let mut windows = Windows::new(Some(20), 10 * DAY + 20 * HOUR, t0);
        assert_eq!(day(&mut windows, 10 * DAY + 20 * HOUR, t0), (20, 4 * HOUR));
        assert_eq!(day(&mut windows, 11 * DAY, t0 + 4 * HOUR), (21, DAY));
    }

    proptest! {
        #[test]
        fn days_never_go_back_waits_are_never_negative_and_a_day_of_real_time_has_two_at_most(
            steps in prop::collection::vec((0_u64..40 * 3600, 0_u64..4_000_000), 1..60),
        ) {
            let t0 = Instant::now();
            let (mut now, mut last) = (t0, 0);
            let mut windows = Windows::new(None, 7 * DAY, t0);
            let mut seen: Vec<(Instant, u64)> = Vec::new();
            for (step, wall) in steps {
                now += Duration::from_secs(step);
                let (number, ends_in) = day(&mut windows, Duration::from_secs(wall), now);
                prop_assert!(number >= last);
                prop_assert!(ends_in > Duration::ZERO && ends_in <= DAY);
                if number != last {
                    seen.push((now, number));
                }
                last = number;
            }
            // Only the hour to which a clock is set when a day begins can make that day short.
            for three in seen.windows(2) {
                prop_assert!(three[1].0 > three[0].0);
            }
        }
    }
}
