//! The loop that carries out a plan: whom to ask, whom to ask next, and when to stop.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use resilience::{Backoff, RetryBudget};
use route_plan::RoutePlan;
use tokio_util::task::TaskTracker;

use crate::attempt::{Asked, Established, attempt};
use crate::coordinator::CallOptions;
use crate::endpoint::Endpoint;
use crate::error::{CoordinatorError, Failure};
use crate::journal::Journal;
use crate::place::{Model, Place, nobody, patience, time_left};
use crate::question::Question;
use crate::select::{Choice, Contender, Tried, choose};
use crate::stats::Counters;

/// Before an endpoint that failed a moment ago is asked again by the same request: long enough for a process to be
/// restarted or a listen queue to drain, short enough not to be noticed.
const AGAIN: Backoff = Backoff { base: Duration::from_millis(100), max: Duration::from_secs(1) };

/// What requests share: who can be asked, and what has been learnt.
pub(crate) struct Core {
    pub(crate) endpoints: Vec<Arc<Endpoint>>,
    pub(crate) models: HashMap<Arc<str>, Model>,
    pub(crate) budget: Mutex<RetryBudget>,
    pub(crate) counters: Arc<Counters>,
    /// Finished streams whose connections are being handed back.
    pub(crate) drains: TaskTracker,
}

/// Who answered, and how far the answer is.
pub(crate) struct Answered {
    pub(crate) model: Arc<str>,
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) established: Established,
}

impl Core {
    /// Asks the plan's candidates, stage after stage, until one answers.
    pub(crate) async fn try_all(
        &self,
        plan: &RoutePlan,
        question: Question<'_>,
        options: &CallOptions,
        journal: &mut Journal,
    ) -> Result<Answered, CoordinatorError> {
        let mut last = None;
        for candidate in plan.stages.iter().flat_map(|stage| &stage.candidates) {
            let model =
                self.models.get(&candidate.model).ok_or_else(|| self.unknown_model(&candidate.model))?;
            let tried = vec![Tried::NotYet; model.places.len()];
            match self.try_model(model, tried, &plan.request_id, question, options, journal).await {
                Ok((place, established)) => {
                    return Ok(Answered {
                        model: Arc::clone(&candidate.model),
                        endpoint: Arc::clone(&place.endpoint),
                        established,
                    });
                }
                Err(failure) if failure.is_final => return Err(journal.failed(failure)),
                Err(failure) => last = Some(failure),
            }
        }
        match last {
            Some(failure) => Err(journal.failed(failure)),
            None => Err(CoordinatorError::Config {
                message: "the plan has no candidate; expected at least one model".to_owned(),
            }),
        }
    }

    /// Asks the endpoints of one model until one answers or none is left. `tried` says for each place how the request
    /// fared there so far.
    pub(crate) async fn try_model<'a>(
        &self,
        model: &'a Model,
        mut tried: Vec<Tried>,
        request_id: &Arc<str>,
        question: Question<'_>,
        options: &CallOptions,
        journal: &mut Journal,
    ) -> Result<(&'a Place, Established), Failure> {
        let tokens = question.estimated_tokens();
        let mut rng = fastrand::Rng::new();
        let mut last: Option<Failure> = None;
        loop {
            let now = Instant::now();
            let contenders: Vec<Contender> = model
                .places
                .iter()
                .zip(&tried)
                .map(|(place, &tried)| Contender {
                    availability: place.endpoint.availability(now),
                    cost: place.endpoint.cost(tokens, place.weight, now),
                    tried,
                })
                .collect();
            let (index, again) = match choose(&contenders, &mut rng, now) {
                Choice::Ask(index) => (index, false),
                Choice::AskAgain(index) => (index, true),
                Choice::Nobody(why) => return Err(last.unwrap_or_else(|| nobody(model, why))),
            };
            if !journal.attempts.is_empty() {
                let refused = !self.budget.lock().try_withdraw(now);
                if let (true, Some(failure)) = (refused, last.take()) {
                    tracing::warn!("retry budget used up: the failure is passed on");
                    return Err(failure);
                }
                self.counters.failover();
            }
            if again {
                tokio::time::sleep(AGAIN.delay(0, &mut rng)).await;
            }
            let place = &model.places[index];
            let others = contenders.iter().enumerate().any(|(i, c)| i != index && c.tried == Tried::NotYet);
            let in_flight = place.endpoint.begin(tokens, Instant::now());
            let begun = in_flight.started();
            let patience = patience(place, question.stream(), others);
            let asked = Asked {
                question,
                model: &place.model,
                max_output_tokens: model.max_output_tokens,
                request_id,
                patience,
                time_left: time_left(place, question.stream(), patience, options.deadline(), begun),
            };
            let result = attempt(in_flight, asked, &self.drains).await;
            journal.note(place.endpoint.name(), &place.model, begun, &result);
            match result {
                Ok(established) => return Ok((place, established)),
                Err(failed) => {
                    tried[index] = match tried[index] {
                        Tried::NotYet if failed.is_brief() => Tried::FailedBriefly,
                        _ => Tried::Finished,
                    };
                    if failed.failure.is_final {
                        return Err(failed.failure);
                    }
                    last = Some(failed.failure);
                }
            }
        }
    }

    fn unknown_model(&self, asked: &str) -> CoordinatorError {
        let mut near: Vec<(f64, &Arc<str>)> =
            self.models.keys().map(|name| (strsim::jaro_winkler(asked, name), name)).collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
        // Below 0.7 Jaro-Winkler finds likeness in any two words.
        let nearest =
            near.iter().filter(|(likeness, _)| *likeness >= 0.7).take(3).map(|(_, name)| Arc::clone(name));
        CoordinatorError::ModelNotFound { model: asked.to_owned(), nearest: nearest.collect() }
    }
}
