use serde_json::json;

use super::*;
use crate::space::{Space, SpaceDocument};

fn options(document: serde_json::Value) -> StudyOptions {
    serde_json::from_value(document).unwrap()
}

fn mixed(sampler: &str) -> StudyOptions {
    options(json!({
        "name": "s", "sampler": sampler, "seed": 7,
        "space": {
            "x": {"type": "float", "low": -1, "high": 1},
            "lr": {"type": "float", "low": 1e-5, "high": 0.1, "log": true},
            "k": {"type": "int", "low": 1, "high": 9},
            "model": {"type": "categorical", "choices": ["a", "b"]},
            "depth": {"type": "int", "low": 1, "high": 4, "when": {"model": "a"}},
        },
    }))
}

fn value(study: &Study, trial: u64) -> f64 {
    let point = study.trial(trial).unwrap().point.numbers().to_vec();
    let depth = if point[4].is_nan() { 2.0 } else { point[4] };
    (point[0] - 0.3).powi(2)
        + (point[1].ln() + 6.0).powi(2) / 10.0
        + (point[2] - 4.0).abs() / 5.0
        + point[3]
        + depth / 9.0
}

fn run(study: &mut Study, trials: usize) -> Vec<Vec<u64>> {
    let mut points = Vec::new();
    for _ in 0..trials {
        let trial = study.ask(1, 0).unwrap()[0];
        points.push(study.trial(trial).unwrap().point.key().to_vec());
        let value = value(study, trial);
        study.tell(trial, Outcome::Values(vec![value], vec![]), 0).unwrap();
    }
    points
}

#[test]
fn a_study_that_is_replayed_goes_on_bit_for_bit() {
    for sampler in ["gp", "tpe", "random", "sobol", "auto"] {
        let mut study = Study::create(mixed(sampler), 0).unwrap();
        let points = run(&mut study, 40);
        for stop in [0, 3, 17, 30, 39] {
            let mut first = Study::create(mixed(sampler), 0).unwrap();
            let mut all = run(&mut first, stop);
            let written = serde_json::to_string(&first.take_events()).unwrap();
            drop(first);
            let mut second = Study::replay(serde_json::from_str::<Vec<Event>>(&written).unwrap()).unwrap();
            all.extend(run(&mut second, 40 - stop));
            assert!(all == points, "{sampler}, stopped at {stop}");
        }
    }
}

#[test]
fn it_goes_on_bit_for_bit_between_two_fits_as_well() {
    let mut study = Study::create(mixed("gp"), 0).unwrap();
    let points = run(&mut study, 120);
    let events = study.take_events();
    for stop in [52, 61, 104, 113] {
        let asked = |event: &Event| matches!(event, Event::Asked { trial, .. } if *trial >= stop);
        let until = events.iter().position(asked).unwrap();
        let mut again = Study::replay(events[..until].to_vec()).unwrap();
        let rest = run(&mut again, 120 - stop as usize);
        assert!(rest == points[stop as usize..], "stopped at {stop}");
    }
}

#[test]
fn no_point_is_tried_twice_until_all_were() {
    let mut study = Study::create(
        options(json!({"name": "s", "space": {
            "a": {"type": "int", "low": 1, "high": 5}, "b": {"type": "categorical", "choices": [true, false]},
            "c": {"type": "float", "low": 0, "high": 1, "step": 0.5, "when": {"b": true}}}})),
        0,
    )
    .unwrap();
    let mut points: Vec<_> = (0..20)
        .map(|n| {
            let trial = study.ask(1, 0).unwrap()[0];
            study.tell(trial, Outcome::Values(vec![f64::from(n % 3)], vec![]), 0).unwrap();
            study.trial(trial).unwrap().point.key()
        })
        .collect();
    points.sort();
    points.dedup();
    assert_eq!(points.len(), 20);
    assert!(study.ask(3, 0).is_ok(), "then they are tried again");
}

