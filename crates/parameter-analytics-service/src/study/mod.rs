//! A study: what is tried, what came of it, and what is tried next.
//!
//! A pure state machine. Each change is an [`Event`]; [`Study::take_events`] hands them out, to be written before anybody is answered,
//! and [`Study::replay`] makes the study again, which then goes on as if nothing had happened: the same points, bit for bit, with the
//! same build and processor.

mod error;
mod event;
mod options;
mod prune;
mod trial;

use std::sync::{Arc, OnceLock};

pub use error::StudyError;
pub use event::Event;
pub use options::{Direction, PrunerKind, StudyOptions};
pub use trial::{State, Trial, TrialDocument};

use crate::sampler::{self, Models, Observations, SamplerKind};
use crate::space::{Space, Value};

/// Heartbeats that may be missed: one may be late, two are not.
const MISSED: u64 = 2;
/// Trials of one ask; each costs as much as a single one.
const LARGEST_BATCH: usize = 1_000;

/// See the module documentation. Times are ms since 1970, given by the caller.
#[derive(Debug, Clone)]
pub struct Study {
    options: StudyOptions,
    /// The space as it was at first.
    created_with: Arc<Space>,
    // Shared, so that copying a study costs little beside asking it.
    trials: Vec<Arc<Trial>>,
    known: Observations,
    models: Arc<Models>,
    /// The best trial, once it was asked for.
    best: OnceLock<Option<u64>>,
    events: Vec<Event>,
}

/// What comes of a trial.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// One value for each objective, and one for each constraint.
    Values(Vec<f64>, Vec<f64>),
    /// It failed, or was ended early where the pruner had said so.
    Nothing,
}

impl Study {
    /// A study without trials.
    ///
    /// # Errors
    /// [`StudyError::Option`], [`StudyError::Unsupported`].
    pub fn create(options: StudyOptions, at: u64) -> Result<Self, StudyError> {
        let mut study = Self::empty(options.clone())?;
        study.events.push(Event::Created { options, at });
        Ok(study)
    }

    fn empty(options: StudyOptions) -> Result<Self, StudyError> {
        options.check()?;
        let known = Observations::new(&options.space, options.constraints.len());
        let created_with = Arc::new(options.space.clone());
        Ok(Self {
            options,
            created_with,
            trials: Vec::new(),
            known,
            models: Arc::default(),
            best: OnceLock::new(),
            events: Vec::new(),
        })
    }

    /// The study to which these events happened.
    ///
    /// # Errors
    /// [`StudyError::Replay`] names the event that does not fit.
    pub fn replay(events: impl IntoIterator<Item = Event>) -> Result<Self, StudyError> {
        let mut numbered = (1..).zip(events);
        let fail = |number, problem: String| StudyError::Replay { number, problem };
        let mut study = match numbered.next() {
            Some((_, Event::Created { options, .. })) => {
                Self::empty(options).map_err(|error| fail(1, error.to_string()))?
            }
            _ => return Err(fail(1, "a study begins with `created`".to_owned())),
        };
        for (number, event) in numbered {
            study.apply(&event).map_err(|error| fail(number, error.to_string()))?;
        }
        Ok(study)
    }

    /// What happened since the last call; to be kept before the answer of what caused it is given.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// The next trials, all different. Those whose workers have not been heard of are given up first.
    ///
    /// # Errors
    /// [`StudyError::Option`] for none, or for more than 1,000 at once.
    pub fn ask(&mut self, count: usize, at: u64) -> Result<Vec<u64>, StudyError> {
        if !(1..=LARGEST_BATCH).contains(&count) {
            let problem = format!("is {count}; ask for 1 to {LARGEST_BATCH} trials at once");
            return Err(StudyError::Option { option: "count", problem });
        }
        self.reclaim(at)?;
        let first = self.trials.len() as u64;
        for trial in (first..).take(count) {
            let Self { options, known, models, .. } = self;
            let models = Arc::make_mut(models);
            let suggestion =
                sampler::suggest(options.sampler, &options.space, known, models, options.seed, trial);
            let parameters = options.space.values(&suggestion.point);
            self.happen(Event::Asked { trial, parameters, by: suggestion.by, fit: suggestion.fit, at })?;
        }
        Ok((first..self.trials.len() as u64).collect())
    }

    /// Ends a trial.
    ///
    /// # Errors
    /// [`StudyError::UnknownTrial`], [`StudyError::AlreadyEnded`], [`StudyError::Count`], [`StudyError::NotFinite`]. Nothing has changed
    /// then.
    pub fn tell(&mut self, trial: u64, outcome: Outcome, at: u64) -> Result<(), StudyError> {
        let event = match outcome {
            Outcome::Values(values, constraint_values) => {
                Event::Told { trial, state: State::Complete, values, constraint_values, at }
            }
            Outcome::Nothing => {
                let state = if self.should_prune(trial)? { State::Pruned } else { State::Failed };
                Event::Told { trial, state, values: Vec::new(), constraint_values: Vec::new(), at }
            }
        };
        self.happen(event)
    }

