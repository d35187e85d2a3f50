mod decisions;
mod properties;
mod regret;
mod sharing;

use super::random::Draws;
use super::{Bandit, BanditOptions, Policy, Rewards};

const GAUSSIAN: Rewards = Rewards::Gaussian { mean: 0.0, spread: 1.0 };

fn options(arms: usize, policy: Policy, rewards: Rewards, seed: u64) -> BanditOptions {
    BanditOptions::new((0..arms).map(|arm| format!("arm {arm}")), policy, rewards, seed)
}

fn bandit(arms: usize, policy: Policy, rewards: Rewards, seed: u64) -> Bandit {
    Bandit::new(options(arms, policy, rewards, seed)).unwrap()
}

/// Which of the arms that `options` names.
fn number(arm: &str) -> usize {
    arm.strip_prefix("arm ").unwrap().parse().unwrap()
}

/// Arms that pay 1 with these probabilities, drawn apart from the bandit's own draws.
struct Coins<'a>(&'a [f64], Draws);

impl<'a> Coins<'a> {
    fn new(means: &'a [f64], seed: u64) -> Self {
        Self(means, Draws::of(seed, u64::MAX))
    }

    fn toss(&mut self, arm: usize) -> f64 {
        f64::from(self.1.uniform() < self.0[arm])
    }

    /// So many decisions and rewards, one each `step_ms`; what was missed by not always choosing the best.
    fn play_on(&mut self, bandit: &mut Bandit, rounds: std::ops::Range<u64>, step_ms: u64) -> f64 {
        rounds.map(|round| self.play(bandit, step_ms * round)).sum()
    }

    /// One decision and its reward, at this time in ms; what was missed by not choosing the best.
    fn play(&mut self, bandit: &mut Bandit, now_ms: u64) -> f64 {
        let decision = bandit.select(None, now_ms).unwrap();
        let arm = number(&decision.arm);
        let reward = self.toss(arm);
        bandit.reward(decision.decision_id, reward, now_ms).unwrap();
        self.0.iter().copied().fold(0.0, f64::max) - self.0[arm]
    }
}
