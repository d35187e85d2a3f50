//! Which parameters matter: how differently the best tenth of the trials and all of them are spread over each parameter.
//!
//! PED-ANOVA (Watanabe, Bansal and Hutter, "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary Subspaces", IJCAI
//! 2023, arXiv 2304.10255), with the settings of Optuna's evaluator. Conditional parameters count as in "Conditional PED-ANOVA" (arXiv
//! 2601.20800): by the trials in which they are active. We depart from Optuna in two things: where there are constraints, trials that meet
//! them are better than trials that do not; and choices that came later belong to the same distribution as those that were there.

use std::sync::Arc;

use crate::gp::normal;
use crate::space::Domain;
use crate::study::Study;

/// The best of the complete trials, which are compared with all: a tenth (the paper's).
const TARGET: f64 = 0.1;
/// Cells into which a range is divided at most (Optuna's).
const CELLS: usize = 50;
/// A parameter that is active in fewer trials has no distribution (Optuna's).
const LEAST_ACTIVE: usize = 2;
/// Keeps quotients of densities finite where nothing was tried (Optuna's).
const FLOOR: f64 = 1e-12;
/// The least width of a bump, in cells: nine tenths of it lie in the trial's own cell (Optuna's).
const LEAST_WIDTH: f64 = 0.5 / 1.64;

impl Study {
    /// How much each parameter decides whether a trial is among the best tenth: in the order of the space, together 1. Equal shares where
    /// nothing can be told: with fewer than two complete trials, or where those are all equally good. Below some 50 complete trials the best
    /// tenth are few, and the shares no more than a hint. O(trials x parameters).
    pub fn importance(&self) -> Vec<(Arc<str>, f64)> {
        let trials = self.ranked();
        let target = (TARGET * trials.len() as f64).ceil() as usize;
        // With all that are as good as the last of them, so that the order of equals does not count.
        let last = target.checked_sub(1).and_then(|last| trials.get(last));
        let best = last.map_or(0, |last| trials.partition_point(|trial| self.order(trial, last).is_le()));

        let parameters = self.space().parameters();
        let divergence = |(place, domain)| {
            let numbers: Vec<f64> =
                trials.iter().filter_map(|trial| trial.point.numbers().get(place).copied()).collect();
            let best = numbers.get(..best).unwrap_or_default();
            divergence(domain, best, &numbers)
        };
        let domains = parameters.iter().map(|parameter| &parameter.domain).enumerate();
        let divergences: Vec<f64> = domains.map(divergence).collect();
        let sum: f64 = divergences.iter().sum();
        let equal = 1.0 / parameters.len().max(1) as f64;
        let share = |divergence: f64| if sum > 0.0 { divergence / sum } else { equal };
        let names = parameters.iter().map(|parameter| Arc::clone(&parameter.name));
        names.zip(divergences.into_iter().map(share)).collect()
    }
}

/// The Pearson divergence of the best trials' distribution from that of all, by what is active; NaN is a trial in which it is not.
fn divergence(domain: &Domain, best: &[f64], all: &[f64]) -> f64 {
    let Some(cells) = cells(domain) else {
        return 0.0;
    };
    let counts = |numbers: &[f64]| {
        let mut counts = vec![0.0; cells];
        for number in numbers.iter().filter(|number| !number.is_nan()) {
            if let Some(count) = counts.get_mut(cell(domain, *number, cells)) {
                *count += 1.0;
            }
        }
        counts
    };
    let (in_best, in_all) = (counts(best), counts(all));
    let (active_best, active_all) = (in_best.iter().sum::<f64>(), in_all.iter().sum::<f64>());
    if active_best == 0.0 || active_all < LEAST_ACTIVE as f64 {
        return 0.0;
    }
    let (share_best, share_all) = (active_best / best.len() as f64, active_all / all.len() as f64);
    let density = if domain.is_categorical() { of_choices } else { of_range };
    let pairs = density(&in_best).into_iter().zip(density(&in_all));
    let pearson: f64 = pairs
        .map(|(best, all)| {
            let (best, all) = (best + FLOOR, all + FLOOR);
            all * (best / all - 1.0).powi(2)
        })
        .sum();
    share_best * share_best / share_all * pearson
}

