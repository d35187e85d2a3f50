//! When a server that says nothing counts as away. Pure: the clock is passed in.

use std::time::{Duration, Instant};

/// What is to be done about a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing.
    Fine,
    /// Reads are answered without it from now on; it may come back.
    Silent,
    /// It is given up.
    Dead,
}

/// How long a server may say nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Until it counts as silent: the budget of a read.
    pub(crate) silent: Duration,
    /// Until the connection is given up.
    pub(crate) dead: Duration,
}

/// Judges by the oldest command that waits, and by when anything was heard last. A server that is busy with a long reply is
/// heard, so it is slow and not silent.
pub(crate) fn judge(oldest: Option<Instant>, heard: Instant, now: Instant, patience: Patience) -> Verdict {
    let Some(oldest) = oldest else {
        return Verdict::Fine;
    };
    let quiet = now.saturating_duration_since(oldest.max(heard));
    if quiet >= patience.dead {
        Verdict::Dead
    } else if quiet >= patience.silent {
        Verdict::Silent
    } else {
        Verdict::Fine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(oldest_ms: Option<u64>, heard_ms: u64, now_ms: u64, expected: Verdict) {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let patience = Patience { silent: Duration::from_millis(50), dead: Duration::from_millis(1000) };
        assert_eq!(judge(oldest_ms.map(at), at(heard_ms), at(now_ms), patience), expected);
    }

    #[test]
    fn a_server_that_nobody_asks_may_be_quiet() {
        check(None, 0, 100_000, Verdict::Fine);
    }

    #[test]
    fn a_question_without_answer_makes_it_silent_and_then_dead() {
        check(Some(0), 0, 49, Verdict::Fine);
        check(Some(0), 0, 50, Verdict::Silent);
        check(Some(0), 0, 999, Verdict::Silent);
        check(Some(0), 0, 1000, Verdict::Dead);
    }

    #[test]
    fn whoever_is_heard_is_not_silent_although_an_old_question_waits() {
        check(Some(0), 480, 500, Verdict::Fine);
        check(Some(500), 0, 520, Verdict::Fine);
    }
}
