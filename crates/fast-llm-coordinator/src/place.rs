//! Where a model is served, and for how long each place is waited for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::ModelConfig;
use crate::endpoint::Endpoint;
use crate::error::{CoordinatorError, Failure};
use crate::select::Unavailable;

/// A public model name.
pub(crate) struct Model {
    /// The longest answer, in tokens, as configured.
    pub(crate) max_output_tokens: Option<u64>,
    pub(crate) places: Vec<Place>,
}

/// A model at an endpoint.
pub(crate) struct Place {
    pub(crate) endpoint: Arc<Endpoint>,
    /// Its name there.
    pub(crate) model: Arc<str>,
    pub(crate) weight: f64,
}

/// The places of a model, checked.
pub(crate) fn places(
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
        Ok(Place {
            endpoint: Arc::clone(endpoint),
            model: Arc::clone(at.model.as_ref().unwrap_or(&model.name)),
            weight: at.weight,
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
    let names: Vec<&str> = model.places.iter().map(|place| &*place.endpoint.config.name).collect();
    let (code, retry_after, message) = match why {
        Unavailable::CoolingDown(pause) => {
            ("UAT_RATE_LIMITED", Some(pause), format!("asked for a pause, {} ms are left", pause.as_millis()))
        }
        Unavailable::Full => (
            "UAT_OVERLOADED",
            Some(Duration::from_secs(1)),
            "at max_in_flight; come back in a moment".to_owned(),
        ),
        Unavailable::Quarantined => (
            "UAT_UNAUTHORIZED",
            None,
            "refused our API key a moment ago; check api_key_env or api_key_file".to_owned(),
        ),
        Unavailable::AllTried => ("UAT_UPSTREAM", None, "failed".to_owned()),
    };
    Failure {
        code,
        endpoint: model.places.first().map_or_else(|| Arc::from(""), |p| Arc::clone(&p.endpoint.config.name)),
        status: None,
        message: format!("endpoint `{}`: {message}", names.join("`, `")),
        retryable: code != "UAT_UNAUTHORIZED",
        is_final: false,
        retry_after,
        upstream: None,
    }
}

fn invalid(message: String) -> CoordinatorError {
    CoordinatorError::Config { message }
}
