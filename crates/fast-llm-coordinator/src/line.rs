//! The places at an endpoint, and the line of those who wait for one.

use std::sync::Arc;
use std::time::Duration;

use balance::RecentMean;
use futures_util::FutureExt;
use futures_util::future::select_ok;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::EndpointConfig;

/// The `max_in_flight` places of an endpoint. Those who wait are served in the order they came; whoever leaves, by
/// dropping its future, makes room in the line.
pub(crate) struct Line {
    /// `None`: no limit of ours.
    places: Option<Arc<Semaphore>>,
    limit: u32,
    max_queued: u32,
    patience: Duration,
    waiters: Mutex<Waiters>,
}

#[derive(Default)]
struct Waiters {
    queued: u32,
    /// What a request takes from its place to its end.
    takes: RecentMean,
}

/// A place at an endpoint, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    _held: Option<OwnedSemaphorePermit>,
}

/// Why a request does not wait, or no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TurnedAway {
    /// As many wait as may.
    LineFull { max_queued: u32, expected: Option<Duration> },
    /// Its time is over before its turn would come.
    TooLate { expected: Duration, left: Duration },
    /// Its turn did not come for so long.
    Waited(Duration),
}

impl Line {
    pub(crate) fn new(config: &EndpointConfig) -> Self {
        let limit = config.max_in_flight;
        let places = |limit: u32| {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
            Arc::new(Semaphore::new(limit))
        };
        Self {
            places: limit.map(places),
            limit: limit.unwrap_or(u32::MAX),
            max_queued: config.max_queued,
            patience: Duration::from_millis(config.queue_timeout_ms),
            waiters: Mutex::default(),
        }
    }

    /// Whether every place is taken, or promised to somebody who waits.
    pub(crate) fn is_full(&self) -> bool {
        self.places.as_ref().is_some_and(|places| places.available_permits() == 0)
    }

    /// A place, if one is free that nobody waits for.
    pub(crate) fn try_enter(&self) -> Option<Permit> {
        let Some(places) = &self.places else { return Some(Permit { _held: None }) };
        let held = Arc::clone(places).try_acquire_owned().ok()?;
        Some(Permit { _held: Some(held) })
    }

    /// Requests that wait.
    pub(crate) fn queued(&self) -> u32 {
        self.waiters.lock().queued
    }

    /// A request ended that had its place for so long.
    pub(crate) fn finished(&self, took: Duration) {
        if self.places.is_some() {
            self.waiters.lock().takes.observe(took);
        }
    }

    /// When the turn of one who came now would be; `None` before any request has ended.
    fn expected(&self) -> Option<Duration> {
        let waiters = self.waiters.lock();
        let position = f64::from(waiters.queued) + 1.0;
        let seconds = waiters.takes.get()?.as_secs_f64() * position / f64::from(self.limit.max(1));
        Duration::try_from_secs_f64(seconds).ok()
    }

    fn join(&self) -> Option<Waiting<'_>> {
        let mut waiters = self.waiters.lock();
        if waiters.queued >= self.max_queued {
            return None;
        }
        waiters.queued += 1;
        Some(Waiting(self))
    }
}

/// Somebody in the line, until it is dropped.
struct Waiting<'a>(&'a Line);

impl Waiting<'_> {
    async fn turn(self) -> Result<Permit, TurnedAway> {
        let waited = TurnedAway::Waited(self.0.patience);
        let Some(places) = &self.0.places else { return Ok(Permit { _held: None }) };
        match tokio::time::timeout(self.0.patience, Arc::clone(places).acquire_owned()).await {
            Ok(Ok(held)) => Ok(Permit { _held: Some(held) }),
            // Nobody closes the semaphore.
            Ok(Err(_)) | Err(_) => Err(waited),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiters.lock().queued -= 1;
    }
}