#[test]
fn a_batch_has_different_points_and_so_have_trials_that_failed() {
    let mut study = Study::create(mixed("gp"), 0).unwrap();
    run(&mut study, 15);
    let batch = study.ask(8, 0).unwrap();
    let mut points: Vec<_> = batch.iter().map(|trial| study.trial(*trial).unwrap().point.key()).collect();
    points.sort();
    points.dedup();
    assert_eq!(points.len(), 8);
    for trial in batch {
        study.tell(trial, Outcome::Nothing, 0).unwrap();
    }
    assert!(study.trials().filter(|trial| trial.state == State::Failed).count() == 8);
    run(&mut study, 3);
}

#[track_caller]
fn check_error<T: std::fmt::Debug>(result: Result<T, StudyError>, code: &str, message: &str) {
    let error = result.unwrap_err();
    assert_eq!((error.code(), &*error.to_string()), (code, message));
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let mut study =
        Study::create(StudyOptions { constraints: vec!["cost".into()], ..mixed("random") }, 0).unwrap();
    study.ask(1, 0).unwrap();
    let told = |values: &[f64], constraints: &[f64]| Outcome::Values(values.to_vec(), constraints.to_vec());
    check_error(
        study.tell(9, told(&[1.0], &[0.0]), 0),
        "UAT_NOT_FOUND",
        "study `s` has no trial 9; it has 1, numbered from 0",
    );
    check_error(
        study.tell(0, told(&[f64::NAN], &[0.0]), 0),
        "UAT_INVALID_INPUT",
        "trial 0 was told NaN as values; tell a finite number, or null for a trial that failed",
    );
    check_error(
        study.tell(0, told(&[1.0], &[f64::INFINITY]), 0),
        "UAT_INVALID_INPUT",
        "trial 0 was told inf as constraint `cost`; tell a finite number, or null for a trial that failed",
    );
    check_error(
        study.tell(0, told(&[1.0], &[]), 0),
        "UAT_INVALID_INPUT",
        "trial 0 was told 0 constraint values, and the study has 1",
    );
    study.tell(0, told(&[1.0], &[0.0]), 0).unwrap();
    check_error(
        study.tell(0, told(&[1.0], &[0.0]), 0),
        "UAT_CONFLICT",
        "trial 0 is complete already; a trial can be told once, while it is running",
    );
    assert_eq!(study.take_events().len(), 3);
    check_error(study.ask(0, 0), "UAT_INVALID_INPUT", "`count` is 0; ask for 1 to 1000 trials at once");
    let two = StudyOptions { directions: vec![Direction::Minimize; 2], ..mixed("gp") };
    check_error(Study::create(two, 0), "UAT_UNSUPPORTED", "several objectives are not supported yet");
}

#[test]
fn a_worker_that_fell_silent_loses_its_trial() {
    let mut study = Study::create(StudyOptions { heartbeat_ms: Some(100), ..mixed("random") }, 0).unwrap();
    study.ask(2, 1_000).unwrap();
    study.heartbeat(1, 1_150).unwrap();
    assert_eq!(study.reclaim(1_200).unwrap(), [] as [u64; 0]);
    assert_eq!(study.reclaim(1_201).unwrap(), [0]);
    assert_eq!(study.heartbeat(0, 1_202).unwrap_err().code(), "UAT_CONFLICT");
    study.ask(1, 1_351).unwrap();
    assert_eq!(study.trial(1).unwrap().state, State::Failed);
}

