//! What figures need to know of a study, found once.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::report::scale::Scale;
use crate::report::text;
use crate::space::Parameter;
use crate::study::{Direction, State, Study, Trial};

/// See the module documentation.
pub(super) struct View<'a> {
    pub(super) study: &'a Study,
    pub(super) now_ms: u64,
    /// The complete trials, by number.
    pub(super) complete: Vec<&'a Trial>,
    /// The complete trials, the best first.
    pub(super) ranked: Vec<&'a Trial>,
    /// The best of those that meet all constraints.
    pub(super) best: Option<&'a Trial>,
    /// Of each parameter, in the order of the space.
    pub(super) importance: Vec<(Arc<str>, f64)>,
    /// Where values lie.
    pub(super) values: Values,
}

/// The axis of values, which all figures share.
pub(super) struct Values {
    /// Of numbers.
    pub(super) scale: Scale,
    /// How many complete trials lie beyond its end.
    pub(super) beyond: usize,
}

/// The worst trials are left to the axis's edge where they would take more than so many times the place of the other nine tenths.
const STRETCH: f64 = 3.0;
/// Values span more than so many decades before the axis counts ratios.
const DECADES: f64 = 2.0;

impl<'a> View<'a> {
    pub(super) fn new(study: &'a Study, now_ms: u64) -> Self {
        let is_complete = |trial: &&Trial| trial.state == State::Complete && !trial.values.is_empty();
        let complete: Vec<&Trial> = study.trials().filter(is_complete).collect();
        let mut values: Vec<f64> = complete.iter().map(|trial| value(trial)).collect();
        values.sort_by(f64::total_cmp);
        if is_maximised(study) {
            values.reverse();
        }
        Self {
            study,
            now_ms,
            best: study.best(),
            importance: study.importance(),
            values: Values::of(&values),
            complete,
            ranked: study.ranked(),
        }
    }

    /// Each parameter with its place, the most important ones at most, in the order of the space.
    pub(super) fn foremost(&self, most: usize) -> Vec<(usize, &'a Parameter)> {
        let mut places: Vec<usize> = (0..self.importance.len()).collect();
        let share = |place: usize| self.importance.get(place).map_or(0.0, |(_, share)| *share);
        places.sort_by(|a, b| share(*b).total_cmp(&share(*a)));
        places.truncate(most);
        places.sort_unstable();
        let parameters = self.study.space().parameters();
        places.into_iter().filter_map(|place| Some((place, parameters.get(place)?))).collect()
    }

    /// What a figure says where it leaves parameters out.
    pub(super) fn left_out(&self, shown: usize) -> Option<String> {
        let all = self.importance.len();
        (shown < all).then(|| format!("The {shown} most important of {all} parameters are shown."))
    }

    /// What a figure says where values lie beyond its axis.
    pub(super) fn beyond(&self) -> Option<String> {
        let (verb, is) = if self.values.beyond == 1 { ("lies", "is") } else { ("lie", "are") };
        (self.values.beyond > 0).then(|| {
            format!(
                "{} {verb} beyond the end of the axis of values and {is} drawn on its edge.",
                text::trials(self.values.beyond)
            )
        })
    }

    /// An even choice of the trials, `most` of them where there are more, and with them a quarter as many that were the best so far: the last
    /// of these, since in a study that gets better with every trial they are all.
    pub(super) fn thinned(&self, trials: &[&'a Trial], most: usize) -> (Vec<&'a Trial>, Option<String>) {
        if trials.len() <= most {
            return (trials.to_vec(), None);
        }
        let last = self.improvements().into_iter().rev().take(most / 4);
        let keep: BTreeSet<u64> = last.map(|trial| trial.id).collect();
        let every = trials.len() as f64 / most as f64;
        let mut due = 0.0;
        let mut place = 0.0;
        let chosen = trials.iter().filter(|trial| {
            let is_due = place >= due;
            due += if is_due { every } else { 0.0 };
            place += 1.0;
            is_due || keep.contains(&trial.id)
        });
        let chosen: Vec<&Trial> = chosen.copied().collect();
        let note = format!(
            "{} of {} are drawn: an even choice, and the last that were the best so far.",
            text::count(chosen.len()),
            text::trials(trials.len())
        );
        (chosen, Some(note))
    }

    /// The trials that were the best when they came.
    pub(super) fn improvements(&self) -> Vec<&'a Trial> {
        let mut best: Option<&Trial> = None;
        let feasible = self.complete.iter().filter(|trial| trial.violation() <= 0.0);
        feasible
            .filter(|trial| {
                let is_better = best.is_none_or(|best| self.study.order(trial, best).is_lt());
                best = if is_better { Some(trial) } else { best };
                is_better
            })
            .copied()
            .collect()
    }

    /// `Value`, or what else the vertical axis of values has to say.
    pub(super) fn value_title(&self) -> String {
        let better = if is_maximised(self.study) { "higher" } else { "lower" };
        let log = if matches!(self.values.scale, Scale::Log { .. }) { ", logarithmic" } else { "" };
        format!("value ({better} is better{log})")
    }

    /// A trial in a hover text.
    pub(super) fn hover(&self, trial: &Trial) -> String {
        let mut hover = format!("trial {}: {}", trial.id, outcome(trial));
        if trial.violation() > 0.0 {
            hover.push_str(&format!(", violates constraints by {}", text::number(trial.violation())));
        }
        hover
    }
}

impl Values {
    /// Of values, the best first.
    fn of(values: &[f64]) -> Self {
        let at = |share: f64| values.get(((values.len().max(1) - 1) as f64 * share) as usize).copied();
        let (Some(best), Some(most), Some(worst)) = (at(0.0), at(0.9), at(1.0)) else {
            return Self { scale: Scale::linear(0.0, 1.0), beyond: 0 };
        };
        let (low, high) = (best.min(worst), best.max(worst));
        if low > 0.0 && best.min(most) * 10f64.powf(DECADES) < best.max(most) {
            return Self { scale: Scale::Log { low, high }, beyond: 0 };
        }
        // Halves, since a difference of two can be infinite.
        let (inner, outer) = ((most / 2.0 - best / 2.0).abs(), (worst / 2.0 - best / 2.0).abs());
        let end = if inner > 0.0 && outer > STRETCH * inner { best + (most - best) * 1.5 } else { worst };
        let is_beyond = |value: &&f64| if worst > best { **value > end } else { **value < end };
        let beyond = values.iter().filter(is_beyond).count();
        Self { scale: Scale::linear(best.min(end), best.max(end)), beyond }
    }
}

/// The value of a complete trial.
pub(super) fn value(trial: &Trial) -> f64 {
    trial.values.first().copied().unwrap_or(f64::NAN)
}

/// What came of it.
pub(super) fn outcome(trial: &Trial) -> String {
    trial.values.first().map_or_else(|| trial.state.to_string(), |value| text::number(*value))
}

/// Whether large values are good.
pub(super) fn is_maximised(study: &Study) -> bool {
    study.options().directions.first() == Some(&Direction::Maximize)
}
