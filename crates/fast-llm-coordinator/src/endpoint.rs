//! One endpoint: how it is reached, and what its answers have taught about it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use balance::PeakEwma;
use parking_lot::Mutex;
use resilience::{Breaker, BreakerPolicy, BreakerState};
use route_plan::{EndpointHealth, EndpointState};

use crate::config::EndpointConfig;
use crate::dialect::Dialect;
use crate::error::Failure;
use crate::transport::HttpClient;

/// Assumed of an endpoint that has not answered yet: about what a near one needs, so that a new endpoint is tried
/// early and does not get everything at once.
const ASSUMED_FIRST_TOKEN: Duration = Duration::from_millis(30);
/// How fast a slow answer is forgotten; tower's and Finagle's default.
const EWMA_DECAY: Duration = Duration::from_secs(10);
/// An endpoint that says "too many requests" without saying for how long gets this pause.
pub(crate) const DEFAULT_COOLDOWN: Duration = Duration::from_secs(1);
/// The longest pause that is believed: a `Retry-After` of a day would take the endpoint out until a restart.
const MAX_COOLDOWN: Duration = Duration::from_secs(300);
/// How long a refused key is left alone; a file that holds the key may be replaced meanwhile.
const QUARANTINE: Duration = Duration::from_secs(60);

pub(crate) struct Endpoint {
    pub(crate) config: EndpointConfig,
    pub(crate) dialect: Dialect,
    pub(crate) client: HttpClient,
    state: Mutex<State>,
}

/// Everything that changes, behind one short lock.
struct State {
    first_token: PeakEwma,
    breaker: Breaker,
    pause_until: Option<Instant>,
    quarantine_until: Option<Instant>,
    in_flight: u32,
    outstanding_tokens: u64,
    /// Requests without content so far, oldest first.
    waiting: Vec<(u64, Instant)>,
    next_id: u64,
    last_error: Option<String>,
    /// Whether a first content was ever seen, so that the estimate is more than an assumption.
    answered: bool,
}

/// Whether an endpoint may be asked at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Availability {
    Ready,
    /// Its breaker is open: asked only when nobody else can be.
    Suspect,
    /// Asked for a pause.
    CoolingDown {
        until: Instant,
    },
    /// Refused our key.
    Quarantined,
    /// At its `max_in_flight`.
    Full,
}

/// What an attempt says about the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is at fault.
    Unhealthy,
    /// It is well but asked for a pause.
    CoolDown(Duration),
    /// It refused our key.
    Quarantine,
    /// It answered; the request, or what it holds, is at fault.
    Neutral,
}

impl Endpoint {
    pub(crate) fn new(config: EndpointConfig, dialect: Dialect, client: HttpClient, now: Instant) -> Self {
        let state = State {
            first_token: PeakEwma::new(ASSUMED_FIRST_TOKEN, EWMA_DECAY, now),
            breaker: Breaker::new(BreakerPolicy::default(), now),
            pause_until: None,
            quarantine_until: None,
            in_flight: 0,
            outstanding_tokens: 0,
            waiting: Vec::new(),
            next_id: 0,
            last_error: None,
            answered: false,
        };
        Self { config, dialect, client, state: Mutex::new(state) }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.config.name
    }

    pub(crate) fn availability(&self, now: Instant) -> Availability {
        let state = self.state.lock();
        if let Some(until) = state.pause_until.filter(|until| now < *until) {
            Availability::CoolingDown { until }
        } else if state.quarantine_until.is_some_and(|until| now < until) {
            Availability::Quarantined
        } else if self.config.max_in_flight.is_some_and(|max| state.in_flight >= max) {
            Availability::Full
        } else {
            match state.breaker.state(now) {
                BreakerState::Closed | BreakerState::HalfOpen { probing: false } => Availability::Ready,
                BreakerState::Open { .. } | BreakerState::HalfOpen { probing: true } => Availability::Suspect,
            }
        }
    }

    /// The expected wait times the outstanding work, this request's included; lower is better.
    ///
    /// A request that has waited longer than the estimate raises it: an endpoint that hangs never reports a latency.
    pub(crate) fn cost(&self, tokens: u64, weight: f64, now: Instant) -> f64 {
        let state = self.state.lock();
        let oldest =
            state.waiting.first().map_or(Duration::ZERO, |(_, since)| now.saturating_duration_since(*since));
        let wait = state.first_token.get_at(now).max(oldest).as_secs_f64();
        wait * (state.outstanding_tokens + tokens) as f64 / weight
    }

