//! The search of one request for somebody to ask, from one attempt to the next.

use std::time::{Duration, Instant};

use resilience::Backoff;

use crate::board::Availability;
use crate::call::CallOptions;
use crate::classify::FailedAttempt;
use crate::error::Failure;
use crate::execution::Core;
use crate::journal::Journal;
use crate::line::Permit;
use crate::place::{Model, Place, nobody, overloaded};
use crate::question::Question;
use crate::select::{Choice, Contender, Tried, Way, choose};

/// Before an endpoint that failed a moment ago is asked again by the same request: long enough for a process to be
/// restarted or a listen queue to drain, short enough not to be noticed.
const AGAIN: Backoff = Backoff { base: Duration::from_millis(100), max: Duration::from_secs(1) };

pub(crate) struct Search<'a> {
    model: &'a Model,
    way: Way<'a>,
    tokens: u64,
    /// How the request fared at each place.
    tried: Vec<Tried>,
    contenders: Vec<Contender>,
    last: Option<Failure>,
    rng: fastrand::Rng,
}

/// Whom to ask now.
pub(crate) struct Found<'a> {
    pub(crate) index: usize,
    pub(crate) place: &'a Place,
    pub(crate) permit: Permit,
    /// Whether there is somebody else to go to.
    pub(crate) others: bool,
}

impl<'a> Search<'a> {
    /// `tried` says for each place how the request fared there before.
    pub(crate) fn new(model: &'a Model, tried: Vec<Tried>, question: Question<'_>) -> Self {
        Self {
            model,
            way: model.way(question),
            tokens: question.estimated_tokens(),
            contenders: Vec::with_capacity(tried.len()),
            tried,
            last: None,
            rng: fastrand::Rng::new(),
        }
    }

    /// The next place to ask, with room for this request, which it may have waited for.
    ///
    /// # Errors
    /// The last failure where nobody is left or the retry budget is used up; else why nobody can be asked.
    pub(crate) async fn next(
        &mut self,
        core: &Core,
        options: &CallOptions,
        journal: &mut Journal,
    ) -> Result<Found<'a>, Failure> {
        let mut is_paid = journal.attempts.is_empty();
        // A place that was waited for.
        let mut held: Option<(usize, Permit)> = None;
        loop {
            let now = Instant::now();
            let held_at = held.as_ref().map(|(index, _)| *index);
            self.contenders.clear();
            self.contenders.extend(self.model.contenders(&self.tried, held_at, self.tokens, now));
            let choice = choose(&self.contenders, self.way, &mut self.rng, now);
            if let Choice::Nobody(why) = choice {
                return Err(self.last.take().unwrap_or_else(|| nobody(self.model, why)));
            }
            if !is_paid {
                is_paid = true;
                let refused = !core.budget.lock().try_withdraw(now);
                if let (true, Some(failure)) = (refused, self.last.take()) {
                    tracing::warn!("retry budget used up: the failure is passed on");
                    return Err(failure);
                }
            }
            let asked = match choice {
                Choice::Ask(index) => Some(index),
                Choice::AskAgain(index) => {
                    if held_at != Some(index) {
                        let pause = AGAIN.delay(0, &mut self.rng);
                        tokio::time::sleep(pause).await;
                        journal.waited(pause);
                    }
                    Some(index)
                }
                Choice::Wait | Choice::Nobody(_) => None,
            };
            if let Some(index) = asked
                && let Some((contender, place)) = self.contenders.get(index).zip(self.model.places.get(index))
            {
                let own = held.take().filter(|(at, _)| *at == index).map(|(_, permit)| permit);
                if let Some(permit) = own.or_else(|| place.endpoint.line.try_enter()) {
                    let mut rest = self.contenders.iter().enumerate();
                    let others = rest.any(|(i, c)| i != index && c.tried == Tried::NotYet);
                    return Ok(Found { index, place, permit, others });
                }
                // Somebody else was faster.
                if contender.standing.availability == Availability::Ready {
                    continue;
                }
            }
            // What is known of the endpoints may change meanwhile, so the choice is made anew.
            drop(held.take());
            held = self.wait(asked, options, journal).await;
        }
    }

    /// Waits for a place where it was chosen to ask, or wherever it is worth it. `None` if there was none; then nobody
    /// waits there again.
    async fn wait(
        &mut self,
        asked: Option<usize>,
        options: &CallOptions,
        journal: &mut Journal,
    ) -> Option<(usize, Permit)> {
        let begun = Instant::now();
        let (model, contenders) = (self.model, &self.contenders);
        let waited_for = |(index, contender): &(usize, &Contender)| match asked {
            Some(asked) => *index == asked,
            None => contender.is_worth_a_wait(),
        };
        let indices = contenders.iter().enumerate().filter(waited_for).map(|(index, _)| index);
        let left = options.deadline().map(|(at, _)| at.saturating_duration_since(begun));
        let placed = model.wait(indices.clone(), left).await;
        journal.waited(begun.elapsed());
        match placed {
            Ok(placed) => Some(placed),
            Err(why) => {
                // How an attempt failed says more than that it cannot be repeated.
                if asked.is_none() || self.last.is_none() {
                    let places = indices.clone().filter_map(|index| model.places.get(index));
                    self.last = Some(overloaded(places, why));
                }
                for index in indices {
                    if let Some(tried) = self.tried.get_mut(index) {
                        *tried = Tried::TurnedAway;
                    }
                }
                None
            }
        }
    }

    /// The attempt at this place failed. Gives the failure back if every other place would say the same.
    pub(crate) fn failed(&mut self, index: usize, failed: FailedAttempt) -> Option<Failure> {
        if let Some(tried) = self.tried.get_mut(index) {
            *tried = match *tried {
                Tried::NotYet if failed.is_brief() => Tried::FailedBriefly,
                _ => Tried::Finished,
            };
        }
        if failed.failure.is_final {
            return Some(failed.failure);
        }
        // That one endpoint's dialect has no word for something is not why the others failed.
        let is_refusal = failed.failure.code == "UAT_INVALID_INPUT";
        if !is_refusal || self.last.is_none() {
            self.last = Some(failed.failure);
        }
        None
    }
}
