//! Bayesian optimisation with Gaussian processes.
//!
//! One model for the objective and one for each constraint. Hyperparameters are fitted again when enough was told since the last fit,
//! by the number of observations alone, and what was told in between is appended, so that a study that is replayed with its fits goes on
//! as the one that was interrupted.

mod belief;
mod doubt;

use serde::{Deserialize, Serialize};

use crate::gp::likelihood::{self, Logs};
use crate::gp::outcome::{Standardised, Tamed, standardised, tamed};
use crate::gp::{Acquisition, Below, Candidate, Effort, NotFinite, Posterior, maximise};
use crate::sampler::Observations;
use crate::space::{Point, Space};
use crate::stream::Stream;

/// Fitted hyperparameters, which a journal keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// How many observations they were fitted to.
    pub observations: usize,
    /// Their logarithms: of the objective, and of each constraint.
    pub logs: Vec<Logs>,
    /// Whether the objective was [tamed]. Fits that were written before this was a question had it so.
    #[serde(default = "always")]
    pub is_tamed: bool,
}

fn always() -> bool {
    true
}

/// What goes from one ask to the next.
#[derive(Debug, Clone, Default)]
pub struct Models {
    /// The last fit.
    pub fit: Option<Fit>,
    /// Made from the last fit; can be made again.
    posteriors: Vec<Posterior>,
}

/// Trials without a value of which the last so many are kept clear of: beyond that they cost more than they tell.
const FRUITLESS: usize = 64;
/// The best known points whose neighbours are looked at.
const ANCHORS: usize = 4;
/// Evaluations of the likelihood for a fit, from each start.
const FIT_EVALUATIONS: usize = 60;

/// After how many observations a fit to `n` is made anew.
fn refit_after(n: usize) -> usize {
    match n {
        0..50 => 1,
        50..100 => 2,
        100..200 => 5,
        200..300 => 10,
        _ => n / 12,
    }
}

impl Models {
    /// Takes a fit that was made before, from a journal.
    pub fn restore(&mut self, fit: Fit) {
        *self = Self { fit: Some(fit), posteriors: Vec::new() };
    }

    /// The best point to try next, and the fit where a new one was made. Needs at least one observation.
    ///
    /// # Errors
    /// [`NotFinite`] where the observations cannot be modelled.
    pub fn suggest(
        &mut self,
        space: &Space,
        known: &Observations,
        stream: &mut Stream,
    ) -> Result<(Vec<Point>, Option<Fit>), NotFinite> {
        let (plain, tamed) = (standardised(&known.objective).values, tamed(&known.objective));
        let constraints: Vec<_> = known.constraints.iter().map(|values| standardised(values)).collect();
        let new_fit = self.refit(known, &plain, tamed.as_ref(), &constraints);
        let is_tamed = self.fit.as_ref().is_some_and(|fit| fit.is_tamed);
        let objective = tamed.as_ref().filter(|_| is_tamed).map_or(&*plain, |tamed| &*tamed.values);
        let limited = constraints.iter().map(|outcome| &*outcome.values);
        let observed: Vec<&[f64]> = std::iter::once(objective).chain(limited).collect();
        self.condition(known, &observed)?;

        for (_, coordinates) in &known.pending {
            self.posteriors.iter_mut().for_each(|posterior| posterior.believe(coordinates));
        }
        for coordinates in known.fruitless.iter().rev().take(FRUITLESS) {
            self.posteriors.iter_mut().for_each(|posterior| posterior.believe(coordinates));
        }
        let found = self.search(space, known, &observed, &constraints, stream);
        self.posteriors.iter_mut().for_each(|posterior| posterior.truncate(known.len()));
        let points = found.iter().map(|candidate| space.decode(&candidate.coordinates)).collect();
        Ok((points, new_fit))
    }

