//! What processes tell one another, and what is written down.

use super::*;
use crate::bandit::{Clock, Delta, Forget, Snapshot};

/// A bandit that has played for a while.
fn played(seed: u64, rounds: u64, forget: Forget) -> Bandit {
    let mut bandit =
        Bandit::new(BanditOptions { forget, ..options(3, Policy::Thompson, Rewards::Bernoulli, seed) })
            .unwrap();
    let means = [0.2, 0.5, 0.8];
    let mut coins = Coins::new(&means, seed);
    coins.play_on(&mut bandit, 0..rounds, 1_000);
    bandit
}

#[test]
fn who_absorbs_what_others_learnt_knows_what_they_know() {
    for forget in [
        Forget::Never,
        Forget::Window { length: 160, clock: Clock::Rewards },
        Forget::HalfLife { length: 80_000, clock: Clock::Milliseconds },
    ] {
        let (mut a, mut b) = (played(1, 500, forget), played(2, 500, forget));
        let (from_a, from_b) = (a.take_delta(), b.take_delta());
        a.absorb(&from_b, 500_000).unwrap();
        b.absorb(&from_a, 500_000).unwrap();
        let known = a.posterior(None, 500_000).unwrap();
        assert_eq!(known, b.posterior(None, 500_000).unwrap());
        let mut third = played(3, 0, forget);
        let mut both = from_a.clone();
        both.merge(&from_b).unwrap();
        third.absorb(&both, 500_000).unwrap();
        assert_eq!(known, third.posterior(None, 500_000).unwrap());
        assert!(a.take_delta().is_empty(), "what was absorbed is not sent on");
    }
}

#[test]
fn an_arm_of_others_comes_in_retired() {
    let (mut here, mut there) = (played(1, 0, Forget::Never), played(2, 0, Forget::Never));
    there.add_arm("arm 3").unwrap();
    let mut coins = Coins::new(&[0.9; 4], 1);
    coins.play_on(&mut there, 0..50, 1);
    here.absorb(&there.take_delta(), 0).unwrap();
    let posterior = here.posterior(None, 0).unwrap();
    assert_eq!((&*posterior[3].arm, posterior[3].is_retired), ("arm 3", true));
    assert!((0..100).all(|_| &*here.select(None, 0).unwrap().arm != "arm 3"));
    here.add_arm("arm 3").unwrap();
    assert!((0..100).any(|_| &*here.select(None, 0).unwrap().arm == "arm 3"));
}

#[test]
fn increments_of_other_makes_are_refused_whole() {
    let mut bandit = played(1, 10, Forget::Never);
    let before = bandit.snapshot();
    let gaussian = super::bandit(3, Policy::Thompson, GAUSSIAN, 1).take_delta();
    let error = bandit.absorb(&gaussian, 0).unwrap_err();
    assert_eq!((error.code(), bandit.snapshot() == before), ("UAT_CONFLICT", true), "{error}");
    let windowed = played(1, 10, Forget::Window { length: 160, clock: Clock::Rewards }).take_delta();
    assert!(bandit.absorb(&windowed, 0).unwrap_err().to_string().contains("`forget`"));
}

#[test]
fn the_end_of_time_is_no_reason_to_stop() {
    for clock in [Clock::Rewards, Clock::Milliseconds] {
        let mut bandit = played(1, 10, Forget::Window { length: 16, clock });
        let text = serde_json::to_string(&bandit.take_delta()).unwrap();
        let far = text.replace(r#""seen":10"#, &format!(r#""seen":{}"#, u64::MAX));
        assert_ne!(far, text);
        bandit.absorb(&serde_json::from_str(&far).unwrap(), u64::MAX).unwrap();
        let id = bandit.select(None, u64::MAX).unwrap().decision_id;
        assert_eq!(bandit.reward(id, 1.0, u64::MAX), Ok(()));
    }
}

#[test]
fn an_increment_is_the_same_after_it_was_written() {
    let delta = played(1, 100, Forget::Window { length: 160, clock: Clock::Rewards }).take_delta();
    let text = serde_json::to_string(&delta).unwrap();
    assert_eq!(serde_json::from_str::<Delta>(&text).unwrap(), delta);
    assert_eq!(delta.rewards(), 100);
    assert!(text.contains(r#""sum":""#), "whole numbers beyond 2^53 are text: {text}");
}

/// The arms of the next decisions, each of which is rewarded.
fn goes_on(bandit: &mut Bandit, context: Option<&[f64]>) -> Vec<(usize, u64)> {
    let next = |now: u64| {
        let decision = bandit.select(context, now).unwrap();
        let arm = number(&decision.arm);
        bandit.reward(decision.decision_id, [0.3, 0.5, 0.7][arm], now).unwrap();
        (arm, decision.probability.to_bits())
    };
    (1_000_000..1_000_400).map(next).collect()
}

#[test]
fn a_bandit_that_was_written_down_goes_on_to_the_same_bit() {
    let context = [1.0, 0.3, -0.2, 0.7];
    for (policy, context) in [
        (Policy::Thompson, None),
        (Policy::Ucb, None),
        (Policy::EpsilonGreedy { epsilon: 0.3 }, None),
        (Policy::TopTwoThompson { error: 1e-9 }, None),
        (Policy::LinThompson { features: 4 }, Some(&context[..])),
    ] {
        for rewards in [Rewards::Bernoulli, GAUSSIAN] {
            let mut bandit = bandit(3, policy, rewards, 11);
            goes_on(&mut bandit, context);
            let waiting = bandit.select(context, 1_000_400).unwrap().decision_id;
            let text = serde_json::to_string(&bandit.snapshot()).unwrap();
            let mut restored = Bandit::restore(serde_json::from_str::<Snapshot>(&text).unwrap()).unwrap();
            assert_eq!(restored.reward(waiting, 1.0, 1_000_500), bandit.reward(waiting, 1.0, 1_000_500));
            assert_eq!(
                goes_on(&mut restored, context),
                goes_on(&mut bandit, context),
                "{policy:?} {rewards:?}"
            );
        }
    }
}

#[test]
fn a_changed_snapshot_is_refused_or_harmless() {
    let mut bandit = played(1, 50, Forget::Never);
    bandit.select(None, 60_000).unwrap();
    let text = serde_json::to_string(&bandit.snapshot()).unwrap();
    let changed = |from: &str, to: &str| {
        assert!(text.contains(from), "{from} in {text}");
        serde_json::from_str::<Snapshot>(&text.replace(from, to)).map(Bandit::restore)
    };
    assert_eq!(
        changed(r#""maxOutstanding":65536"#, r#""maxOutstanding":0"#).unwrap().unwrap_err().code(),
        "UAT_INVALID_INPUT"
    );
    assert_eq!(changed("false]", "true]").unwrap().unwrap_err().code(), "UAT_CONFLICT");
    assert!(changed(r#""sum":""#, r#""sum":"x"#).is_err());
    let mut negative = changed(r#""sum":""#, r#""sum":"-"#).unwrap().unwrap();
    let mut far = changed(r#""arm":"#, r#""arm":9"#).unwrap().unwrap();
    for bandit in [&mut negative, &mut far] {
        let id = bandit.select(None, 60_000).unwrap().decision_id;
        assert_eq!(bandit.reward(id, 1.0, 60_000), Ok(()));
        assert!(bandit.posterior(None, 60_000).unwrap().iter().all(|arm| arm.mean.is_finite()));
    }
}
