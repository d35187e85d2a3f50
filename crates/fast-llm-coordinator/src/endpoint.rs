//! One endpoint: how it is reached, and what its answers have taught about it.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use balance::PeakEwma;
use parking_lot::Mutex;
use route_plan::EndpointHealth;

use crate::admission::Admitted;
use crate::board::{Availability, Board};
use crate::classify::Verdict;
use crate::config::EndpointConfig;
use crate::dialect::Dialect;
use crate::error::Failure;
use crate::line::{Line, Permit};
use crate::pace::Pace;
use crate::transport::HttpClient;

/// Assumed of an endpoint that has not answered yet: about what a near one needs, so that a new endpoint is tried
/// early and does not get everything at once.
const ASSUMED_FIRST_TOKEN: Duration = Duration::from_millis(30);
/// How fast a slow answer is forgotten; tower's and Finagle's default.
const EWMA_DECAY: Duration = Duration::from_secs(10);

pub(crate) struct Endpoint {
    pub(crate) config: EndpointConfig,
    pub(crate) dialect: Dialect,
    pub(crate) client: HttpClient,
    pub(crate) line: Line,
    state: Mutex<State>,
}

/// Everything that changes, behind one short lock.
struct State {
    board: Board,
    first_token: PeakEwma,
    in_flight: u32,
    outstanding_tokens: u64,
    /// Requests without content so far, oldest first.
    waiting: Vec<(u64, Instant)>,
    next_id: u64,
    /// Whether a first content was ever seen, so that the estimate is more than an assumption.
    answered: bool,
}

/// What speaks for and against an endpoint at a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    pub(crate) availability: Availability,
    /// The expected wait times the outstanding work; lower is better.
    pub(crate) cost: f64,
    pub(crate) in_flight: u32,
    /// As configured, or less while it starts slowly.
    pub(crate) weight: f64,
}

impl Endpoint {
    pub(crate) fn new(config: EndpointConfig, dialect: Dialect, client: HttpClient, now: Instant) -> Self {
        let state = State {
            board: Board::new(now),
            first_token: PeakEwma::new(ASSUMED_FIRST_TOKEN, EWMA_DECAY, now),
            in_flight: 0,
            outstanding_tokens: 0,
            waiting: Vec::new(),
            next_id: 0,
            answered: false,
        };
        let line = Line::new(&config);
        Self { config, dialect, client, line, state: Mutex::new(state) }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.config.name
    }

    /// How it stands for a request of so many tokens, which may hold a place there already.
    ///
    /// A request that has waited longer than the estimate raises the cost: an endpoint that hangs never reports a latency.
    pub(crate) fn standing(&self, tokens: u64, weight: f64, has_place: bool, now: Instant) -> Standing {
        let state = self.state.lock();
        let availability = match state.board.availability(now) {
            Availability::Ready if !has_place && self.line.is_full() => Availability::Full,
            other => other,
        };
        let oldest =
            state.waiting.first().map_or(Duration::ZERO, |(_, since)| now.saturating_duration_since(*since));
        let wait = state.first_token.get_at(now).max(oldest).as_secs_f64();
        let weight = weight * state.board.warmth(now);
        let cost = wait * (state.outstanding_tokens + tokens) as f64 / weight;
        Standing { availability, cost, in_flight: state.in_flight, weight }
    }

    /// Whether it may be asked, in its turn, and the share of its recent requests that failed.
    pub(crate) fn may_be_asked(&self, now: Instant) -> (bool, f64) {
        let state = self.state.lock();
        (state.board.availability(now) == Availability::Ready, state.board.error_rate())
    }

    /// `wall` is the time of day at `now`.
    pub(crate) fn health(&self, now: Instant, wall: SystemTime) -> EndpointHealth {
        let queued = self.line.queued();
        let mut state = self.state.lock();
        let ewma = if state.answered { state.first_token.get_at(now) } else { Duration::ZERO };
        EndpointHealth {
            endpoint: Arc::clone(&self.config.name),
            state: state.board.state(now),
            ewma_first_token_ms: ewma.as_secs_f64() * 1e3,
            in_flight: state.in_flight,
            queued,
            error_rate: state.board.error_rate(),
            last_error: state.board.last_error().map(str::to_owned),
            history: state.board.history(now, wall),
        }
    }

    /// Counts a request in that has a place; the guard counts it out again, whatever becomes of it.
    pub(crate) fn begin(self: &Arc<Self>, place: Permit, tokens: u64, now: Instant) -> InFlight {
        let mut state = self.state.lock();
        let id = state.next_id;
        state.next_id += 1;
        state.in_flight += 1;
        state.outstanding_tokens += tokens;
        state.waiting.push((id, now));
        let key_is_stale = state.board.started(now);
        drop(state);
        if key_is_stale {
            self.dialect.read_key_again();
        }
        InFlight {
            endpoint: Arc::clone(self),
            pace: None,
            id,
            tokens,
            started: now,
            written: 0,
            judged: false,
            _admitted: None,
            _place: place,
        }
    }
}

/// A request that is under way at an endpoint.
pub(crate) struct InFlight {
    endpoint: Arc<Endpoint>,
    /// Where it is written down how the answer comes.
    pace: Option<Arc<Mutex<Pace>>>,
    id: u64,
    tokens: u64,
    started: Instant,
    /// Tokens of the answer so far, or as the endpoint counted them.
    written: u64,
    judged: bool,
    /// What it holds of a GPU.
    _admitted: Option<Admitted>,
    /// Given back after the request is counted out.
    _place: Permit,
}

impl InFlight {
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    pub(crate) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// How the answer comes is written down here.
    #[must_use]
    pub(crate) fn timed(mut self, pace: &Arc<Mutex<Pace>>) -> Self {
        self.pace = Some(Arc::clone(pace));
        self
    }

    /// So much is held of a GPU until the request is counted out.
    #[must_use]
    pub(crate) fn holding(mut self, admitted: Option<Admitted>) -> Self {
        self._admitted = admitted;
        self
    }

    /// A stream has begun.
    pub(crate) fn streams(&self, now: Instant) {
        self.came(1, now);
    }

    /// A piece of the answer has come, with what the endpoint counted if it says so.
    pub(crate) fn wrote(&mut self, counted: Option<u64>) {
        // Nearly all write a piece for each token.
        self.written = counted.unwrap_or(self.written + 1);
    }

    fn came(&self, tokens: u64, now: Instant) {
        if let Some(pace) = &self.pace {
            pace.lock().observe(tokens, now.saturating_duration_since(self.started));
        }
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
        if self.written > 0 {
            self.came(self.written, now);
        }
        self.endpoint.line.finished(now.saturating_duration_since(self.started));
        self.endpoint.state.lock().board.succeeded(now);
    }

    /// The attempt failed, which says something about the endpoint or not.
    pub(crate) fn failure(&mut self, verdict: Verdict, failure: &Failure, now: Instant) {
        self.judged = true;
        let mut rng = fastrand::Rng::new();
        let taken_out = self.endpoint.state.lock().board.failed(verdict, || failure.summary(), now, &mut rng);
        if taken_out {
            tracing::warn!(endpoint = %self.endpoint.config.name, error = %failure.summary(), "endpoint taken out");
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
            state.board.abandoned();
        }
    }
}
