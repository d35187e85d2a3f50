//! Which trial is the best one, with noise and without.

use super::*;
use crate::sampler::SamplerKind;
use crate::space::{Domain, Parameter, Space};
use crate::stream::Stream;

fn truth(numbers: &[f64]) -> f64 {
    (numbers[0] - 0.3).powi(2) + (numbers[1] - 0.6).powi(2)
}

/// A study of 30 trials whose values have noise of this standard deviation.
fn studied(seed: u64, noise: f64) -> Study {
    let unit = |name| Parameter::new(name, Domain::float(0.0, 1.0));
    let space = Space::new(vec![unit("x"), unit("y")]).unwrap();
    let options = StudyOptions { sampler: SamplerKind::Gp, seed, ..StudyOptions::new("s", space) };
    let mut study = Study::create(options, 0).unwrap();
    let mut stream = Stream::new(seed, u64::MAX);
    for _ in 0..30 {
        let trial = study.ask(1, 0).unwrap()[0];
        let value = truth(study.trial(trial).unwrap().point.numbers()) + noise * stream.normal();
        study.tell(trial, Outcome::Values(vec![value], vec![]), 0).unwrap();
    }
    study
}

fn luckiest(study: &Study) -> u64 {
    study.ranked()[0].id
}

#[test]
fn without_noise_the_best_trial_has_the_best_value() {
    for seed in 0..4 {
        let study = studied(seed, 0.0);
        assert_eq!(study.best().unwrap().id, luckiest(&study));
    }
}

#[test]
fn under_noise_the_best_trial_is_the_one_of_which_most_is_expected() {
    for seed in 0..4 {
        let mut study = studied(seed, 0.3);
        let least = study.trial(luckiest(&study)).unwrap().values[0];
        // Five trials in the worst corner, of which the last has a value that is better than any.
        for (x, value) in [(0.97, 1.0), (0.98, 1.1), (0.96, 0.9), (0.99, 1.0), (0.975, least - 0.01)] {
            let parameters = serde_json::from_value(serde_json::json!({"x": x, "y": 0.02})).unwrap();
            let known = study.trials().next().unwrap();
            let lucky = TrialDocument { parameters, values: Some(vec![value]), ..study.document(known) };
            study.add(&lucky).unwrap();
        }
        assert_eq!(luckiest(&study), 34);
        let best = study.best().unwrap();
        assert!(best.id != 34 && truth(best.point.numbers()) < 0.4, "seed {seed}: {best:?}");
    }
}

#[test]
fn the_best_trial_follows_what_is_told_and_is_the_same_after_a_replay() {
    let mut study = studied(3, 0.1);
    let replayed = Study::replay(study.take_events()).unwrap();
    assert_eq!(study.best(), replayed.best());
    let trial = study.ask(1, 0).unwrap()[0];
    study.tell(trial, Outcome::Values(vec![-50.0], vec![]), 0).unwrap();
    assert_eq!(study.best().unwrap().id, trial, "no noise explains that");
}
