//! What can be read of a study.

use crate::sampler::{self, Observations, SamplerKind};
use crate::space::Space;
use crate::study::{State, Study, StudyError, StudyOptions, Trial, TrialDocument};

impl Study {
    /// What it was made from; its space has the choices as they are now.
    pub fn options(&self) -> &StudyOptions {
        &self.options
    }

    /// What can be tried.
    pub fn space(&self) -> &Space {
        &self.options.space
    }

    /// The space as it was when the study was made.
    pub fn created_with(&self) -> &Space {
        &self.created_with
    }

    /// All trials, by number.
    pub fn trials(&self) -> impl DoubleEndedIterator<Item = &Trial> + ExactSizeIterator + Clone {
        self.trials.iter().map(|trial| &**trial)
    }

    /// A trial by its number.
    ///
    /// # Errors
    /// [`StudyError::UnknownTrial`].
    pub fn trial(&self, trial: u64) -> Result<&Trial, StudyError> {
        let place = usize::try_from(trial).ok();
        place
            .and_then(|place| self.trials.get(place))
            .map(|trial| &**trial)
            .ok_or_else(|| self.unknown(trial))
    }

    /// A trial in the words of `api.d.ts`.
    pub fn document(&self, trial: &Trial) -> TrialDocument {
        let told = |numbers: &Vec<f64>| (!numbers.is_empty()).then(|| numbers.clone());
        TrialDocument {
            id: trial.id,
            parameters: self.options.space.values(&trial.point),
            values: told(&trial.values),
            constraint_values: told(&trial.constraint_values),
            reports: trial.reports.clone(),
            state: trial.state,
            started_at: trial.started_at,
            ended_at: trial.ended_at,
        }
    }

    /// The best of the complete trials that meet all constraints; the first of equals. Where the Gaussian process has found noise of
    /// more than a tenth of how far values lie apart it is the trial of which that expects most, since the best value is the luckiest
    /// one then; its values are those that it was told. After the first call it costs nothing until something happens to the study.
    pub fn best(&self) -> Option<&Trial> {
        let found = *self.best.get_or_init(|| self.believed_best().or_else(|| self.observed_best()));
        found.and_then(|trial| self.trial(trial).ok())
    }

    fn observed_best(&self) -> Option<u64> {
        let feasible = |trial: &&Trial| trial.state == State::Complete && trial.violation() <= 0.0;
        self.trials().filter(feasible).min_by(|a, b| self.order(a, b)).map(|trial| trial.id)
    }

    fn believed_best(&self) -> Option<u64> {
        let beliefs = self.models.beliefs(&self.known)?;
        let trials = self.known.trials.iter().zip(beliefs).enumerate();
        let feasible = trials.filter(|(place, _)| self.known.violation(*place) <= 0.0);
        feasible.min_by(|a, b| a.1.1.total_cmp(&b.1.1)).map(|(_, (trial, _))| *trial)
    }

    /// The better of two complete trials is less: by how much they violate constraints, then by value.
    pub(crate) fn order(&self, a: &Trial, b: &Trial) -> std::cmp::Ordering {
        let value = |trial: &Trial| self.sign() * trial.values.first().copied().unwrap_or(f64::INFINITY);
        a.violation().total_cmp(&b.violation()).then(value(a).total_cmp(&value(b)))
    }

    /// The complete trials whose value and violations are those of [`Self::best`]: with one objective, all that are as good.
    pub fn pareto_front(&self) -> Vec<&Trial> {
        let Some(best) = self.best() else { return Vec::new() };
        self.trials()
            .filter(|trial| trial.state == State::Complete && self.order(trial, best).is_eq())
            .collect()
    }

    /// The complete trials, the best first: those that meet all constraints by value, then the others by how much they violate.
    pub fn ranked(&self) -> Vec<&Trial> {
        let mut trials: Vec<&Trial> = self.trials().filter(|trial| trial.state == State::Complete).collect();
        trials.sort_by(|a, b| self.order(a, b));
        trials
    }

    /// What its models are told.
    pub(crate) fn known(&self) -> &Observations {
        &self.known
    }

    /// Which sampler chooses now, and why.
    pub fn sampler(&self) -> sampler::Choice {
        match self.options.sampler {
            SamplerKind::Auto => sampler::choose(&self.options.space, self.known.len()),
            sampler => sampler::Choice { sampler, reason: "the study's options name it".to_owned() },
        }
    }
}
