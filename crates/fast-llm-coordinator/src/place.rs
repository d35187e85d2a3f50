//! Where a model is served, and for how long each place is waited for.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use balance::RoundRobin;
use parking_lot::Mutex;
use route_plan::ModelHealth;

use crate::config::{Balance, ModelConfig};
use crate::endpoint::Endpoint;
use crate::error::{CoordinatorError, Failure};
use crate::line::{Permit, TurnedAway, first_place};
use crate::pace::Pace;
use crate::question::Question;
use crate::select::{Contender, Tried, Unavailable, Way};

/// A public model name.
pub(crate) struct Model {
    /// The longest answer, in tokens, as configured.
    pub(crate) max_output_tokens: Option<u64>,
    pub(crate) places: Vec<Place>,
    balance: Balance,
    turns: Mutex<RoundRobin>,
}

/// A model at an endpoint.
pub(crate) struct Place {
    pub(crate) endpoint: Arc<Endpoint>,
    /// Its name there.
    pub(crate) model: Arc<str>,
    /// How its answers come from there.
    pub(crate) pace: Arc<Mutex<Pace>>,
    weight: f64,
    /// Stands for it in hashes: the same in every process that knows it by the same names.
    id: u64,
}

impl Model {
    /// `former` is the model of this name before: of places that stay it is still known how answers come.
    ///
    /// # Errors
    /// For an unknown endpoint or a bad weight.
    pub(crate) fn new(
        config: &ModelConfig,
        endpoints: &HashMap<Arc<str>, Arc<Endpoint>>,
        former: Option<&Self>,
    ) -> Result<Self, CoordinatorError> {
        let mut places = places(config, endpoints)?;
        for place in &mut places {
            let same = |known: &&Place| known.id == place.id && Arc::ptr_eq(&known.endpoint, &place.endpoint);
            if let Some(known) = former.and_then(|former| former.places.iter().find(same)) {
                place.pace = Arc::clone(&known.pace);
            }
        }
        Ok(Self {
            places,
            max_output_tokens: config.max_output_tokens,
            balance: config.balance,
            turns: Mutex::default(),
        })
    }

    /// How one of the places is picked for this question. What is no conversation has no prompt to be kept warm.
    pub(crate) fn way(&self, question: Question<'_>) -> Way<'_> {
        match self.balance {
            Balance::PeakEwma => Way::PeakEwma,
            Balance::RoundRobin => Way::RoundRobin(&self.turns),
            Balance::LeastInFlight => Way::LeastInFlight,
            Balance::PrefixAffinity => match question.beginning() {
                Some(beginning) => Way::Affinity(hash(beginning)),
                None => Way::LeastInFlight,
            },
            Balance::Priority => Way::Priority,
        }
    }

    /// The places as they stand for a request of so many tokens that fared there as `tried` says; `held` has a place of
    /// its own there already.
    pub(crate) fn contenders<'a>(
        &'a self,
        tried: &'a [Tried],
        held: Option<usize>,
        tokens: u64,
        now: Instant,
    ) -> impl Iterator<Item = Contender> + 'a {
        self.places.iter().zip(tried).enumerate().map(move |(index, (place, &tried))| Contender {
            standing: place.endpoint.standing(tokens, place.weight, held == Some(index), now),
            id: place.id,
            tried,
        })
    }

    /// How the model stands: as its best place does that may be asked.
    pub(crate) fn health(&self, now: Instant) -> ModelHealth {
        let places = self.places.iter().map(|place| {
            let (is_up, error_rate) = place.endpoint.may_be_asked(now);
            let pace = *place.pace.lock();
            let expected = pace.expected();
            let health = ModelHealth {
                is_up,
                first_token_ms: expected.map(|expected| expected.first_token_ms),
                tokens_per_s: expected.and_then(|expected| expected.tokens_per_s),
                error_rate,
                samples: pace.points().into(),
            };
            (health, expected.map_or(f64::INFINITY, |expected| expected.page_ms()))
        });
        let better = |one: &(ModelHealth, f64), other: &(ModelHealth, f64)| {
            other.0.is_up.cmp(&one.0.is_up).then(one.1.total_cmp(&other.1))
        };
        places.min_by(better).map_or_else(ModelHealth::default, |(health, _)| health)
    }

    /// Waits in the lines of these places until one has room.
    pub(crate) async fn wait(
        &self,
        indices: impl Iterator<Item = usize> + Clone,
        left: Option<Duration>,
    ) -> Result<(usize, Permit), TurnedAway> {
        let lines = indices.filter_map(|i| self.places.get(i).map(|place| (i, &place.endpoint.line)));
        first_place(lines, left).await
    }
}