    fn refit(
        &mut self,
        known: &Observations,
        plain: &[f64],
        tamed: Option<&Tamed>,
        constraints: &[Standardised],
    ) -> Option<Fit> {
        let n = known.len();
        let fits = |fit: &&Fit| {
            fit.logs.len() == 1 + constraints.len()
                && fit.observations <= n
                && fit.logs.iter().all(|logs| logs.len() == known.inputs.dimensions() + 2)
        };
        let last = self.fit.as_ref().filter(fits);
        if last.is_some_and(|fit| n < fit.observations + refit_after(fit.observations)) {
            return None;
        }
        // Other starts and the other form of the objective are tried as long as that is cheap and the likelihood has several tops.
        let often = if n < 100 { 10 } else { 20 };
        let (is_thorough, is_cheap) = (last.is_none() || n.is_multiple_of(often), n < 30);
        let start = likelihood::start(known.inputs.dimensions());
        let fitted = |place: usize, observed: &[f64], from_scratch: bool| {
            let before = last.and_then(|fit| fit.logs.get(place)).cloned();
            let fresh = (from_scratch || before.is_none()).then(|| start.clone());
            let starts: Vec<Logs> = before.into_iter().chain(fresh).collect();
            likelihood::fit(&known.inputs, observed, &starts, FIT_EVALUATIONS)
        };
        let was_tamed = last.is_none_or(|fit| fit.is_tamed);
        let (objective, is_tamed) = match tamed {
            // Taming makes noise uneven, so that it is for the model to say which it explains better.
            Some(tamed) if is_thorough || is_cheap => {
                let as_told = fitted(0, plain, is_cheap || !was_tamed);
                let drawn = fitted(0, &tamed.values, is_cheap || was_tamed);
                let is_tamed = drawn.1 + tamed.log_stretch > as_told.1;
                (if is_tamed { drawn.0 } else { as_told.0 }, is_tamed)
            }
            Some(tamed) if was_tamed => (fitted(0, &tamed.values, false).0, true),
            _ => (fitted(0, plain, is_thorough || is_cheap).0, false),
        };
        let limited = (1..).zip(constraints);
        let limited =
            limited.map(|(place, outcome)| fitted(place, &outcome.values, is_thorough || is_cheap).0);
        let logs = std::iter::once(objective).chain(limited).collect();
        let fit = Fit { observations: n, logs, is_tamed };
        self.restore(fit.clone());
        Some(fit)
    }

    fn condition(&mut self, known: &Observations, observed: &[&[f64]]) -> Result<(), NotFinite> {
        let Some(fit) = &self.fit else {
            return Err(NotFinite);
        };
        if self.posteriors.len() == observed.len() {
            for (posterior, observed) in self.posteriors.iter_mut().zip(observed) {
                posterior.extend(&known.inputs, observed);
            }
            return Ok(());
        }
        let models = fit.logs.iter().zip(observed);
        self.posteriors = models
            .map(|(logs, observed)| {
                let hyperparameters = likelihood::hyperparameters(logs);
                Posterior::new(hyperparameters, &known.inputs, fit.observations, observed)
            })
            .collect::<Result<_, _>>()?;
        Ok(())
    }

    fn search(
        &self,
        space: &Space,
        known: &Observations,
        observed: &[&[f64]],
        constraints: &[Standardised],
        stream: &mut Stream,
    ) -> Vec<Candidate> {
        let Some(((posterior, limited), objective)) = self.posteriors.split_first().zip(observed.first())
        else {
            return Vec::new();
        };
        let means = posterior.means_at_observations(objective);
        let feasible = means.iter().enumerate().filter(|(place, _)| known.violation(*place) <= 0.0);
        let best = feasible.map(|(_, mean)| *mean).min_by(f64::total_cmp);
        let limits = limited.iter().zip(constraints);
        let mut acquisition = Acquisition {
            objective: best.map(|limit| Below { posterior, limit }),
            constraints: limits
                .map(|(posterior, outcome)| Below { posterior, limit: outcome.place(0.0) })
                .collect(),
            caution: 1.0,
        };
        let anchors: Vec<Vec<f64>> =
            known.ranked().into_iter().take(ANCHORS).map(|place| known.inputs.point(place)).collect();
        let mut found = maximise(&acquisition, space, &anchors, Effort::default(), stream);
        let is_done = acquisition.objective.is_some()
            && found.first().is_some_and(|candidate| candidate.value < LITTLE.ln());
        if is_done
            && Self::is_doubted(known)
            && let Some(best) = anchors.first()
        {
            let mut others = self.doubted(space, known, observed, &acquisition, best);
            if !others.is_empty() {
                others.append(&mut found);
                return others;
            }
        }
        if is_done && !acquisition.constraints.is_empty() {
            acquisition.caution = CAUTIOUS;
            found = maximise(&acquisition, space, &anchors, Effort::default(), stream);
        }
        if let Some(best) = anchors.first().filter(|best| stalled(known, objective, best)) {
            // Stable: those that are elsewhere come first.
            found.sort_by_key(|candidate| distance(&candidate.coordinates, best) <= ELSEWHERE);
        }
        found
    }
}