    pub(crate) fn health(&self, now: Instant) -> EndpointHealth {
        let availability = self.availability(now);
        let state = self.state.lock();
        let error_rate = state.breaker.failure_rate();
        let label = match (availability, state.breaker.state(now)) {
            (Availability::Quarantined, _) => EndpointState::Quarantined,
            (_, BreakerState::Open { .. }) => EndpointState::Open,
            (_, BreakerState::HalfOpen { .. }) => EndpointState::HalfOpen,
            (Availability::CoolingDown { .. }, _) => EndpointState::Degraded,
            // A tenth of the recent requests: what one flaky request in twenty does not reach.
            (_, BreakerState::Closed) if error_rate >= 0.1 => EndpointState::Degraded,
            (_, BreakerState::Closed) => EndpointState::Healthy,
        };
        EndpointHealth {
            endpoint: Arc::clone(&self.config.name),
            state: label,
            ewma_first_token_ms: if state.answered {
                state.first_token.get_at(now).as_secs_f64() * 1e3
            } else {
                0.0
            },
            in_flight: state.in_flight,
            error_rate,
            last_error: state.last_error.clone(),
        }
    }

    /// Counts a request in; the guard counts it out again, whatever becomes of it.
    pub(crate) fn begin(self: &Arc<Self>, tokens: u64, now: Instant) -> InFlight {
        let mut state = self.state.lock();
        let id = state.next_id;
        state.next_id += 1;
        state.in_flight += 1;
        state.outstanding_tokens += tokens;
        state.waiting.push((id, now));
        state.breaker.on_start(now);
        let was_quarantined = state.quarantine_until.take_if(|until| now >= *until).is_some();
        drop(state);
        if was_quarantined {
            self.dialect.read_key_again();
        }
        InFlight { endpoint: Arc::clone(self), id, tokens, started: now, judged: false }
    }
}

/// A request that is under way at an endpoint.
pub(crate) struct InFlight {
    endpoint: Arc<Endpoint>,
    id: u64,
    tokens: u64,
    started: Instant,
    judged: bool,
}

impl InFlight {
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    pub(crate) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// The first content is there: the latency is known, however long the rest takes.
    pub(crate) fn first_content(&self, now: Instant) {
        let mut state = self.endpoint.state.lock();
        state.waiting.retain(|(id, _)| *id != self.id);
        state.answered = true;
        state.first_token.observe(now.saturating_duration_since(self.started), now);
    }

    /// The answer is whole.
    pub(crate) fn success(&mut self, now: Instant) {
        self.judged = true;
        self.endpoint.state.lock().breaker.on_success(now);
    }

    /// The attempt failed, which says something about the endpoint or not.
    pub(crate) fn failure(&mut self, verdict: Verdict, failure: &Failure, now: Instant) {
        self.judged = true;
        let mut state = self.endpoint.state.lock();
        match verdict {
            Verdict::Neutral => state.breaker.on_success(now),
            Verdict::CoolDown(pause) => {
                state.pause_until = Some(now + pause.min(MAX_COOLDOWN));
                state.breaker.on_abandoned();
            }
            Verdict::Quarantine => {
                state.quarantine_until = Some(now + QUARANTINE);
                state.breaker.on_abandoned();
            }
            Verdict::Unhealthy => {
                let before = state.breaker.state(now);
                state.breaker.on_failure(now, &mut fastrand::Rng::new());
                if before == BreakerState::Closed && state.breaker.state(now) != BreakerState::Closed {
                    tracing::warn!(endpoint = %self.endpoint.config.name, error = %failure.summary(), "endpoint taken out");
                }
            }
        }
        if verdict != Verdict::Neutral {
            state.last_error = Some(failure.summary());
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.endpoint.state.lock();
        state.in_flight -= 1;
        state.outstanding_tokens -= self.tokens;
        state.waiting.retain(|(id, _)| *id != self.id);
        if !self.judged {
            state.breaker.on_abandoned();
        }
    }
}
