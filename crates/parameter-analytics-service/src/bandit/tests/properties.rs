//! What holds whatever is done.

use proptest::prelude::*;

use super::*;
use crate::bandit::{Clock, Delta, EXPIRY_MS, Forget};

fn policies() -> impl Strategy<Value = Policy> {
    prop_oneof![
        Just(Policy::Thompson),
        Just(Policy::Ucb),
        (0.0..=1.0f64).prop_map(|epsilon| Policy::EpsilonGreedy { epsilon }),
        Just(Policy::LinThompson { features: 3 }),
        (0.001..0.5f64).prop_map(|error| Policy::TopTwoThompson { error }),
    ]
}

fn forgetting() -> impl Strategy<Value = Forget> {
    let clock = || prop_oneof![Just(Clock::Rewards), Just(Clock::Milliseconds)];
    prop_oneof![
        Just(Forget::Never),
        (16..400u64, clock()).prop_map(|(length, clock)| Forget::Window { length, clock }),
        (8..400u64, clock()).prop_map(|(length, clock)| Forget::HalfLife { length, clock }),
    ]
}

#[derive(Debug, Clone)]
enum Act {
    Select { features: [f64; 3] },
    Reward { back: usize, reward: f64 },
    Add(u8),
    Retire(u8),
    Wait { ms: u64 },
    Pass,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        8 => prop::array::uniform3(-2.0..2.0f64).prop_map(|features| Act::Select { features }),
        8 => (0..8usize, 0.0..=1.0f64).prop_map(|(back, reward)| Act::Reward { back, reward }),
        1 => (0..6u8).prop_map(Act::Add),
        1 => (0..6u8).prop_map(Act::Retire),
        2 => (0..300u64).prop_map(|ms| Act::Wait { ms }),
        1 => Just(Act::Wait { ms: EXPIRY_MS / 2 }),
        1 => Just(Act::Pass),
    ];
    prop::collection::vec(act, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_retired_arm_is_never_chosen_and_all_that_is_said_is_sane(
        policy in policies(),
        gaussian: bool,
        forget in forgetting(),
        acts in acts(),
        seed: u64,
    ) {
        let rewards = if gaussian { GAUSSIAN } else { Rewards::Bernoulli };
        let forget = if matches!(policy, Policy::TopTwoThompson { .. }) { Forget::Never } else { forget };
        let mut bandit = Bandit::new(BanditOptions { forget, ..options(3, policy, rewards, seed) }).unwrap();
        let (mut retired, mut now, mut ids, mut other) = (Vec::<String>::new(), 0, Vec::new(), bandit.clone());
        for act in acts {
            match act {
                Act::Select { features } => {
                    let context = matches!(policy, Policy::LinThompson { .. }).then_some(&features[..]);
                    let decision = bandit.select(context, now).unwrap();
                    prop_assert!(!retired.iter().any(|arm| **arm == *decision.arm), "{}", decision.arm);
                    prop_assert!((0.0..=1.0).contains(&decision.probability), "{}", decision.probability);
                    ids.push(decision.decision_id);
                }
                Act::Reward { back, reward } => {
                    if let Some(place) = ids.len().checked_sub(back + 1) {
                        bandit.reward(ids[place], reward, now).unwrap_or_default();
                    }
                }
                Act::Add(arm) => {
                    let arm = format!("arm {arm}");
                    retired.retain(|retired| *retired != arm);
                    bandit.add_arm(arm).unwrap_or_default();
                }
                Act::Retire(arm) => {
                    let arm = format!("arm {arm}");
                    if bandit.retire_arm(&arm).is_ok() {
                        retired.push(arm);
                    }
                }
                Act::Wait { ms } => now += ms,
                Act::Pass => {
                    other.absorb(&bandit.take_delta(), now).unwrap();
                    bandit = Bandit::restore(bandit.snapshot()).unwrap();
                }
            }
        }
        let posterior = bandit.posterior(None, now).unwrap();
        for arm in &posterior {
            prop_assert!(arm.mean.is_finite() && arm.std.is_finite() && arm.std >= 0.0, "{arm:?}");
            prop_assert!((0.0..=1.0).contains(&arm.probability_best), "{arm:?}");
        }
        let sum: f64 = posterior.iter().map(|arm| arm.probability_best).sum();
        prop_assert!((sum - 1.0).abs() < 0.02, "{posterior:?}");
    }

    #[test]
    fn increments_add_up_to_the_same_in_any_order(
        forget in forgetting(),
        seeds in prop::array::uniform3((0..1_000u64, 0..60u64)),
        linear: bool,
    ) {
        let policy = if linear { Policy::LinThompson { features: 3 } } else { Policy::Thompson };
        let [a, b, c] = seeds.map(|(seed, rounds)| {
            let mut bandit = Bandit::new(BanditOptions { forget, ..options(3, policy, GAUSSIAN, seed) }).unwrap();
            let mut world = Draws::of(seed, 0);
            for now in 0..rounds {
                let context = [1.0, world.normal(), world.normal()];
                let decision = bandit.select(linear.then_some(&context[..]), 10 * now).unwrap();
                bandit.reward(decision.decision_id, 1e3 * world.normal(), 10 * now).unwrap();
            }
            bandit.take_delta()
        });
        let sum = |parts: [&Delta; 2]| {
            let mut sum = parts[0].clone();
            sum.merge(parts[1]).unwrap();
            sum
        };
        prop_assert_eq!(sum([&a, &b]), sum([&b, &a]));
        prop_assert_eq!(sum([&sum([&a, &b]), &c]), sum([&a, &sum([&b, &c])]));
        prop_assert_eq!(sum([&a, &c]).rewards(), a.rewards() + c.rewards());
    }

    #[test]
    fn what_is_counted_step_by_step_is_what_the_sums_say(
        forget in forgetting(),
        gaussian: bool,
        seed: u64,
        rounds in 0..300u64,
    ) {
        let rewards = if gaussian { GAUSSIAN } else { Rewards::Bernoulli };
        let mut bandit = Bandit::new(BanditOptions { forget, ..options(3, Policy::Thompson, rewards, seed) }).unwrap();
        let means = [0.2, 0.5, 0.8];
        let mut coins = Coins::new(&means, seed);
        coins.play_on(&mut bandit, 0..rounds, 1);
        let known = bandit.posterior(None, rounds).unwrap();
        // Taking a snapshot counts all anew.
        bandit.snapshot();
        prop_assert_eq!(known, bandit.posterior(None, rounds).unwrap());
    }
}
