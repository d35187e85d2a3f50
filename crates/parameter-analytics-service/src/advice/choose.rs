//! Which point: the best that meets the limits, or one that is worth a trial.

use crate::advice::limits::Wanted;
use crate::advice::models::{Candidate, Models, WIDTHS};
use crate::advice::{Mode, Source};
use crate::gp::lower::Lower;
use crate::gp::neighbour;
use crate::space::Space;
use crate::stream::Stream;

/// What a search under some limits has found.
#[derive(Debug)]
pub(super) struct Found {
    /// Points beside the best candidates.
    beside: Vec<Candidate>,
    front: Option<Front>,
}

/// Points of which each may be the best.
#[derive(Debug)]
struct Front {
    candidates: Vec<Candidate>,
    /// The Cholesky factor of the joint covariance of their rewards.
    root: Lower,
}

/// What was chosen.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) candidate: Candidate,
    /// To meet the limits.
    pub(super) chance: f64,
    pub(super) source: Source,
}

/// Where limits can be met, a recommendation meets them with this chance. One call in ten may miss: what is chosen as the best is chosen
/// among those that look faster than they are, and misses a hundredth or two more often than it tells.
const SURE: f64 = 0.96;
/// Where they cannot, what comes this near to the best chance is as good: the last hundredths are not worth any reward.
const NEARLY: f64 = 0.98;
/// A trial meets the limits with this chance, or nearly the best there is: beyond the limits rewards are often higher, so that every trial
/// would lie there.
const LIKELY: f64 = 0.94;
/// Points among which a trial is drawn: their joint covariance costs less than a millisecond.
const FRONT: usize = 64;
/// Deviations above the mean that make a point one of these; a draw goes beyond two once in forty times.
const HOPE: f64 = 2.0;
/// Rounds of the search for the best point, around how many points, and how many neighbours of each.
const SEARCH: (i32, usize, usize) = (3, 4, 16);

/// Rewards from which on the whole space is modelled, or twice the prior configurations: about ten for each parameter that matters.
const BAYESIAN: usize = 20;
/// The share of trials is this over the rewards known, all at first: two fifths at 2,000. Trials are drawn from what is believed, so that
/// they come to lie beside the best point and cost little by themselves; with fewer, rewards of 0 and 1 are not told apart in four
/// dimensions.
const TRIALS: f64 = 800.0;
/// The least share of trials: a change that makes something else better is only seen by trying it.
const LEAST_SHARE: f64 = 0.02;
/// A prior configuration is not tried where it is less likely than this to meet the limits, and than this share of the likeliest.
const HOPELESS: f64 = 0.2;

impl Models {
    /// Among the prior configurations, as long as there are not enough rewards for more; `None`: there are.
    pub(super) fn among_priors(
        &self,
        wanted: Wanted,
        mode: Mode,
        number: u64,
        stream: &mut Stream,
    ) -> Option<Choice> {
        if self.rewards.1 >= BAYESIAN.max(2 * self.priors) {
            return None;
        }
        let priors: Vec<&Candidate> = self.candidates.iter().take(self.priors).collect();
        let hopeless = bar(HOPELESS, HOPELESS, &self.chances(&priors, wanted));
        let hopeful = |candidate: &&Candidate| self.feasible(candidate, wanted) >= hopeless;
        let untried: Vec<&Candidate> =
            priors.iter().copied().filter(|candidate| !candidate.tried).filter(hopeful).collect();
        // Somebody who calls with parameters of their own will never have tried them all.
        let early = self.rows < 3 * self.priors;
        let turn = if mode == Mode::Explore { number % untried.len().max(1) as u64 } else { 0 };
        let (source, chosen) = match untried.get(turn as usize).filter(|_| early) {
            Some(candidate) => (Source::Prior, Some((*candidate, self.feasible(candidate, wanted)))),
            None if mode == Mode::Explore => (Source::Bandit, self.thompson(&priors, wanted, stream)),
            None => (Source::Bandit, self.recommend(&priors, wanted)),
        };
        chosen.map(|(candidate, chance)| Choice { candidate: candidate.clone(), chance, source })
    }

    /// Anywhere in the space: among the candidates and the points that a search has found.
    pub(super) fn anywhere(
        &self,
        found: &Found,
        wanted: Wanted,
        mode: Mode,
        stream: &mut Stream,
    ) -> Option<Choice> {
        let share = (TRIALS / self.rewards.0.max(1) as f64).max(LEAST_SHARE);
        let trying = mode == Mode::Explore && stream.unit() < share;
        let trial = if trying { self.drawn(found, wanted, stream) } else { None };
        let (candidate, chance) = trial.or_else(|| {
            let among: Vec<&Candidate> = self.candidates.iter().chain(&found.beside).collect();
            self.recommend(&among, wanted).map(|(candidate, chance)| (candidate.clone(), chance))
        })?;
        Some(Choice { candidate, chance, source: Source::Bayesian })
    }

    /// The place of the best of the candidates: of those that meet the limits surely enough the one with the highest utility; of equals
    /// the first. `None`: there is none.
    fn best(&self, candidates: &[&Candidate], chances: &[f64]) -> Option<usize> {
        let bar = bar(SURE, NEARLY, chances);
        let pairs = candidates.iter().zip(chances).enumerate();
        let sure = pairs.filter(|(_, (_, chance))| **chance >= bar);
        sure.map(|(place, (candidate, _))| (place, self.utility(candidate)))
            .reduce(|best, next| if next.1 > best.1 { next } else { best })
            .map(|(place, _)| place)
    }

