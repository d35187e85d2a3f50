//! Which trials are ended early, by what they and others reported on the way.

use crate::study::Trial;

/// Trials that have to be complete before one is compared with them: of fewer, a median says little (Optuna's `n_startup_trials`).
const STARTUP: usize = 5;
/// One of so many goes on from each rung (Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020).
const REDUCTION: u64 = 4;

/// The median stopping rule of Google Vizier (Golovin et al., KDD 2017): whether the trial's best value so far is worse than the
/// median of what others that are complete had reported up to the same step. `sign` is -1 where large values are good. We depart in
/// comparing with the best so far of the others as well, not with their running means, so that a good start does not count for less
/// because of a bad step.
pub(super) fn by_median<'a>(trial: &Trial, others: impl Iterator<Item = &'a Trial>, sign: f64) -> bool {
    let Some(&(step, _)) = trial.reports.last() else {
        return false;
    };
    let best = |trial: &Trial| {
        let until = trial.reports.iter().filter(|(at, _)| *at <= step);
        until.map(|(_, value)| sign * value).min_by(f64::total_cmp)
    };
    let mut bests: Vec<f64> = others.filter_map(best).collect();
    if bests.len() < STARTUP {
        return false;
    }
    bests.sort_by(f64::total_cmp);
    let median = bests.get(bests.len() / 2).copied();
    best(trial).zip(median).is_some_and(|(own, median)| own > median)
}

/// Asynchronous successive halving (Li et al. 2020): whether the trial, at the last rung that it has reached (steps 1, 4, 16, ...), is
/// not among the best quarter of those that reached it. As there, it is compared with whoever has come, without waiting, so that among
/// the first few the best goes on.
pub(super) fn by_halving<'a>(trial: &Trial, others: impl Iterator<Item = &'a Trial>, sign: f64) -> bool {
    let Some(&(step, _)) = trial.reports.last() else {
        return false;
    };
    let Some(rung) = std::iter::successors(Some(1u64), |rung| rung.checked_mul(REDUCTION))
        .take_while(|rung| *rung <= step)
        .last()
    else {
        return false;
    };
    // What a trial had when it came to the rung.
    let at_rung =
        |trial: &Trial| trial.reports.iter().find(|(at, _)| *at >= rung).map(|(_, value)| sign * value);
    let Some(own) = at_rung(trial) else {
        return false;
    };
    let mut there: Vec<f64> = others.filter_map(at_rung).collect();
    there.push(own);
    there.sort_by(f64::total_cmp);
    let survivors = (there.len() / REDUCTION as usize).max(1);
    there.get(survivors - 1).is_some_and(|worst| own > *worst)
}
