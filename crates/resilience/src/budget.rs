use std::time::{Duration, Instant};

/// Limits repetitions to a share of the requests plus a constant rate, so that an outage is not multiplied by
/// everybody repeating everything.
///
/// After Finagle's `RetryBudget` (<https://twitter.github.io/finagle/guide/Clients.html#retries>): each request
/// deposits a fraction of a token, each repetition takes a whole one, and a trickle keeps rare requests repeatable.
#[derive(Debug, Clone)]
pub struct RetryBudget {
    tokens: f64,
    max_tokens: f64,
    per_request: f64,
    per_second: f64,
    updated: Instant,
}

impl RetryBudget {
    /// `ratio` repetitions per request (0.2 is 20 %) and `per_second` besides; at most ten seconds' worth of the
    /// trickle is saved up, and as much of the ratio.
    pub fn new(ratio: f64, per_second: f64, now: Instant) -> Self {
        // Ten seconds: long enough for a burst after a quiet time, short enough that the quiet does not pay for an outage.
        let max_tokens = per_second * 10.0;
        Self { tokens: max_tokens, max_tokens, per_request: ratio, per_second, updated: now }
    }

    /// A new request (not a repetition) came in.
    pub fn deposit(&mut self, now: Instant) {
        self.refill(now);
        self.tokens = (self.tokens + self.per_request).min(self.max_tokens);
    }

    /// Whether a repetition may be made; takes its token if so.
    pub fn try_withdraw(&mut self, now: Instant) -> bool {
        self.refill(now);
        let allowed = self.tokens >= 1.0;
        if allowed {
            self.tokens -= 1.0;
        }
        allowed
    }

    fn refill(&mut self, now: Instant) {
        let elapsed: Duration = now.saturating_duration_since(self.updated);
        self.tokens = (self.tokens + elapsed.as_secs_f64() * self.per_second).min(self.max_tokens);
        self.updated = self.updated.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_allowed_and_then_only_the_trickle() {
        let t0 = Instant::now();
        let mut budget = RetryBudget::new(0.2, 10.0, t0);
        assert_eq!((0..1000).filter(|_| budget.try_withdraw(t0)).count(), 100);
        assert!(!budget.try_withdraw(t0 + Duration::from_millis(50)));
        assert!(budget.try_withdraw(t0 + Duration::from_millis(150)));
    }

    #[test]
    fn five_requests_pay_for_one_repetition() {
        let t0 = Instant::now();
        let mut budget = RetryBudget::new(0.2, 10.0, t0);
        while budget.try_withdraw(t0) {}
        (0..4).for_each(|_| budget.deposit(t0));
        assert!(!budget.try_withdraw(t0));
        (0..2).for_each(|_| budget.deposit(t0));
        assert!(budget.try_withdraw(t0));
    }
}