/// Into how many cells a domain is divided; `None` where it has one value only.
fn cells(domain: &Domain) -> Option<usize> {
    let cells = match domain {
        Domain::Categorical { choices } => choices.len(),
        // About one for each doubling of the range.
        Domain::Int { low, high, log: true, .. } => {
            ((high.saturating_sub(*low) as f64 + 1.0).log2().ceil() as usize + 1).min(CELLS)
        }
        Domain::Float { low, high, .. } if low == high => 1,
        _ => domain.levels().map_or(CELLS, |levels| levels.min(CELLS as f64) as usize),
    };
    (cells > 1).then_some(cells)
}

/// The cell of a number; the first and the last are centred at the ends of the range.
fn cell(domain: &Domain, number: f64, cells: usize) -> usize {
    let log = matches!(domain, Domain::Float { log: true, .. } | Domain::Int { log: true, .. });
    let place = match domain {
        Domain::Categorical { .. } => return number as usize,
        // Halves, since a difference of two can be infinite.
        _ => [number, domain.at(0.0), domain.at(1.0)].map(|x| if log { x.ln() } else { x / 2.0 }),
    };
    let [at, low, high] = place;
    let share = (at - low) / (high - low);
    ((share * (cells - 1) as f64 - 0.5).ceil().max(0.0) as usize).min(cells - 1)
}

/// Each trial's own choice, and a little of all choices (as if one more trial had been all of them).
fn of_choices(counts: &[f64]) -> Vec<f64> {
    let (choices, trials) = (counts.len() as f64, counts.iter().sum::<f64>());
    // As many kernels as there are different choices among the trials, and one for what is known beforehand.
    let kernels = counts.iter().filter(|count| **count > 0.0).count() as f64 + 1.0;
    let each = 1.0 / kernels;
    let whole = 1.0 + choices * each;
    let density = |count: &f64| {
        let own = count * (1.0 + each) + (trials - count) * each;
        (own / whole + 1.0 / choices) / (trials + 1.0)
    };
    counts.iter().map(density).collect()
}

/// A normal bump around each trial's cell, cut off at the ends of the range, and a wide one for what is known beforehand. The width is
/// by Scott's rule ("Multivariate Density Estimation", 1992).
fn of_range(counts: &[f64]) -> Vec<f64> {
    let last = counts.len() as f64 - 1.0;
    let trials: f64 = counts.iter().sum();
    let weighted = |of: &dyn Fn(f64) -> f64| -> f64 {
        counts.iter().zip(0..).map(|(count, cell)| count * of(f64::from(cell))).sum()
    };
    let mean = weighted(&|cell| cell) / trials;
    let deviation = (weighted(&|cell| (cell - mean).powi(2)) / (trials - 1.0).max(1.0)).sqrt();
    let spread = quartiles(counts, trials) / 1.34;
    let width = (1.059 * spread.min(deviation) * trials.powf(-0.2)).max(LEAST_WIDTH);

    let mut density = vec![0.0; counts.len()];
    let mut add = |weight: f64, centre: f64, width: f64| {
        let below = |edge: f64| normal::below((edge - centre) / width);
        let inside = below(last + 0.5) - below(-0.5);
        for (cell, density) in density.iter_mut().enumerate() {
            let cell = cell as f64;
            *density += weight / (trials + 1.0) * (below(cell + 0.5) - below(cell - 0.5)) / inside;
        }
    };
    for (cell, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0.0) {
        add(*count, cell as f64, width);
    }
    add(1.0, 0.5 * last, last + 1.0);
    density
}

/// From the cell of the first quarter of the trials to that of the third.
fn quartiles(counts: &[f64], trials: f64) -> f64 {
    let (first, third) = ((trials / 4.0).floor(), (trials * 3.0 / 4.0).floor());
    let (mut sum, mut from, mut to) = (0.0, None, None);
    for (cell, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0.0) {
        sum += count;
        from = from.or((sum >= first).then_some(cell));
        to = Some(cell);
        if sum > third {
            break;
        }
    }
    to.unwrap_or_default() as f64 - from.unwrap_or_default() as f64
}

#[cfg(test)]
mod tests;