    /// Takes a value of a trial that is on its way, at a step of its own counting; the last one at a step counts.
    ///
    /// # Errors
    /// As [`Self::tell`].
    pub fn report(&mut self, trial: u64, step: u64, value: f64, at: u64) -> Result<(), StudyError> {
        self.happen(Event::Reported { trial, step, value, at })
    }

    /// Whether a running trial is worth no more effort, by what it reported; always `false` for one that has ended.
    ///
    /// # Errors
    /// [`StudyError::UnknownTrial`].
    pub fn should_prune(&self, trial: u64) -> Result<bool, StudyError> {
        let own = self.trial(trial)?;
        if own.state != State::Running {
            return Ok(false);
        }
        let others = self.trials.iter().map(|trial| &**trial).filter(|other| other.id != trial);
        Ok(match self.options.pruner {
            PrunerKind::None => false,
            PrunerKind::Median => {
                prune::by_median(own, others.filter(|other| other.state == State::Complete), self.sign())
            }
            PrunerKind::SuccessiveHalving => prune::by_halving(own, others, self.sign()),
        })
    }

    /// The worker of a trial lives.
    ///
    /// # Errors
    /// [`StudyError::UnknownTrial`], [`StudyError::AlreadyEnded`]: it was given up, and its worker can stop.
    pub fn heartbeat(&mut self, trial: u64, at: u64) -> Result<(), StudyError> {
        self.happen(Event::Beat { trial, at })
    }

