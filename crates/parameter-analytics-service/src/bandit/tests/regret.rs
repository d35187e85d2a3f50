//! How well bandits choose. Seeds are fixed; bounds leave room for what other seeds gave.

use super::*;
use crate::bandit::{Clock, Forget};

/// Distribution 14 of Auer, Cesa-Bianchi and Fischer (2002).
const EASY: [f64; 10] = [0.9, 0.8, 0.8, 0.8, 0.7, 0.7, 0.7, 0.6, 0.6, 0.6];

/// The mean regret over runs of so many decisions.
fn regret(means: &[f64], policy: Policy, decisions: u64, runs: u64) -> f64 {
    let run = |seed| {
        let mut bandit = bandit(means.len(), policy, Rewards::Bernoulli, seed);
        let mut coins = Coins::new(means, seed);
        coins.play_on(&mut bandit, 0..decisions, 1)
    };
    (0..runs).map(run).sum::<f64>() / runs as f64
}

#[test]
fn each_policy_learns_which_coin_is_the_best() {
    let at_random = 2_000.0 * EASY.iter().map(|mean| 0.9 - mean).sum::<f64>() / 10.0;
    for (policy, most) in [
        (Policy::Thompson, 0.16),
        (Policy::Ucb, 0.25),
        (Policy::EpsilonGreedy { epsilon: 0.1 }, 0.4),
        (Policy::TopTwoThompson { error: 0.01 }, 0.4),
    ] {
        let share = regret(&EASY, policy, 2_000, 20) / at_random;
        assert!(share < most, "{policy:?}: {share}");
    }
}

#[test]
fn gaussian_rewards_far_from_their_prior_are_learnt() {
    for policy in [Policy::Thompson, Policy::Ucb, Policy::EpsilonGreedy { epsilon: 0.1 }] {
        let mut bandit = bandit(5, policy, GAUSSIAN, 4);
        let (mut noise, mut best) = (Draws::of(8, 8), 0);
        for now in 0..2_000 {
            let decision = bandit.select(None, now).unwrap();
            let arm = number(&decision.arm);
            best += usize::from(arm == 3 && now >= 1_000);
            let mean = [99.0, 98.0, 99.5, 101.0, 97.0][arm];
            bandit.reward(decision.decision_id, mean + 3.0 * noise.normal(), now).unwrap();
        }
        assert!(best > 800, "{policy:?}: {best}");
    }
}

/// Coins of which another one is the best from the middle on; the regret after that.
fn after_a_switch(forget: Forget) -> f64 {
    let (before, after) = ([0.9, 0.5, 0.5, 0.5, 0.1], [0.5, 0.5, 0.5, 0.5, 0.9]);
    let run = |seed| {
        let options = BanditOptions { forget, ..options(5, Policy::Thompson, Rewards::Bernoulli, seed) };
        let mut bandit = Bandit::new(options).unwrap();
        let mut coins = Coins::new(&before, seed);
        // A decision each second.
        coins.play_on(&mut bandit, 0..3_000, 1_000);
        coins.0 = &after;
        coins.play_on(&mut bandit, 3_000..6_000, 1_000)
    };
    (0..20).map(run).sum::<f64>() / 20.0
}

#[test]
fn after_a_switch_whoever_forgets_has_less_than_half_of_the_regret() {
    let plain = after_a_switch(Forget::Never);
    for forget in [
        Forget::Window { length: 800, clock: Clock::Rewards },
        Forget::Window { length: 800_000, clock: Clock::Milliseconds },
        Forget::HalfLife { length: 200, clock: Clock::Rewards },
        Forget::HalfLife { length: 200_000, clock: Clock::Milliseconds },
    ] {
        let forgetting = after_a_switch(forget);
        assert!(forgetting < 0.5 * plain, "{forget:?}: {forgetting} against {plain}");
    }
}

#[test]
fn the_linear_policy_learns_which_arm_suits_which_context() {
    const FEATURES: usize = 4;
    let mut bandit = bandit(3, Policy::LinThompson { features: FEATURES }, GAUSSIAN, 5);
    let mut world = Draws::of(6, 6);
    let weights: Vec<Vec<f64>> = (0..3).map(|_| (0..FEATURES).map(|_| world.normal()).collect()).collect();
    let (mut missed, mut at_random) = (0.0, 0.0);
    for now in 0..3_000 {
        let context: Vec<f64> = (0..FEATURES).map(|_| world.normal()).collect();
        let means: Vec<f64> =
            weights.iter().map(|weights| weights.iter().zip(&context).map(|(w, x)| w * x).sum()).collect();
        let best = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let decision = bandit.select(Some(&context), now).unwrap();
        let mean = means[number(&decision.arm)];
        bandit.reward(decision.decision_id, mean + 0.5 * world.normal(), now).unwrap();
        if now >= 1_000 {
            missed += best - mean;
            at_random += best - means.iter().sum::<f64>() / 3.0;
        }
    }
    assert!(missed < 0.02 * at_random, "{missed} of {at_random}");
}

/// How often the verdict was wrong, and the rewards that it took on average.
fn verdicts(means: &[f64], rewards: Rewards, error: f64, runs: u64) -> (u64, f64) {
    let best = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (mut wrong, mut took) = (0, 0);
    for seed in 0..runs {
        let mut bandit = bandit(means.len(), Policy::TopTwoThompson { error }, rewards, seed);
        let mut world = Draws::of(seed, u64::MAX);
        let verdict = loop {
            if let Some(verdict) = bandit.verdict() {
                break verdict;
            }
            let decision = bandit.select(None, 0).unwrap();
            let mean = means[number(&decision.arm)];
            let reward = match rewards {
                Rewards::Bernoulli => f64::from(world.uniform() < mean),
                Rewards::Gaussian { .. } => mean + world.normal(),
            };
            bandit.reward(decision.decision_id, reward, 0).unwrap();
            took += 1;
        };
        wrong += u64::from(means[number(&verdict)] < best);
        assert_eq!(bandit.select(None, 0).unwrap().arm, verdict, "what is known to be the best is chosen");
    }
    (wrong, took as f64 / runs as f64)
}

#[test]
fn the_best_arm_is_named_with_no_more_errors_than_were_allowed_in_a_thousand_runs() {
    let (wrong, took) = verdicts(&[0.6, 0.3, 0.2], Rewards::Bernoulli, 0.1, 1_000);
    assert!(wrong <= 100 && took < 1_000.0, "{wrong} wrong, {took} rewards");
}

#[test]
fn the_best_gaussian_arm_is_named_with_no_more_errors_than_were_allowed_in_a_thousand_runs() {
    let (wrong, took) = verdicts(&[1.0, 0.0, 0.2], GAUSSIAN, 0.1, 1_000);
    assert!(wrong <= 100 && took < 600.0, "{wrong} wrong, {took} rewards");
}
