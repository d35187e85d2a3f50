//! The loop that carries out a plan: whom to ask, whom to ask next, and when to stop.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use resilience::RetryBudget;
use route_plan::RoutePlan;
use tokio_util::task::TaskTracker;

use crate::admission::{Admission, Admitted};
use crate::attempt::{Established, attempt};
use crate::call::CallOptions;
use crate::classify::{FailedAttempt, failure, neutral};
use crate::endpoint::Endpoint;
use crate::error::{CoordinatorError, Failure};
use crate::journal::Journal;
use crate::place::{Model, Place, patience, time_left};
use crate::question::{Asked, Question};
use crate::search::{Found, Search};
use crate::select::Tried;
use crate::stats::Counters;

/// What requests share: who can be asked, and what has been learnt.
pub(crate) struct Core {
    pub(crate) endpoints: Vec<Arc<Endpoint>>,
    pub(crate) models: HashMap<Arc<str>, Model>,
    pub(crate) budget: Mutex<RetryBudget>,
    pub(crate) counters: Arc<Counters>,
    /// Who has a say before endpoints are asked that need memory of GPUs.
    pub(crate) admission: Option<Arc<dyn Admission>>,
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
            let model = self.model(&candidate.model)?;
            let tried = vec![Tried::NotYet; model.places.len()];
            journal.bill.turn_to(&candidate.model);
            match self.try_model(model, tried, &plan.request_id, question, options, journal).await {
                Ok((place, established)) => {
                    return Ok(Answered {
                        model: Arc::clone(&candidate.model),
                        endpoint: Arc::clone(&place.endpoint),
                        established,
                    });
                }
                // What is too long for one model may not be for the next.
                Err(failure) if failure.is_final && failure.code != "UAT_CONTEXT_LENGTH_EXCEEDED" => {
                    return Err(journal.failed(failure));
                }
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
        tried: Vec<Tried>,
        request_id: &Arc<str>,
        question: Question<'_>,
        options: &CallOptions,
        journal: &mut Journal,
    ) -> Result<(&'a Place, Established), Failure> {
        let tokens = question.estimated_tokens();
        let mut search = Search::new(model, tried, question);
        loop {
            let Found { index, place, permit, others } = search.next(self, options, journal).await?;
            if !journal.attempts.is_empty() {
                self.counters.failover();
            }
            journal.bill.begin(question.stream());
            let found = Instant::now();
            let admitted = match self.admitted(place, options).await {
                Ok(admitted) => admitted,
                Err(refused) => {
                    let result = Err(refused);
                    journal.note(place.endpoint.name(), &place.model, found, &result);
                    match result.err().and_then(|refused| search.failed(index, refused)) {
                        Some(failure) => return Err(failure),
                        None => continue,
                    }
                }
            };
            let begun = if admitted.is_some() { Instant::now() } else { found };
            journal.waited(begun.saturating_duration_since(found));
            let in_flight = place.endpoint.begin(permit, tokens, begun).timed(&place.pace).holding(admitted);
            let patience = patience(place, question.stream(), others);
            let trace = options.trace.as_ref().map(|trace| trace.of_attempt(journal.attempts.len()));
            let asked = Asked {
                question,
                model: &place.model,
                max_output_tokens: model.max_output_tokens,
                request_id,
                trace: trace.as_ref(),
                patience,
                time_left: time_left(place, question.stream(), patience, options.deadline(), begun),
                bill: &journal.bill,
            };
            let result = attempt(in_flight, asked, &self.drains).await;
            journal.note(place.endpoint.name(), &place.model, begun, &result);
            match result {
                Ok(established) => return Ok((place, established)),
                Err(failed) => {
                    if let Some(failure) = search.failed(index, failed) {
                        return Err(failure);
                    }
                }
            }
        }
    }

    /// What a request holds of a GPU while this place is asked; `None`: the place needs nothing.
    async fn admitted(
        &self,
        place: &Place,
        options: &CallOptions,
    ) -> Result<Option<Admitted>, FailedAttempt> {
        let config = &place.endpoint.config;
        let Some(admission) = self.admission.as_ref().filter(|admission| admission.concerns(config)) else {
            return Ok(None);
        };
        let patience = Duration::from_millis(config.queue_timeout_ms);
        let left = options.deadline().map(|(at, _)| at.saturating_duration_since(Instant::now()));
        let patience = left.map_or(patience, |left| left.min(patience));
        admission.admit(config, &place.model, patience).await.map(Some).map_err(|refused| {
            neutral(Failure {
                retryable: refused.retryable,
                ..failure(&config.name, refused.code, refused.message)
            })
        })
    }

    /// The model of this public name.
    pub(crate) fn model(&self, name: &str) -> Result<&Model, CoordinatorError> {
        self.models.get(name).ok_or_else(|| self.unknown_model(name))
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
