use super::*;
use crate::sampler::SamplerKind;
use crate::space::{Ordered, Parameter, Space, Value};
use crate::study::{Event, State, StudyOptions};

/// A study with these trials.
fn study(
    options: StudyOptions,
    trials: impl IntoIterator<Item = (Vec<(&'static str, Value)>, Vec<f64>, Vec<f64>)>,
) -> Study {
    let mut events = vec![Event::Created { options, at: 0 }];
    for (trial, (values, told, constraint_values)) in (0..).zip(trials) {
        let parameters = Ordered(values.into_iter().map(|(name, value)| (name.into(), value)).collect());
        let state = if told.is_empty() { State::Failed } else { State::Complete };
        events.push(Event::Asked { trial, parameters, by: SamplerKind::Random, fit: None, at: 0 });
        events.push(Event::Told { trial, state, values: told, constraint_values, at: 0 });
    }
    Study::replay(events).unwrap()
}

/// As in `by_optuna.py`.
fn unit(trial: u32, root: f64) -> f64 {
    f64::from(trial + 1) * root.sqrt() % 1.0
}

fn check(study: &Study, expected: &[f64]) {
    let importance = study.importance();
    let sum: f64 = importance.iter().map(|(_, share)| share).sum();
    assert!((sum - 1.0).abs() < 1e-12, "{importance:?}");
    for ((name, share), expected) in importance.iter().zip(expected) {
        assert!((share - expected).abs() < 1e-6, "{name}: {share} for {expected} in {importance:?}");
    }
}

fn plane() -> Space {
    let side = |name| Parameter::new(name, Domain::float(0.0, 1.0));
    Space::new(vec![side("u"), side("v")]).unwrap()
}

#[test]
fn parameters_of_every_kind_count_as_in_optuna() {
    let space = Space::new(vec![
        Parameter::new("x", Domain::float(-5.0, 5.0)),
        Parameter::new("rate", Domain::log_float(1e-5, 1e-1)),
        Parameter::new("units", Domain::Int { low: 1, high: 300, log: true, step: 1 }),
        Parameter::new("layers", Domain::Int { low: 0, high: 20, log: false, step: 2 }),
        Parameter::new("kind", Domain::choices(["a", "b", "c"])),
        Parameter::new("drop", Domain::Float { low: 0.0, high: 1.0, log: false, step: Some(0.1) }),
    ]);
    let trials = (0..300).map(|trial| {
        let u = [2.0, 3.0, 5.0, 7.0, 11.0, 13.0].map(|root| unit(trial, root));
        let (x, rate) = (-5.0 + 10.0 * u[0], 10f64.powf(-5.0 + 4.0 * u[1]));
        let (units, layers) = (1.0 + (299.0 * u[2].powi(3)).floor(), 2.0 * (11.0 * u[3]).floor());
        let (kind, drop) = (["a", "b", "c"][(3.0 * u[4]) as usize], (11.0 * u[5]).floor() / 10.0);
        let other = if kind == "b" { 0.0 } else { 3.0 };
        let loss = x * x + 2.0 * (rate.log10() + 3.0).powi(2) + other + 0.1 * layers + 0.01 * units + drop;
        let numbers = [("x", x), ("rate", rate), ("units", units), ("layers", layers), ("drop", drop)];
        let values = numbers.map(|(name, number)| (name, Value::Number(number))).into_iter();
        (values.chain([("kind", kind.into())]).collect(), vec![loss], vec![])
    });
    let study = study(StudyOptions::new("mixed", space.unwrap()), trials);
    let [x, rate, kind] = [0.598_541_236_444_728_5, 0.260_789_539_545_531_1, 0.062_651_968_268_167_02];
    let [units, drop, layers] =
        [0.041_956_956_467_057_66, 0.019_932_462_455_136_912, 0.016_127_836_819_398_71];
    check(&study, &[x, rate, units, layers, kind, drop]);
}

#[test]
fn conditional_parameters_count_as_in_optuna() {
    let space = Space::new(vec![
        Parameter::new("model", Domain::choices(["svm", "tree"])),
        Parameter::new("c", Domain::log_float(1e-3, 1e3)).when("model", "svm"),
        Parameter::new("noise", Domain::float(0.0, 1.0)).when("model", "svm"),
        Parameter::new("depth", Domain::int(1, 12)).when("model", "tree"),
    ]);
    let trials = (0..200).map(|trial| {
        let u = [2.0, 3.0, 5.0].map(|root| unit(trial, root));
        if u[0] < 0.5 {
            let c = 10f64.powf(-3.0 + 6.0 * u[1]);
            let values = vec![("model", "svm".into()), ("c", c.into()), ("noise", u[2].into())];
            (values, vec![c.log10().abs() + 0.01 * u[2]], vec![])
        } else {
            let depth = 1.0 + (12.0 * u[1]).floor();
            (
                vec![("model", "tree".into()), ("depth", depth.into())],
                vec![1.0 + 0.2 * (depth - 7.0).abs()],
                vec![],
            )
        }
    });
    let study = study(StudyOptions::new("conditional", space.unwrap()), trials);
    check(&study, &[0.037_475_185_364_945_415, 0.956_769_362_043_409_6, 0.005_755_452_591_644_949, 0.0]);
}

fn few(trial: u32) -> (Vec<(&'static str, Value)>, f64) {
    let (u, v) = (unit(trial, 2.0), unit(trial, 3.0));
    (vec![("u", u.into()), ("v", v.into())], (u - 0.3).powi(2) + 0.1 * (v - 0.6).powi(2))
}

#[test]
fn a_dozen_trials_count_as_in_optuna_and_so_do_their_negatives_where_large_values_are_good() {
    use crate::study::Direction::{Maximize, Minimize};
    for (direction, sign) in [(Minimize, 1.0), (Maximize, -1.0)] {
        let options = StudyOptions { directions: vec![direction], ..StudyOptions::new("few", plane()) };
        let trials = (0..12).map(few).map(|(values, loss)| (values, vec![sign * loss], vec![]));
        check(&study(options, trials), &[0.565_679_087_234_776_4, 0.434_320_912_765_223_55]);
    }
}

#[test]
fn trials_that_meet_the_constraints_are_better_than_others() {
    let options = StudyOptions { constraints: vec!["c".into()], ..StudyOptions::new("s", plane()) };
    // The value wants a small u; only a large v is allowed.
    let trials = (0..200).map(few).map(|(values, _)| {
        let [u, v] = [0, 1].map(|place| match values[place].1 {
            Value::Number(number) => number,
            _ => 0.0,
        });
        (values, vec![u], vec![0.9 - v])
    });
    let importance = study(options, trials).importance();
    assert!(importance[1].1 > 0.5, "{importance:?}");
}

#[test]
fn equal_shares_say_that_nothing_is_known() {
    let none: [f64; 0] = [];
    for told in [vec![], vec![1.0], vec![1.0; 40], none.to_vec()] {
        let trials = (0..).zip(told).map(|(trial, value)| (few(trial).0, vec![value], vec![]));
        check(&study(StudyOptions::new("s", plane()), trials), &[0.5, 0.5]);
    }
    let failed = (0..20).map(|trial| (few(trial).0, vec![], vec![]));
    check(&study(StudyOptions::new("s", plane()), failed), &[0.5, 0.5]);
}

#[test]
fn ends_of_ranges_that_a_difference_cannot_hold_do_no_harm() {
    let huge = Parameter::new("u", Domain::float(-1.7e308, 1.7e308));
    let space = Space::new(vec![huge, Parameter::new("v", Domain::choices([true]))]).unwrap();
    let trials = (0..40).map(|trial| {
        let u = 1.7e308 * (2.0 * unit(trial, 2.0) - 1.0);
        (vec![("u", u.into()), ("v", true.into())], vec![u], vec![])
    });
    check(&study(StudyOptions::new("s", space), trials), &[1.0, 0.0]);
}