/// Trials in a row beside the best point that have brought nothing before one is tried elsewhere.
const STALL: usize = 3;
/// In each coordinate, with the cube's side 1: what is beside the best point.
const BESIDE: f64 = 0.01;
/// The same: what is elsewhere.
const ELSEWHERE: f64 = 0.05;
/// In standard deviations of what was observed: what counts as nothing.
const NOTHING: f64 = 1e-3;
/// The same: what is little enough to look at limits and elsewhere.
const LITTLE: f64 = 1e-2;
/// The power of the chance to meet the constraints once nothing is expected any more. An optimum lies on a limit as a rule, and the
/// last digits of it cost a violation with every other trial; with 4 a fifth of all violations went and the best values stayed, more
/// cost digits.
const CAUTIOUS: f64 = 4.0;

/// The values as the model sees them.
fn objective(known: &Observations, is_tamed: bool) -> Vec<f64> {
    let drawn = is_tamed.then(|| tamed(&known.objective)).flatten();
    drawn.map_or_else(|| standardised(&known.objective).values, |tamed| tamed.values)
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// Whether the last trials were all beside the best point and brought nothing. A model that is wrong about the rest of the space and
/// nearly sure of it goes on like this for ever: there is always some improvement in the last digits.
fn stalled(known: &Observations, objective: &[f64], best: &[f64]) -> bool {
    let Some((before, last)) = objective.split_at_checked(objective.len().saturating_sub(STALL)) else {
        return false;
    };
    let least = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min);
    let beside = |place: usize| distance(&known.inputs.point(place), best) <= BESIDE;
    !before.is_empty() && least(before) - least(last) < NOTHING && (before.len()..objective.len()).all(beside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{Domain, Parameter};

    /// What the model takes for the better form of these values at 60 places.
    fn is_tamed(value: impl Fn(f64, &mut Stream) -> f64) -> bool {
        let space = Space::new(vec![Parameter::new("x", Domain::float(0.0, 1.0))]).unwrap();
        let (mut known, mut stream) = (Observations::new(&space, 0), Stream::new(3, 0));
        for trial in 0..60 {
            let x = (trial as f64 + 0.5) / 60.0;
            known.ask(trial, &space, &space.sample(&[x]));
            let value = value(x, &mut stream);
            known.tell(trial, Some((value, &[])));
        }
        let (_, fit) = Models::default().suggest(&space, &known, &mut stream).unwrap();
        fit.unwrap().is_tamed
    }

    #[test]
    fn values_are_drawn_together_where_that_makes_them_smooth_and_not_where_they_have_even_noise() {
        let steep = |x: f64| (3.0 * (5.0 * x).sin()).exp();
        assert!(is_tamed(|x, _| steep(x)));
        assert!(is_tamed(|x, noise| steep(x) * (0.2 * noise.normal()).exp()));
        assert!(!is_tamed(|x, noise| steep(x) + 2.0 * noise.normal()));
    }

    #[test]
    fn a_fit_that_was_written_before_taming_was_a_question_had_it() {
        let fit: Fit = serde_json::from_str(r#"{"observations": 5, "logs": [[0.0, 0.0, -7.0]]}"#).unwrap();
        assert!(fit.is_tamed);
    }
}