fn pruned(pruner: PrunerKind, reports: &[&[f64]], own: &[f64]) -> Vec<bool> {
    let mut study = Study::create(StudyOptions { pruner, ..mixed("random") }, 0).unwrap();
    for values in reports {
        let trial = study.ask(1, 0).unwrap()[0];
        for (step, value) in (1..).zip(*values) {
            study.report(trial, step, *value, 0).unwrap();
        }
        study.tell(trial, Outcome::Values(vec![values[values.len() - 1]], vec![]), 0).unwrap();
    }
    let trial = study.ask(1, 0).unwrap()[0];
    let said = (1..)
        .zip(own)
        .map(|(step, value)| {
            study.report(trial, step, *value, 0).unwrap();
            study.should_prune(trial).unwrap()
        })
        .collect();
    study.tell(trial, Outcome::Nothing, 0).unwrap();
    assert!(matches!(study.trial(trial).unwrap().state, State::Failed | State::Pruned));
    said
}

#[test]
fn who_is_worse_than_the_median_is_ended() {
    let five: Vec<&[f64]> = vec![&[5.0, 1.0], &[5.0, 2.0], &[5.0, 3.0], &[5.0, 4.0], &[5.0, 5.0]];
    assert_eq!(pruned(PrunerKind::Median, &five, &[5.0, 3.5]), [false, true]);
    assert_eq!(pruned(PrunerKind::Median, &five, &[2.5, 9.0]), [false, false], "its best counts");
    assert_eq!(pruned(PrunerKind::Median, &five[..4], &[9.0, 9.0]), [false, false], "four are too few");
    assert_eq!(pruned(PrunerKind::None, &five, &[9.0, 9.0]), [false, false]);
}

#[test]
fn one_of_four_climbs_each_rung() {
    let others: Vec<&[f64]> = vec![&[1.0; 5], &[2.0; 5], &[3.0; 5]];
    assert_eq!(pruned(PrunerKind::SuccessiveHalving, &others, &[0.5, 9.0, 9.0]), [false; 3]);
    assert_eq!(pruned(PrunerKind::SuccessiveHalving, &others, &[1.5]), [true]);
    assert_eq!(
        pruned(PrunerKind::SuccessiveHalving, &others, &[0.5, 9.0, 9.0, 9.0]),
        [false, false, false, true]
    );
}

#[test]
fn a_choice_that_was_retired_is_asked_no_more() {
    let mut study = Study::create(mixed("gp"), 0).unwrap();
    run(&mut study, 14);
    study.add_choice("model", "c".into()).unwrap();
    study.retire_choice("model", "a".into()).unwrap();
    let events = study.take_events();
    let mut again = Study::replay(events).unwrap();
    for study in [&mut study, &mut again] {
        run(study, 10);
        assert!(study.trials().skip(14).all(|trial| trial.point.numbers()[3] != 0.0));
    }
    assert!(study.trials().eq(again.trials()));
    assert!(study.trials().skip(14).any(|trial| trial.point.numbers()[3] == 2.0), "the new one is tried");
}

#[test]
fn constraints_are_met_in_the_end() {
    let space: SpaceDocument = serde_json::from_value(
        json!({"x": {"type": "float", "low": 0, "high": 1}, "y": {"type": "float", "low": 0, "high": 1}}),
    )
    .unwrap();
    let space = Space::try_from(space).unwrap();
    let options = StudyOptions {
        constraints: vec!["c".into()],
        directions: vec![Direction::Maximize],
        ..StudyOptions::new("s", space)
    };
    let mut study = Study::create(options, 0).unwrap();
    for _ in 0..40 {
        let trial = study.ask(1, 0).unwrap()[0];
        let point = study.trial(trial).unwrap().point.numbers().to_vec();
        // The best of x + y inside of a circle is sqrt(2) * radius, at 45 degrees.
        let circle = point[0] * point[0] + point[1] * point[1] - 0.36;
        study.tell(trial, Outcome::Values(vec![point[0] + point[1]], vec![circle]), 0).unwrap();
    }
    let best = study.best().unwrap();
    assert!(best.violation() == 0.0 && best.values[0] > 0.84, "{best:?}");
    let violated = study.trials().skip(20).filter(|trial| trial.violation() > 0.0).count();
    assert!(violated <= 8, "a search that is done keeps clear of the limit: {violated} of 20");
}