    fn chances(&self, candidates: &[&Candidate], wanted: Wanted) -> Vec<f64> {
        candidates.iter().map(|candidate| self.feasible(candidate, wanted)).collect()
    }

    /// The recommendation among some candidates, and its chance to meet the limits.
    fn recommend<'a>(&self, among: &[&'a Candidate], wanted: Wanted) -> Option<(&'a Candidate, f64)> {
        let chances = self.chances(among, wanted);
        let place = self.best(among, &chances)?;
        Some((*among.get(place)?, *chances.get(place)?))
    }

    /// What the advice under some limits is chosen from, besides the candidates.
    pub(super) fn explored(&self, space: &Space, wanted: Wanted, stream: &mut Stream) -> Found {
        let beside = self.search(space, wanted, stream);
        Found { front: self.front(&beside, wanted), beside }
    }

    /// `None`: no reward is known.
    fn front(&self, beside: &[Candidate], wanted: Wanted) -> Option<Front> {
        let among: Vec<&Candidate> = self.candidates.iter().chain(beside).collect();
        let chances = self.chances(&among, wanted);
        let bar = bar(LIKELY, LIKELY, &chances);
        let bound = |candidate: &Candidate| {
            let reward = candidate.reward?;
            Some(self.worth(candidate, HOPE.mul_add(reward.deviation, reward.mean)))
        };
        let likely = among.into_iter().zip(chances).filter(|(_, chance)| *chance >= bar);
        let mut bounded: Vec<(f64, &Candidate)> =
            likely.filter_map(|(candidate, _)| Some((bound(candidate)?, candidate))).collect();
        bounded.sort_by(|a, b| b.0.total_cmp(&a.0));
        let candidates: Vec<Candidate> =
            bounded.into_iter().take(FRONT).map(|(_, candidate)| candidate.clone()).collect();
        let points: Vec<Vec<f64>> =
            candidates.iter().map(|candidate| candidate.coordinates.clone()).collect();
        let root = self.reward.as_ref()?.joint(&points)?;
        Some(Front { candidates, root })
    }

    /// A function drawn from what the reward may be, and its best point of the front (Thompson 1933; for Gaussian processes Russo and Van
    /// Roy 2014): the likelier a point is the best, the likelier it is tried. The draw is joint, since of many points that are alike each
    /// by itself would look best to some draw.
    fn drawn(&self, found: &Found, wanted: Wanted, stream: &mut Stream) -> Option<(Candidate, f64)> {
        let Front { candidates, root } = found.front.as_ref()?;
        let unit = self.reward.as_ref()?.unit;
        let normals: Vec<f64> = candidates.iter().map(|_| stream.normal()).collect();
        let draws = candidates.iter().zip(root.rows()).map(|(candidate, row)| {
            let luck: f64 = row.iter().zip(&normals).map(|(factor, normal)| factor * normal).sum();
            self.worth(candidate, unit.mul_add(luck, candidate.reward.map_or(0.0, |reward| reward.mean)))
        });
        let pairs = candidates.iter().zip(draws);
        let (best, _) = pairs.reduce(|best, next| if next.1 > best.1 { next } else { best })?;
        Some((best.clone(), self.feasible(best, wanted)))
    }

    /// Points beside the best candidates that are better under these limits: random steps that become smaller. The optimum under a limit
    /// lies on its boundary, where few candidates do.
    fn search(&self, space: &Space, wanted: Wanted, stream: &mut Stream) -> Vec<Candidate> {
        let axes = space.axes();
        let (rounds, anchors, neighbours) = SEARCH;
        let mut found: Vec<Candidate> = Vec::new();
        for round in 0..rounds {
            let mut left: Vec<&Candidate> = self.candidates.iter().chain(&found).collect();
            let mut chances = self.chances(&left, wanted);
            let width = WIDTHS.0 * (WIDTHS.1 / WIDTHS.0).powf(f64::from(round + 1) / f64::from(rounds));
            let mut points = Vec::new();
            for _ in 0..anchors {
                let Some(place) = self.best(&left, &chances) else {
                    break;
                };
                let anchor = left.swap_remove(place);
                chances.swap_remove(place);
                let moved = (0..neighbours).map(|_| neighbour(&anchor.coordinates, &axes, width, stream));
                points.extend(moved.map(|coordinates| space.decode(&coordinates)));
            }
            found.extend(self.candidates(space, points));
        }
        found
    }

    /// A draw from what each candidate may be worth; the best draw among those that are likely to meet the limits (Thompson 1933).
    fn thompson<'a>(
        &self,
        among: &[&'a Candidate],
        wanted: Wanted,
        stream: &mut Stream,
    ) -> Option<(&'a Candidate, f64)> {
        let chances = self.chances(among, wanted);
        let bar = bar(LIKELY, LIKELY, &chances);
        let likely = among.iter().zip(chances).filter(|(_, chance)| *chance >= bar);
        let drawn = likely.map(|(candidate, chance)| {
            let luck = stream.normal();
            let reward = candidate.reward.map_or(luck, |reward| luck.mul_add(reward.deviation, reward.mean));
            (*candidate, chance, self.worth(candidate, reward))
        });
        let best = drawn.reduce(|best, next| if next.2 > best.2 { next } else { best })?;
        Some((best.0, best.1))
    }
}

/// What a chance must reach: a level, or a share of the best chance where that is less.
fn bar(level: f64, share: f64, chances: &[f64]) -> f64 {
    level.min(share * chances.iter().copied().fold(0.0, f64::max))
}