    /// Gives up trials of which nothing was heard for two heartbeats; their numbers. They count as failed.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub fn reclaim(&mut self, at: u64) -> Result<Vec<u64>, StudyError> {
        let Some(beat) = self.options.heartbeat_ms else {
            return Ok(Vec::new());
        };
        let silent = |trial: &&Arc<Trial>| {
            trial.state == State::Running && at.saturating_sub(trial.seen_at) > beat.saturating_mul(MISSED)
        };
        let gone: Vec<u64> = self.trials.iter().filter(silent).map(|trial| trial.id).collect();
        for &trial in &gone {
            let (values, constraint_values) = (Vec::new(), Vec::new());
            self.happen(Event::Told { trial, state: State::Failed, values, constraint_values, at })?;
        }
        Ok(gone)
    }

    /// Adds a choice to a categorical parameter, or brings a retired one back.
    ///
    /// # Errors
    /// [`StudyError::Space`].
    pub fn add_choice(&mut self, parameter: &str, choice: Value) -> Result<(), StudyError> {
        self.happen(Event::ChoiceAdded { parameter: parameter.to_owned(), choice })
    }

    /// Tries a choice no more; what was told about it still counts.
    ///
    /// # Errors
    /// [`StudyError::Space`].
    pub fn retire_choice(&mut self, parameter: &str, choice: Value) -> Result<(), StudyError> {
        self.happen(Event::ChoiceRetired { parameter: parameter.to_owned(), choice })
    }

    /// Takes in what happened to the study elsewhere.
    ///
    /// # Errors
    /// [`StudyError`] where it does not follow from what happened before; nothing has changed then.
    pub fn follow(&mut self, event: &Event) -> Result<(), StudyError> {
        self.apply(event)
    }

    /// Adds a trial that was made elsewhere, with what came of it; its number here.
    ///
    /// # Errors
    /// [`StudyError::Space`] where it is no point of the space, and those of [`Self::tell`]. Nothing has changed then.
    pub fn add(&mut self, trial: &TrialDocument) -> Result<u64, StudyError> {
        let number = self.trials.len() as u64;
        let (by, at) = (SamplerKind::Given, trial.started_at);
        // What could be refused is tried first, so that half a trial is never there.
        let mut events =
            vec![Event::Asked { trial: number, parameters: trial.parameters.clone(), by, fit: None, at }];
        let report = |&(step, value): &(u64, f64)| Event::Reported { trial: number, step, value, at };
        events.extend(trial.reports.iter().map(report));
        if trial.state != State::Running {
            let (values, constraint_values) = match trial.state {
                State::Complete => (trial.values.clone(), trial.constraint_values.clone()),
                _ => (None, None),
            };
            events.push(Event::Told {
                trial: number,
                state: trial.state,
                values: values.unwrap_or_default(),
                constraint_values: constraint_values.unwrap_or_default(),
                at: trial.ended_at.unwrap_or(at),
            });
        }
        let mut next = self.clone();
        events.iter().try_for_each(|event| next.apply(event))?;
        next.events.extend(events);
        *self = next;
        Ok(number)
    }

    fn happen(&mut self, event: Event) -> Result<(), StudyError> {
        self.apply(&event)?;
        self.events.push(event);
        Ok(())
    }

    /// All of an event, or an error and nothing of it.
    fn apply(&mut self, event: &Event) -> Result<(), StudyError> {
        // Heartbeats and the like change neither values nor what is expected.
        if matches!(event, Event::Asked { fit: Some(_), .. } | Event::Told { .. }) {
            self.best = OnceLock::new();
        }
        match event {
            Event::Created { .. } => Err(StudyError::Option { option: "name", problem: "exists".to_owned() }),
            Event::Asked { trial, parameters, by, fit, at } => {
                if *trial != self.trials.len() as u64 {
                    return Err(self.unknown(*trial));
                }
                let point = self.options.space.point(parameters)?;
                self.known.ask(*trial, &self.options.space, &point);
                if let Some(fit) = fit
                    && self.models.fit.as_ref() != Some(fit)
                {
                    Arc::make_mut(&mut self.models).restore(fit.clone());
                }
                self.trials.push(Arc::new(Trial {
                    id: *trial,
                    point,
                    by: *by,
                    state: State::Running,
                    values: Vec::new(),
                    constraint_values: Vec::new(),
                    reports: Vec::new(),
                    started_at: *at,
                    seen_at: *at,
                    ended_at: None,
                }));
                Ok(())
            }
            Event::Told { trial, state, values, constraint_values, at } => {
                let (own, sign) = (self.running(*trial)?.id, self.sign());
                let told = match state {
                    State::Complete => {
                        self.check_numbers(own, "values", values, self.options.directions.len())?;
                        let constraints = self.options.constraints.len();
                        self.check_numbers(own, "constraint values", constraint_values, constraints)?;
                        values.first().map(|value| (sign * value, &**constraint_values))
                    }
                    _ => None,
                };
                self.known.tell(own, told);
                let trial = self.running_mut(own)?;
                (trial.state, trial.seen_at, trial.ended_at) = (*state, *at, Some(*at));
                trial.values.clone_from(values);
                trial.constraint_values.clone_from(constraint_values);
                Ok(())
            }
            Event::Reported { trial, step, value, at } => {
                self.running(*trial)?;
                self.check_numbers(*trial, "report", &[*value], 1)?;
                let trial = self.running_mut(*trial)?;
                trial.seen_at = trial.seen_at.max(*at);
                let place = trial.reports.partition_point(|(before, _)| before < step);
                match trial.reports.get_mut(place) {
                    Some(report) if report.0 == *step => report.1 = *value,
                    _ => trial.reports.insert(place, (*step, *value)),
                }
                Ok(())
            }
            Event::Beat { trial, at } => {
                let trial = self.running_mut(*trial)?;
                trial.seen_at = trial.seen_at.max(*at);
                Ok(())
            }
            Event::ChoiceAdded { parameter, choice } => {
                Ok(self.options.space.add_choice(parameter, choice.clone())?)
            }
            Event::ChoiceRetired { parameter, choice } => {
                Ok(self.options.space.retire_choice(parameter, choice)?)
            }
        }
    }

    fn check_numbers(
        &self,
        trial: u64,
        what: &'static str,
        numbers: &[f64],
        expected: usize,
    ) -> Result<(), StudyError> {
        if numbers.len() != expected {
            return Err(StudyError::Count { trial, what, expected, got: numbers.len() });
        }
        match numbers.iter().position(|number| !number.is_finite()) {
            None => Ok(()),
            Some(place) => {
                let named = self.options.constraints.get(place).filter(|_| what == "constraint values");
                let what = named.map_or_else(|| what.to_owned(), |name| format!("constraint `{name}`"));
                let value = numbers.get(place).copied().unwrap_or(f64::NAN);
                Err(StudyError::NotFinite { trial, value, what })
            }
        }
    }

    fn unknown(&self, trial: u64) -> StudyError {
        let count = self.trials.len() as u64;
        StudyError::UnknownTrial { study: Arc::clone(&self.options.name), trial, count }
    }

    fn running(&self, trial: u64) -> Result<&Trial, StudyError> {
        let own = self.trial(trial)?;
        match own.state {
            State::Running => Ok(own),
            state => Err(StudyError::AlreadyEnded { trial, state }),
        }
    }

    fn running_mut(&mut self, trial: u64) -> Result<&mut Trial, StudyError> {
        let place = self.running(trial)?.id;
        let unknown = self.unknown(place);
        let own = usize::try_from(place).ok().and_then(|place| self.trials.get_mut(place));
        own.map(Arc::make_mut).ok_or(unknown)
    }

    /// 1 where small values are good, -1 where large ones are.
    fn sign(&self) -> f64 {
        if self.options.directions.first() == Some(&Direction::Maximize) { -1.0 } else { 1.0 }
    }
}

#[cfg(test)]
mod noise;
mod read;
#[cfg(test)]
mod robust;
#[cfg(test)]
mod tests;
