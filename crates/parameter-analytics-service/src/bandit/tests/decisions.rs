//! What a bandit accepts, refuses and remembers.

use super::*;
use crate::bandit::{BanditError, Clock, EXPIRY_MS, Forget};

#[track_caller]
fn refused(options: BanditOptions, expected: &str) {
    let error = Bandit::new(options).map(|_| ()).unwrap_err();
    assert_eq!(format!("{}: {error}", error.code()), expected);
}

#[test]
fn options_that_cannot_be_meant_are_refused_with_what_to_try() {
    let coins = |policy| options(2, policy, Rewards::Bernoulli, 1);
    refused(
        coins(Policy::EpsilonGreedy { epsilon: 1.5 }),
        "UAT_INVALID_INPUT: epsilon must be 0 to 1, and was 1.5; it is the share of choices at random; 0.1 is usual",
    );
    refused(
        coins(Policy::TopTwoThompson { error: f64::NAN }),
        "UAT_INVALID_INPUT: error must be above 0 and below 1, and was NaN; it is the probability with which the verdict may be \
         wrong; 0.05 is usual",
    );
    refused(
        coins(Policy::LinThompson { features: 0 }),
        "UAT_INVALID_INPUT: features must be 1 to 256, and was 0; a decision's cost grows with its square; leave out what says least",
    );
    let forget = Forget::Window { length: 3, clock: Clock::Rewards };
    refused(
        BanditOptions { forget, ..coins(Policy::Thompson) },
        "UAT_INVALID_INPUT: length must be at least 16, and was 3; shorter ones would forget an arm between two choices of it",
    );
    let forget = Forget::HalfLife { length: 800, clock: Clock::Rewards };
    let best_arm = BanditOptions { forget, ..coins(Policy::TopTwoThompson { error: 0.1 }) };
    assert_eq!(Bandit::new(best_arm).map(|_| ()).unwrap_err().code(), "UAT_INVALID_INPUT");
    for spread in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-310] {
        let wrong = options(2, Policy::Thompson, Rewards::Gaussian { mean: 0.0, spread }, 1);
        assert_eq!(Bandit::new(wrong).map(|_| ()).unwrap_err().code(), "UAT_INVALID_INPUT", "{spread}");
    }
    refused(
        BanditOptions { max_outstanding: 0, ..coins(Policy::Thompson) },
        "UAT_INVALID_INPUT: maxOutstanding must be at least 1, and was 0; without it no reward can be told; leave it out for 65,536",
    );
    refused(
        BanditOptions::new(["a", "a"], Policy::Thompson, Rewards::Bernoulli, 1),
        "UAT_CONFLICT: there is an arm `a` already; give the new one another name",
    );
    refused(
        BanditOptions::new([""; 0], Policy::Thompson, Rewards::Bernoulli, 1),
        "UAT_CONFLICT: a bandit needs an arm that may be chosen, and there would be none; add one first",
    );
}

#[test]
fn a_reward_out_of_range_is_refused_and_the_decision_waits_on() {
    let mut coins = bandit(2, Policy::Thompson, Rewards::Bernoulli, 1);
    let id = coins.select(None, 0).unwrap().decision_id;
    for wrong in [f64::NAN, f64::INFINITY, -0.1, 1.1] {
        let error = coins.reward(id, wrong, 0).unwrap_err();
        let expected = format!(
            "reward must be a number from 0 to 1, and was {wrong}; scale it, or make the bandit with `gaussian` rewards"
        );
        assert_eq!((error.code(), error.to_string()), ("UAT_INVALID_INPUT", expected));
    }
    assert_eq!(coins.reward(id, 1.0, 0), Ok(()));

    let mut gaussian = bandit(2, Policy::Thompson, Rewards::Gaussian { mean: 100.0, spread: 2.0 }, 1);
    let id = gaussian.select(None, 0).unwrap().decision_id;
    for wrong in [f64::NAN, f64::NEG_INFINITY, 1e7, -1e300] {
        assert_eq!(gaussian.reward(id, wrong, 0).unwrap_err().code(), "UAT_INVALID_INPUT", "{wrong}");
    }
    assert_eq!(gaussian.reward(id, 2e6, 0), Ok(()));
}

