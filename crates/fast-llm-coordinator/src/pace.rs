//! How soon and how fast answers of a model come from one place, learnt from those that came.

use std::time::Duration;

/// A new answer counts an eighth at least, as in TCP's estimate of the round trip (RFC 6298): about the last ten matter.
const NEW: f64 = 1.0 / 8.0;
/// Lengths that differ by less, in tokens squared, say nothing of how long a token takes.
const LEAST_VARIANCE: f64 = 1.0;

/// A straight line through what was seen: so long until the first token, so long for each further one. Whole answers, of which only
/// their end is seen, give a point each, streams two. Weighted least squares with means that forget.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pace {
    points: u32,
    tokens: f64,
    seconds: f64,
    product: f64,
    square: f64,
}

/// What the line says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Expected {
    pub(crate) first_token_ms: f64,
    /// `None`: all answers were of the same length.
    pub(crate) tokens_per_s: Option<f64>,
}

impl Expected {
    /// Until a page is written.
    pub(crate) fn page_ms(&self) -> f64 {
        /// Tokens.
        const PAGE: f64 = 512.0;
        self.first_token_ms + self.tokens_per_s.map_or(0.0, |rate| PAGE / rate * 1e3)
    }
}

impl Pace {
    /// So many tokens were there after this time.
    pub(crate) fn observe(&mut self, tokens: u64, took: Duration) {
        let (tokens, seconds) = (tokens.max(1) as f64, took.as_secs_f64());
        self.points = self.points.saturating_add(1);
        // The first few are simply averaged.
        let share = NEW.max(1.0 / f64::from(self.points));
        let towards = |mean: &mut f64, value: f64| *mean += (value - *mean) * share;
        towards(&mut self.tokens, tokens);
        towards(&mut self.seconds, seconds);
        towards(&mut self.product, tokens * seconds);
        towards(&mut self.square, tokens * tokens);
    }

    /// `None` before the first answer.
    pub(crate) fn expected(&self) -> Option<Expected> {
        if self.points == 0 {
            return None;
        }
        let variance = self.square - self.tokens * self.tokens;
        let slope = match variance < LEAST_VARIANCE {
            true => 0.0,
            false => ((self.product - self.tokens * self.seconds) / variance).max(0.0),
        };
        let first = (self.seconds - slope * (self.tokens - 1.0)).max(0.0);
        Some(Expected { first_token_ms: first * 1e3, tokens_per_s: (slope > 0.0).then(|| 1.0 / slope) })
    }

    /// Points of the line; a stream has two.
    pub(crate) fn points(&self) -> u32 {
        self.points
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn close(found: f64, expected: f64) -> bool {
        (found - expected).abs() <= expected.abs() * 0.01 + 0.01
    }

    #[test]
    fn nothing_is_expected_before_the_first_answer() {
        assert_eq!(Pace::default().expected(), None);
    }

    #[test]
    fn one_whole_answer_says_when_and_not_how_fast() {
        let mut pace = Pace::default();
        pace.observe(40, Duration::from_millis(900));
        let expected = pace.expected().unwrap();
        assert!(close(expected.first_token_ms, 900.0) && expected.tokens_per_s.is_none(), "{expected:?}");
    }

    #[test]
    fn one_stream_says_both() {
        let mut pace = Pace::default();
        pace.observe(1, Duration::from_millis(200));
        pace.observe(101, Duration::from_millis(1_200));
        let expected = pace.expected().unwrap();
        assert!(close(expected.first_token_ms, 200.0), "{expected:?}");
        assert!(close(expected.tokens_per_s.unwrap(), 100.0), "{expected:?}");
    }

    #[test]
    fn a_model_that_has_become_slow_is_expected_to_be() {
        let mut pace = Pace::default();
        for ms in [100; 50].into_iter().chain([800; 40]) {
            pace.observe(1, Duration::from_millis(ms));
        }
        assert!(close(pace.expected().unwrap().first_token_ms, 800.0));
    }

    proptest! {
        #[test]
        fn what_lies_on_a_line_is_found(first in 1_u64..2_000, each in 1_u64..100, tokens in prop::collection::vec(1_u64..500, 2..40)) {
            let mut pace = Pace::default();
            for &tokens in &tokens {
                pace.observe(tokens, Duration::from_millis(first + each * (tokens - 1)));
            }
            let expected = pace.expected().unwrap();
            prop_assert!(expected.first_token_ms.is_finite() && expected.first_token_ms >= 0.0);
            if let Some(rate) = expected.tokens_per_s {
                prop_assert!(close(1e3 / rate, each as f64), "{expected:?}");
                prop_assert!((expected.first_token_ms - first as f64).abs() < 1.0 + first as f64 * 0.01, "{expected:?}");
            }
        }
    }
}
