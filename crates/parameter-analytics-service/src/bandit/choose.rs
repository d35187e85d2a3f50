//! The policies: which arm, and how probable that choice was.

use super::arms::{Arm, Arms};
use super::belief::Belief;
use super::best::Draw;
use super::best_arm::{runner_up, verdict};
use super::evidence::Totals;
use super::options::Policy;
use super::random::Draws;
use super::upper_bound::upper_bound;

/// The share of choices that go to the leader; a half is never far from what is best (Russo 2016).
const LEADER: f64 = 0.5;

/// The place of the chosen arm, and the probability with which it was chosen. `None` where there is no arm.
pub(super) fn choose(
    arms: &mut Arms,
    policy: Policy,
    context: &[f64],
    draws: &mut Draws,
) -> Option<(usize, f64)> {
    match policy {
        Policy::Thompson => {
            let place = greatest_draw(
                arms.active().map(|(place, arm)| (place, arm.belief)),
                Draw::Optimistic,
                draws,
            )?;
            Some((place, arms.chance(place, Draw::Optimistic)))
        }
        Policy::LinThompson { .. } => {
            let beliefs = arms.beliefs(Some(context));
            let known = beliefs.iter().enumerate().filter_map(|(place, belief)| Some((place, (*belief)?)));
            let place = greatest_draw(known, Draw::Optimistic, draws)?;
            let chances = arms.chances_among(&beliefs, std::iter::once(place), Draw::Optimistic);
            Some((place, chances.first().copied()?))
        }
        Policy::Ucb => {
            let all: f64 = arms.active().map(|(_, arm)| arm.totals.pulls).sum();
            let (best, _) = greatest(arms, |arm| upper_bound(&arm.totals, arms.rewards, all));
            any_of(&best, draws)
        }
        Policy::EpsilonGreedy { epsilon } => {
            let (best, all) = greatest(arms, |arm| arm.belief.mean());
            let (place, _) = any_of(if draws.uniform() < epsilon { &all } else { &best }, draws)?;
            let greedy = if best.contains(&place) { (1.0 - epsilon) / best.len() as f64 } else { 0.0 };
            Some((place, greedy + epsilon / all.len() as f64))
        }
        Policy::TopTwoThompson { error } => top_two(arms, error, draws),
    }
}

/// The best arm, if it is told from the others with this probability of being wrong.
pub(super) fn best_arm(arms: &Arms, error: f64) -> Option<usize> {
    verdict(&totals(arms), arms.list().len(), arms.rewards, error)
}

fn top_two(arms: &mut Arms, error: f64, draws: &mut Draws) -> Option<(usize, f64)> {
    if let Some(best) = best_arm(arms, error) {
        return Some((best, 1.0));
    }
    let leader = greatest_draw(arms.active().map(|(place, arm)| (place, arm.belief)), Draw::Plain, draws)?;
    let follows = |arms: &Arms, leader| runner_up(leader, &totals(arms), arms.rewards).unwrap_or(leader);
    let place = if draws.uniform() < LEADER { leader } else { follows(arms, leader) };
    let places: Vec<usize> = arms.active().map(|(place, _)| place).collect();
    let mut probability = 0.0;
    for leader in places {
        let share = match (leader == place, follows(arms, leader) == place) {
            (true, true) => 1.0,
            (true, false) => LEADER,
            (false, true) => 1.0 - LEADER,
            (false, false) => continue,
        };
        probability += share * arms.chance(leader, Draw::Plain);
    }
    Some((place, probability.min(1.0)))
}

fn totals(arms: &Arms) -> Vec<(usize, &Totals)> {
    arms.active().map(|(place, arm)| (place, &arm.totals)).collect()
}

/// The belief of which the greatest value is drawn; of those that count for the same mean, the one that drew more.
fn greatest_draw(
    beliefs: impl Iterator<Item = (usize, Belief)>,
    draw: Draw,
    draws: &mut Draws,
) -> Option<usize> {
    let mut best: Option<(usize, f64, f64)> = None;
    for (place, belief) in beliefs {
        let drawn = belief.draw(draws);
        let counted = match draw {
            Draw::Plain => drawn,
            Draw::Optimistic => drawn.max(belief.mean()),
        };
        if best.is_none_or(|(_, most, most_drawn)| counted > most || (counted == most && drawn > most_drawn))
        {
            best = Some((place, counted, drawn));
        }
    }
    best.map(|(place, ..)| place)
}

/// The places of the arms of greatest value, and of all.
fn greatest(arms: &Arms, value: impl Fn(&Arm) -> f64) -> (Vec<usize>, Vec<usize>) {
    let values: Vec<(usize, f64)> = arms.active().map(|(place, arm)| (place, value(arm))).collect();
    let most = values.iter().fold(f64::NEG_INFINITY, |most, (_, value)| most.max(*value));
    let best = values.iter().filter(|(_, value)| *value == most).map(|(place, _)| *place).collect();
    (best, values.into_iter().map(|(place, _)| place).collect())
}

fn any_of(places: &[usize], draws: &mut Draws) -> Option<(usize, f64)> {
    let place = *places.get(draws.below(places.len()))?;
    Some((place, 1.0 / places.len() as f64))
}