#[test]
fn a_reward_is_told_once_within_an_hour() {
    let mut bandit = bandit(2, Policy::Thompson, Rewards::Bernoulli, 1);
    let [first, second] = [0, 1].map(|now| bandit.select(None, now).unwrap().decision_id);
    assert_eq!(bandit.reward(first, 1.0, 5), Ok(()));
    assert_eq!(bandit.reward(first, 1.0, 5).unwrap_err().code(), "UAT_CONFLICT");
    let late = bandit.reward(second, 1.0, 1 + EXPIRY_MS).unwrap_err();
    assert_eq!(late.code(), "UAT_NOT_FOUND");
    assert!(late.to_string().contains("older than an hour"), "{late}");
    let pulls: f64 = bandit.posterior(None, 5).unwrap().iter().map(|arm| arm.pulls).sum();
    assert_eq!(pulls, 1.0);
}

#[test]
fn a_decision_of_another_process_is_not_mistaken_for_an_own_one() {
    let [mut here, mut there] = [1, 2].map(|seed| bandit(2, Policy::Thompson, Rewards::Bernoulli, seed));
    here.select(None, 0).unwrap();
    let foreign = there.select(None, 0).unwrap().decision_id;
    assert_eq!(here.reward(foreign, 1.0, 0).unwrap_err().code(), "UAT_NOT_FOUND");
}

#[test]
fn a_context_is_what_the_policy_asks_for() {
    let mut linear = bandit(2, Policy::LinThompson { features: 2 }, GAUSSIAN, 1);
    for (context, expected) in [
        (None, "context must be 2 numbers, and was 0 numbers"),
        (Some(&[1.0][..]), "context must be 2 numbers, and was 1 numbers"),
        (Some(&[1.0, f64::NAN]), "context[1] must be a number from -1024 to 1024, and was NaN"),
        (Some(&[1e4, 0.0]), "context[0] must be a number from -1024 to 1024, and was 10000"),
    ] {
        let error = linear.select(context, 0).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
        assert_eq!(error.code(), "UAT_INVALID_INPUT");
    }
    let mut plain = bandit(2, Policy::Thompson, GAUSSIAN, 1);
    assert_eq!(plain.select(Some(&[1.0]), 0).unwrap_err().code(), "UAT_INVALID_INPUT");
}

#[test]
fn a_new_arm_is_tried_and_a_retired_one_is_not() {
    let mut bandit = bandit(2, Policy::Thompson, Rewards::Bernoulli, 1);
    let waiting = loop {
        let decision = bandit.select(None, 0).unwrap();
        if number(&decision.arm) == 0 {
            break decision;
        }
    };
    bandit.retire_arm("arm 0").unwrap();
    bandit.add_arm("arm 2").unwrap();
    let mut chosen = [0; 3];
    for _ in 0..200 {
        chosen[number(&bandit.select(None, 0).unwrap().arm)] += 1;
    }
    assert!(chosen[0] == 0 && chosen[1] > 50 && chosen[2] > 50, "{chosen:?}");
    // What was decided before still teaches.
    bandit.reward(waiting.decision_id, 1.0, 0).unwrap();
    let posterior = bandit.posterior(None, 0).unwrap();
    assert_eq!(
        (posterior[0].pulls, posterior[0].is_retired, posterior[0].probability_best),
        (1.0, true, 0.0)
    );
    bandit.add_arm("arm 0").unwrap();
    assert_eq!(bandit.posterior(None, 0).unwrap()[0].pulls, 1.0);
}

#[test]
fn the_last_arm_stays_and_unknown_ones_are_named() {
    let mut bandit = bandit(2, Policy::Thompson, Rewards::Bernoulli, 1);
    bandit.retire_arm("arm 1").unwrap();
    assert_eq!(bandit.retire_arm("arm 0"), Err(BanditError::NoArm));
    assert_eq!(bandit.add_arm("arm 0").unwrap_err().code(), "UAT_CONFLICT");
    let error = bandit.retire_arm("arm 7").unwrap_err();
    assert_eq!(error.to_string(), "there is no arm `arm 7`; there are `arm 0`, `arm 1`");
}

