//! Any records in any order: advice inside of the space, the same again, and no panic.

use proptest::prelude::*;

use super::*;
use crate::space::tests::any_domain;

fn any_space() -> impl Strategy<Value = Space> {
    prop::collection::vec(any_domain(), 1..5).prop_map(|domains| {
        let named = domains.into_iter().enumerate();
        Space::new(named.map(|(place, domain)| Parameter::new(&format!("p{place}"), domain)).collect())
            .unwrap()
    })
}

/// Of every order of magnitude, the ends included.
fn any_number() -> impl Strategy<Value = f64> {
    let power = (-300..=300i32, 0.1..10.0f64).prop_map(|(power, unit)| unit * 10f64.powi(power));
    prop_oneof![Just(0.0), Just(1.0), Just(f64::MAX), Just(f64::MIN_POSITIVE), 0.0..1.0f64, power]
}

/// Where in the cube (few places, so that some are there again and again), and what came of it.
fn any_record() -> impl Strategy<Value = (u64, Record)> {
    let some = || prop::option::of(any_number());
    (0..12u64, some(), any::<bool>(), some(), some(), prop::bool::weighted(0.2), any::<bool>()).prop_map(
        |(place, reward, negative, latency_ms, cost_usd, failed, context)| {
            let reward = reward.map(|reward| if negative { -reward } else { reward });
            let context =
                if context { Ordered(vec![("size".into(), place as f64 * 1e3)]) } else { Context::default() };
            let error = failed.then(|| "failed".to_owned());
            (
                place,
                Record { reward, latency_ms, cost_usd, error, context, tokens: Some(1), ..Record::default() },
            )
        },
    )
}

fn any_limits() -> impl Strategy<Value = Limits> {
    let some = || prop::option::of(any_number());
    (some(), some(), some()).prop_map(|(max_latency_ms, max_cost_usd, min_quality)| Limits {
        max_latency_ms,
        max_cost_usd,
        min_quality,
    })
}

fn finite(advice: &Advice) -> bool {
    let Expected { reward, reward_std, latency_ms, cost_usd } = advice.expected;
    let numbers = [reward, reward_std, latency_ms, cost_usd, Some(advice.feasible_probability)];
    numbers.iter().flatten().all(|number| number.is_finite())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn advice_is_a_point_of_the_space_and_the_same_again(
        space in any_space(), records in prop::collection::vec(any_record(), 0..70), limits in any_limits(), seed: u64,
    ) {
        let options = || AdvisorOptions { space: Some(space.clone()), task_type: "chat".into(), seed };
        let mut advisor = Advisor::new(options()).unwrap();
        let explore = Request { limits, ..Request::default() };
        let mut journal = Vec::new();
        for (number, (place, record)) in records.into_iter().enumerate() {
            let cube = Stream::new(seed, place).cube(space.dimensions());
            let record = Record { parameters: space.values(&space.sample(&cube)), ..record };
            journal.push(serde_json::to_string(&record).unwrap());
            advisor.observe(&record).unwrap();
            if number % 7 == 0 {
                let advice = advisor.advise(&explore, number as u64).unwrap();
                prop_assert!(space.point(&advice.parameters).is_ok(), "{:?}", advice);
                prop_assert!(finite(&advice) && (0.0..=1.0).contains(&advice.feasible_probability), "{:?}", advice);
            }
        }
        let mut again = Advisor::new(options()).unwrap();
        for line in journal {
            again.observe(&serde_json::from_str(&line).unwrap()).unwrap();
        }
        for number in 0..4 {
            let recommend = Request { mode: Mode::Recommend, ..explore.clone() };
            // In another order.
            let (first, second) = (advisor.advise(&explore, number), advisor.advise(&recommend, number));
            prop_assert_eq!(second.unwrap(), again.advise(&recommend, number).unwrap());
            prop_assert_eq!(first.unwrap(), again.advise(&explore, number).unwrap());
        }
        advisor.performance(0);
    }
}

#[test]
fn ten_thousand_records_are_kept_and_more_do_no_harm() {
    let mut advisor = dial();
    for number in 0..12_000 {
        advisor.observe(&call(Stream::new(1, number).unit(), number)).unwrap();
    }
    assert_eq!((advisor.performance(0).trials, advisor.observations()), (10_000, 12_000));
    assert!(x(&advisor.advise(&recommendation(), 0).unwrap().parameters) > 0.9);
}

#[test]
fn a_thousand_records_of_one_point_do_no_harm() {
    let mut advisor = dial();
    for _ in 0..1_000 {
        advisor.observe(&Record { parameters: at(0.5), reward: Some(1.0), ..Record::default() }).unwrap();
    }
    let advice = advisor.advise(&Request::default(), 3).unwrap();
    assert!(advice.expected.reward.is_some_and(|reward| (reward - 1.0).abs() < 0.5), "{advice:?}");
}