/// Waits in all these lines at once until one has a place; gives its number beside it. `left` is how long the request
/// has at all.
///
/// # Errors
/// At once where all lines are full, or none gets to the request in time; otherwise after the longest of the lines' own
/// limits.
pub(crate) async fn first_place(
    lines: impl Iterator<Item = (usize, &Line)> + Clone,
    left: Option<Duration>,
) -> Result<(usize, Permit), TurnedAway> {
    // An unknown time may be none.
    let soonest = lines.clone().map(|(_, line)| line.expected()).min().flatten();
    if let (Some(expected), Some(left)) = (soonest, left)
        && expected > left
    {
        return Err(TurnedAway::TooLate { expected, left });
    }
    let max_queued = lines.clone().fold(0_u32, |sum, (_, line)| sum.saturating_add(line.max_queued));
    let waits: Vec<_> = lines
        .filter_map(|(index, line)| {
            let waiting = line.join()?;
            Some(async move { waiting.turn().await.map(|permit| (index, permit)) }.boxed())
        })
        .collect();
    if waits.is_empty() {
        return Err(TurnedAway::LineFull { max_queued, expected: soonest });
    }
    select_ok(waits).await.map(|(placed, _)| placed)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::task::{JoinSet, yield_now};

    use super::*;
    use crate::config::Protocol;

    fn line(max_in_flight: u32, max_queued: u32, queue_timeout_ms: u64) -> Arc<Line> {
        Arc::new(Line::new(&EndpointConfig {
            max_in_flight: Some(max_in_flight),
            max_queued,
            queue_timeout_ms,
            ..EndpointConfig::new("e", Protocol::OpenAi, None)
        }))
    }

    async fn wait(line: &Line, left: Option<Duration>) -> Result<Permit, TurnedAway> {
        first_place(std::iter::once((0, line)), left).await.map(|(_, permit)| permit)
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_are_served_in_the_order_they_came() {
        let line = line(1, 10, 10_000);
        let mut held = line.try_enter();
        let mut waiting: Vec<_> = (0..4).map(|_| Box::pin(wait(&line, None))).collect();
        for one in &mut waiting {
            assert!(one.as_mut().now_or_never().is_none());
        }
        for _ in 0..4 {
            drop(held.take());
            assert!(line.is_full() && line.try_enter().is_none(), "the place is promised to the first");
            for later in waiting.iter_mut().skip(1) {
                assert!(later.as_mut().now_or_never().is_none(), "nobody is served before the first");
            }
            held = Some(waiting.remove(0).now_or_never().unwrap().unwrap());
        }
        drop(held);
        assert_eq!((line.queued(), line.is_full()), (0, false));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_goes_away_leaves_the_line_and_its_place_to_the_next() {
        let line = line(1, 10, 10_000);
        let held = line.try_enter();
        let (mut first, mut second) = (Box::pin(wait(&line, None)), Box::pin(wait(&line, None)));
        assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
        // The place is the first one's before it knows.
        drop(held);
        drop(first);
        assert!(second.now_or_never().unwrap().is_ok());
        assert_eq!((line.queued(), line.is_full()), (0, false));
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_wait_than_may_and_none_longer_than_it_may() {
        let line = line(1, 1, 50);
        let _held = line.try_enter();
        let mut first = Box::pin(wait(&line, None));
        assert!(first.as_mut().now_or_never().is_none());
        let refused = TurnedAway::LineFull { max_queued: 1, expected: None };
        assert_eq!(wait(&line, None).await.unwrap_err(), refused);
        assert_eq!(first.await.unwrap_err(), TurnedAway::Waited(Duration::from_millis(50)));
        assert_eq!(line.queued(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_would_come_too_late_is_told_so_at_once() {
        let line = line(2, 10, 10_000);
        let _held = (line.try_enter(), line.try_enter());
        let (short, long) = (Duration::from_millis(999), Duration::from_millis(1001));
        let mut unknown = Box::pin(wait(&line, Some(Duration::ZERO)));
        assert!(unknown.as_mut().now_or_never().is_none(), "nothing is known of how long requests take");
        line.finished(Duration::from_secs(1));
        // One waits already: the second turn, two places, a second each.
        let refused = TurnedAway::TooLate { expected: Duration::from_secs(1), left: short };
        assert_eq!(wait(&line, Some(short)).await.unwrap_err(), refused);
        assert!(Box::pin(wait(&line, Some(long))).now_or_never().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_in_several_lines_takes_one_place() {
        let lines = [line(1, 10, 10_000), line(1, 10, 10_000)];
        let mut held: Vec<_> = lines.iter().map(|line| line.try_enter()).collect();
        let both = || lines.iter().enumerate().map(|(index, line)| (index, &**line));
        let mut waiting = Box::pin(first_place(both(), None));
        assert!(waiting.as_mut().now_or_never().is_none());
        assert_eq!(lines.each_ref().map(|line| line.queued()), [1, 1]);
        held.clear();
        let (index, permit) = waiting.now_or_never().unwrap().unwrap();
        assert_eq!(lines.each_ref().map(|line| line.queued()), [0, 0]);
        assert!(lines[index].is_full() && !lines[1 - index].is_full());
        drop(permit);
    }

    /// Many tasks on several threads, some of which go away while they wait.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_limit_is_passed_and_no_place_is_lost() {
        const LIMITS: [u32; 3] = [1, 2, 5];
        let lines = Arc::new(LIMITS.map(|limit| line(limit, u32::MAX, 600_000)));
        let busy = Arc::new(LIMITS.map(|_| AtomicU32::new(0)));
        let mut tasks = JoinSet::new();
        for seed in 0..3000_u64 {
            let (lines, busy) = (Arc::clone(&lines), Arc::clone(&busy));
            tasks.spawn(async move {
                let mut rng = fastrand::Rng::with_seed(seed);
                let (from, to) = (rng.usize(..3), rng.usize(..3));
                let some = lines.iter().enumerate().map(|(index, line)| (index, &**line));
                let mut waiting =
                    Box::pin(first_place(some.skip(from.min(to)).take(from.abs_diff(to) + 1), None));
                if rng.u8(..4) == 0 {
                    for _ in 0..rng.u8(..8) {
                        if waiting.as_mut().now_or_never().is_some() {
                            return false;
                        }
                        yield_now().await;
                    }
                    return false;
                }
                let (index, permit) = waiting.await.unwrap();
                let now = busy[index].fetch_add(1, Ordering::SeqCst) + 1;
                assert!(now <= LIMITS[index], "{now} of {}", LIMITS[index]);
                for _ in 0..rng.u8(..4) {
                    yield_now().await;
                }
                busy[index].fetch_sub(1, Ordering::SeqCst);
                drop(permit);
                true
            });
        }
        let served = tasks.join_all().await.into_iter().filter(|served| *served).count();
        assert!(served > 2000, "{served}");
        for (line, limit) in lines.iter().zip(LIMITS) {
            assert_eq!(line.queued(), 0);
            let free = (0..limit).map_while(|_| line.try_enter()).collect::<Vec<_>>();
            assert_eq!(free.len(), limit as usize, "every place is free again");
        }
    }
}
