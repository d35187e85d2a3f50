//! What a decision costs: alone, where nothing was learnt since the last one; and with its reward, after which everything that follows
//! from it is computed anew.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run has nothing to tell")]

use parameter_analytics_service::bandit::{Bandit, BanditOptions, Policy, Rewards};

const ARMS: usize = 10;
const GAUSSIAN: Rewards = Rewards::Gaussian { mean: 0.0, spread: 1.0 };

fn main() {
    divan::main();
}

/// A bandit that has had 2,000 rewards, the better the later the arm.
fn learnt(policy: Policy, rewards: Rewards, context: Option<&[f64]>) -> Bandit {
    let arms: Vec<String> = (0..ARMS).map(|arm| arm.to_string()).collect();
    let options = BanditOptions::new(arms.iter().map(String::as_str), policy, rewards, 1);
    let mut bandit = Bandit::new(options).expect("the options are in range");
    for now in 0..2_000 {
        reward(&mut bandit, context, now);
    }
    bandit
}

/// One decision and its reward, a pattern of zeros and ones of which later arms have more ones.
fn reward(bandit: &mut Bandit, context: Option<&[f64]>, now: u64) {
    let decision = bandit.select(context, now).expect("the context fits");
    let arm: u64 = decision.arm.parse().expect("arms are named by numbers");
    let reward = f64::from(u8::from(now.wrapping_mul(7_919) % 20 < 8 + arm));
    bandit.reward(decision.decision_id, reward, now).expect("the decision waits");
}

fn select(bencher: divan::Bencher<'_, '_>, policy: Policy, rewards: Rewards, context: Option<&[f64]>) {
    let mut bandit = learnt(policy, rewards, context);
    bencher.bench_local(|| bandit.select(divan::black_box(context), 3_000));
}

fn select_and_reward(
    bencher: divan::Bencher<'_, '_>,
    policy: Policy,
    rewards: Rewards,
    context: Option<&[f64]>,
) {
    let mut bandit = learnt(policy, rewards, context);
    let mut now = 3_000;
    bencher.bench_local(|| {
        now += 1;
        reward(&mut bandit, divan::black_box(context), now);
    });
}

/// The policies without contexts.
const POLICIES: [(&str, Policy, Rewards); 6] = [
    ("thompson, bernoulli", Policy::Thompson, Rewards::Bernoulli),
    ("thompson, gaussian", Policy::Thompson, GAUSSIAN),
    ("ucb, bernoulli", Policy::Ucb, Rewards::Bernoulli),
    ("ucb, gaussian", Policy::Ucb, GAUSSIAN),
    ("epsilon-greedy", Policy::EpsilonGreedy { epsilon: 0.1 }, Rewards::Bernoulli),
    ("top-two-thompson", Policy::TopTwoThompson { error: 1e-300 }, Rewards::Bernoulli),
];

fn policy(name: &str) -> (Policy, Rewards) {
    let found = POLICIES.into_iter().find(|(known, ..)| *known == name);
    found.map(|(_, policy, rewards)| (policy, rewards)).expect("it is one of the names")
}

#[divan::bench(sample_size = 500, args = POLICIES.map(|(name, ..)| name))]
fn decision(bencher: divan::Bencher<'_, '_>, name: &str) {
    let (policy, rewards) = policy(name);
    select(bencher, policy, rewards, None);
}

#[divan::bench(sample_size = 500, args = POLICIES.map(|(name, ..)| name))]
fn decision_and_reward(bencher: divan::Bencher<'_, '_>, name: &str) {
    let (policy, rewards) = policy(name);
    select_and_reward(bencher, policy, rewards, None);
}

const LINEAR: Policy = Policy::LinThompson { features: 16 };

fn context() -> Vec<f64> {
    (0..16).map(|feature| if feature == 0 { 1.0 } else { f64::from(feature) / 16.0 - 0.5 }).collect()
}

#[divan::bench(sample_size = 500)]
fn linear_decision(bencher: divan::Bencher<'_, '_>) {
    select(bencher, LINEAR, GAUSSIAN, Some(&context()));
}

#[divan::bench(sample_size = 500)]
fn linear_decision_and_reward(bencher: divan::Bencher<'_, '_>) {
    select_and_reward(bencher, LINEAR, GAUSSIAN, Some(&context()));
}
