//! Any space, any history: a suggestion inside of the space, and no panic.

use proptest::prelude::*;

use super::*;
use crate::sampler::SamplerKind;
use crate::space::tests::any_domain;
use crate::space::{Domain, Parameter, Space};

/// Some parameters of any kind, the later ones perhaps only where an earlier one has its first value.
fn any_space() -> impl Strategy<Value = Space> {
    prop::collection::vec((any_domain(), any::<bool>()), 1..6).prop_map(|domains| {
        let mut parameters: Vec<Parameter> = Vec::new();
        for (place, (domain, conditional)) in domains.into_iter().enumerate() {
            let first = parameters.iter().find_map(|parameter| match &parameter.domain {
                Domain::Categorical { choices } => Some((parameter.name.clone(), choices[0].value.clone())),
                _ => None,
            });
            let parameter = Parameter::new(&format!("p{place}"), domain);
            parameters.push(match first {
                Some((name, value)) if conditional => parameter.when(&name, value),
                _ => parameter,
            });
        }
        Space::new(parameters).unwrap()
    })
}

/// What trials come to: one scale for all, or any.
fn any_values() -> impl Strategy<Value = Vec<Option<f64>>> {
    let any = || {
        prop_oneof![
            Just(Some(0.0)),
            Just(Some(1e300)),
            Just(Some(-1e300)),
            Just(Some(1e-300)),
            Just(Some(f64::MAX)),
            (-1.0..1.0f64).prop_map(Some),
            Just(None),
        ]
    };
    let scaled = (-300..=300i32, prop::collection::vec(-1.0..1.0f64, 24))
        .prop_map(|(power, values)| values.iter().map(|value| Some(value * 10f64.powi(power))).collect());
    prop_oneof![prop::collection::vec(any(), 24), scaled, any().prop_map(|one| vec![one; 24])]
}

fn sampler() -> impl Strategy<Value = SamplerKind> {
    prop_oneof![4 => Just(SamplerKind::Gp), 1 => Just(SamplerKind::Tpe), 1 => Just(SamplerKind::Sobol), 1 => Just(SamplerKind::Random)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn a_suggestion_is_always_a_point_of_the_space(
        space in any_space(), values in any_values(), constrained: bool, sampler in sampler(), repeat in 0..4u64, seed: u64,
    ) {
        let constraints = if constrained { vec!["c".into()] } else { Vec::new() };
        let options = StudyOptions { constraints, sampler, seed, ..StudyOptions::new("s", space) };
        let mut study = Study::create(options, 0).unwrap();
        for value in values {
            // Now and then a point again, as somebody may import it.
            let count = study.trials().len() as u64;
            let again = study.trials().next().filter(|trial| repeat > 0 && count % 5 < repeat && trial.id < 1).cloned();
            let trial = match again {
                Some(first) => {
                    let (trial, parameters) = (study.trials().len() as u64, study.space().values(&first.point));
                    study.happen(Event::Asked { trial, parameters, by: SamplerKind::Random, fit: None, at: 0 }).unwrap();
                    trial
                }
                None => study.ask(1, 0).unwrap()[0],
            };
            let point = study.trial(trial).unwrap().point.clone();
            let settings = study.space().values(&point);
            prop_assert_eq!(study.space().point(&settings).unwrap(), point);
            let outcome = match value {
                Some(value) => Outcome::Values(vec![value], if constrained { vec![-value] } else { vec![] }),
                None => Outcome::Nothing,
            };
            study.tell(trial, outcome, 0).unwrap();
        }
        study.ask(3, 0).unwrap();
    }
}

#[test]
fn a_thousand_observations_of_one_point_do_no_harm() {
    let space = Space::new(vec![
        Parameter::new("x", Domain::float(0.0, 1.0)),
        Parameter::new("y", Domain::float(0.0, 1.0)),
    ])
    .unwrap();
    let mut study =
        Study::create(StudyOptions { sampler: SamplerKind::Gp, ..StudyOptions::new("s", space) }, 0).unwrap();
    let parameters = serde_json::from_str::<crate::space::ParameterValues>(r#"{"x":0.5,"y":0.25}"#).unwrap();
    for trial in 0..1_000 {
        let parameters = parameters.clone();
        study.happen(Event::Asked { trial, parameters, by: SamplerKind::Random, fit: None, at: 0 }).unwrap();
        study.tell(trial, Outcome::Values(vec![(trial % 7) as f64], vec![]), 0).unwrap();
    }
    let next = study.ask(1, 0).unwrap()[0];
    let point = study.trial(next).unwrap();
    assert_eq!(point.by, SamplerKind::Gp);
    assert!(point.point.numbers() != [0.5, 0.25]);
}