fn hash(what: impl Hash) -> u64 {
    // SipHash with fixed keys: the same in every process of this release.
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// The places of a model, checked.
fn places(
    model: &ModelConfig,
    endpoints: &HashMap<Arc<str>, Arc<Endpoint>>,
) -> Result<Vec<Place>, CoordinatorError> {
    if model.endpoints.is_empty() {
        return Err(invalid(format!("model `{}` has no endpoints; name at least one", model.name)));
    }
    let place = |at: &crate::config::ModelEndpoint| {
        let endpoint = endpoints.get(&at.endpoint).ok_or_else(|| {
            invalid(format!(
                "model `{}` names the endpoint `{}`, which does not exist",
                model.name, at.endpoint
            ))
        })?;
        if !(at.weight.is_finite() && at.weight > 0.0) {
            return Err(invalid(format!(
                "model `{}`, endpoint `{}`: weight must be a number above 0, got {}",
                model.name, at.endpoint, at.weight
            )));
        }
        let there = at.model.as_ref().unwrap_or(&model.name);
        Ok(Place {
            endpoint: Arc::clone(endpoint),
            model: Arc::clone(there),
            pace: Arc::default(),
            weight: at.weight,
            id: hash((&at.endpoint, there)),
        })
    };
    model.endpoints.iter().map(place).collect()
}

/// How long an attempt may take until its first content.
///
/// An answer that is not streamed shows nothing until it is whole. With another endpoint to go to, one that stays
/// silent for as long as a stream may is left; the last one gets all the time there is.
pub(crate) fn patience(place: &Place, stream: bool, others: bool) -> Duration {
    let config = &place.endpoint.config;
    Duration::from_millis(if stream || others {
        config.first_token_timeout_ms.min(config.total_timeout_ms)
    } else {
        config.total_timeout_ms
    })
}

/// For how long somebody waits for an attempt that begins `now`: its own limit or the request's, whichever is sooner.
pub(crate) fn time_left(
    place: &Place,
    stream: bool,
    patience: Duration,
    deadline: Option<(Instant, Duration)>,
    now: Instant,
) -> Duration {
    let own = match stream {
        true => Duration::from_millis(place.endpoint.config.total_timeout_ms),
        false => patience,
    };
    deadline.map_or(own, |(at, _)| own.min(at.saturating_duration_since(now)))
}

/// The failure of a request that nobody could be asked to answer.
pub(crate) fn nobody(model: &Model, why: Unavailable) -> Failure {
    let (code, retry_after, message) = match why {
        Unavailable::CoolingDown(pause) => {
            ("UAT_RATE_LIMITED", Some(pause), format!("asked for a pause, {} ms are left", pause.as_millis()))
        }
        Unavailable::Quarantined => (
            "UAT_UNAUTHORIZED",
            None,
            "refused our API key a moment ago; check api_key_env or api_key_file".to_owned(),
        ),
        Unavailable::AllTried => ("UAT_UPSTREAM", None, "failed".to_owned()),
    };
    let retryable = code != "UAT_UNAUTHORIZED";
    Failure { code, retryable, retry_after, ..of(model.places.iter(), &message) }
}

/// The failure of a request that was not let into the line at any of these places, or left it.
pub(crate) fn overloaded<'a>(places: impl Iterator<Item = &'a Place> + Clone, why: TurnedAway) -> Failure {
    let (retry_after, message) = match why {
        TurnedAway::LineFull { max_queued, expected } => (
            expected,
            format!(
                "at max_in_flight, and {max_queued} requests wait already (max_queued); come back in a moment"
            ),
        ),
        TurnedAway::TooLate { expected, left } => (
            Some(expected),
            format!(
                "at max_in_flight; this request's turn is expected in {} ms, and it has {} ms left",
                expected.as_millis(),
                left.as_millis()
            ),
        ),
        TurnedAway::Waited(patience) => (
            None,
            format!("at max_in_flight; no place within {} ms (queue_timeout_ms)", patience.as_millis()),
        ),
    };
    let retry_after = Some(retry_after.unwrap_or_default().max(Duration::from_secs(1)));
    Failure { code: "UAT_OVERLOADED", retry_after, ..of(places, &message) }
}

fn of<'a>(places: impl Iterator<Item = &'a Place> + Clone, message: &str) -> Failure {
    let names: Vec<&str> = places.clone().map(|place| &*place.endpoint.config.name).collect();
    Failure {
        code: "UAT_UPSTREAM",
        endpoint: places.clone().next().map_or_else(|| Arc::from(""), |p| Arc::clone(p.endpoint.name())),
        status: None,
        message: format!("endpoint `{}`: {message}", names.join("`, `")),
        retryable: true,
        is_final: false,
        retry_after: None,
        upstream: None,
    }
}

fn invalid(message: String) -> CoordinatorError {
    CoordinatorError::Config { message }
}