#[test]
fn decisions_that_nobody_rewards_are_bounded() {
    let small = BanditOptions { max_outstanding: 100, ..options(2, Policy::Thompson, Rewards::Bernoulli, 1) };
    let mut bandit = Bandit::new(small).unwrap();
    let first = bandit.select(None, 0).unwrap().decision_id;
    for _ in 0..1_000 {
        bandit.select(None, 0).unwrap();
    }
    assert_eq!((bandit.outstanding(), bandit.pushed_out()), (100, 901));
    assert_eq!(bandit.reward(first, 1.0, 0).unwrap_err().code(), "UAT_NOT_FOUND");
}

#[test]
fn the_probability_of_a_decision_is_how_often_it_is_made() {
    let context = [1.0, -0.5];
    for (policy, context) in [
        (Policy::Thompson, None),
        (Policy::Ucb, None),
        (Policy::EpsilonGreedy { epsilon: 0.3 }, None),
        (Policy::TopTwoThompson { error: 1e-6 }, None),
        (Policy::LinThompson { features: 2 }, Some(&context[..])),
    ] {
        // Untried arms are all alike; some rewards tell them apart, two of them hardly.
        for rewards in [0, 24] {
            let mut bandit = bandit(4, policy, Rewards::Bernoulli, 5);
            for now in 0..rewards {
                let decision = bandit.select(context, now).unwrap();
                let reward = [0.2, 0.6, 0.6, 0.5][number(&decision.arm)];
                bandit.reward(decision.decision_id, reward, now).unwrap();
            }
            let (mut made, mut said) = ([0.0; 4], [0.0; 4]);
            for _ in 0..20_000 {
                let decision = bandit.select(context, 100).unwrap();
                made[number(&decision.arm)] += 1.0 / 20_000.0;
                said[number(&decision.arm)] = decision.probability;
            }
            let is_near = |(made, said): (&f64, &f64)| (made - said).abs() < 0.015;
            assert!(made.iter().zip(&said).all(is_near), "{policy:?} {rewards}: {made:?}, said {said:?}");
        }
    }
}

#[test]
fn old_rewards_count_less_and_then_not_at_all_and_are_not_kept() {
    for (forget, after) in [
        (Forget::Window { length: 1_600, clock: Clock::Milliseconds }, [1.0, 1.0, 0.0]),
        (Forget::HalfLife { length: 800, clock: Clock::Milliseconds }, [0.5, 0.25, 0.0]),
    ] {
        let coins = options(1, Policy::Thompson, Rewards::Bernoulli, 1);
        let mut bandit = Bandit::new(BanditOptions { forget, ..coins }).unwrap();
        let id = bandit.select(None, 0).unwrap().decision_id;
        bandit.reward(id, 1.0, 0).unwrap();
        let empty = |bandit: &mut Bandit| {
            bandit.take_delta();
            serde_json::to_value(bandit.snapshot()).unwrap()["known"]["slots"] == serde_json::json!({})
        };
        assert!(!empty(&mut bandit));
        for (now, expected) in [800, 1_599, 8_000].into_iter().zip(after) {
            let pulls = bandit.posterior(None, now).unwrap()[0].pulls;
            assert!((pulls - expected).abs() < 0.03, "{forget:?} at {now}: {pulls}");
        }
        assert!(empty(&mut bandit), "what does not count takes no memory");
    }
}

#[test]
fn rewards_of_any_scale_give_the_same_choices() {
    let chosen = |mean: f64, spread: f64| -> Vec<usize> {
        let mut bandit = bandit(3, Policy::Thompson, Rewards::Gaussian { mean, spread }, 3);
        let mut noise = Draws::of(9, 9);
        (0..300)
            .map(|now| {
                let decision = bandit.select(None, now).unwrap();
                let arm = number(&decision.arm);
                // A multiple of a power of two, so that scaling rounds nothing.
                let standard = (64.0 * (0.25 * arm as f64 + noise.normal())).floor() / 64.0;
                bandit.reward(decision.decision_id, mean + spread * standard, now).unwrap();
                arm
            })
            .collect()
    };
    assert_eq!(chosen(0.0, 1.0), chosen(0.0, 2f64.powi(900)));
    assert_eq!(chosen(0.0, 1.0), chosen(0.0, 2f64.powi(-900)));
    assert_eq!(chosen(0.0, 1.0), chosen(4_096.0, 8.0));
}
