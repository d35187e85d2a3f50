//! What is advised, in loops whose answer is known.

use super::*;

#[test]
fn the_sources_follow_one_another() {
    let mut advisor = dial();
    let advice = rounds(&mut advisor, &Request::default(), 60, call);
    let of = |n: usize| advice[n].source;
    assert_eq!(
        [of(0), of(5), of(7), of(59)],
        [Source::Prior, Source::Prior, Source::Bandit, Source::Bayesian]
    );
    assert_eq!(advice[0].expected, Expected::default());
    assert_eq!(advice[59].observations, 59);
}

#[test]
fn a_loop_comes_to_the_best_call_within_the_limit() {
    let mut advisor = dial();
    let request = within_ms(550.0, Mode::Explore);
    rounds(&mut advisor, &request, 300, call);
    let advice = advisor.advise(&within_ms(550.0, Mode::Recommend), 0).unwrap();
    // At 0.38 nineteen of twenty calls take less than 550 ms: (100 + 900 * 0.38) * exp(0.1 * 1.645) = 521; at 0.42, 564.
    assert!((0.34..0.42).contains(&x(&advice.parameters)), "{advice:?}");
    assert!((0.95..=1.0).contains(&advice.feasible_probability), "{advice:?}");
    let expected = advice.expected;
    assert!((expected.reward.unwrap() - x(&advice.parameters)).abs() < 0.05, "{advice:?}");
    assert!((expected.latency_ms.unwrap() / (100.0 + 900.0 * x(&advice.parameters)) - 1.0).abs() < 0.05);
    // Another limit is answered from the same records.
    let wider = advisor.advise(&within_ms(2_000.0, Mode::Recommend), 0).unwrap();
    assert!(x(&wider.parameters) > 0.5 && wider.feasible_probability > 0.95, "{wider:?}");
}

#[test]
fn a_limit_that_nothing_meets_gets_the_nearest_and_is_told() {
    let mut advisor = dial();
    rounds(&mut advisor, &Request::default(), 200, call);
    let advice = advisor.advise(&within_ms(60.0, Mode::Recommend), 0).unwrap();
    assert!(advice.feasible_probability < 0.2, "{advice:?}");
    let limits = Limits { min_quality: Some(5.0), ..Limits::default() };
    let advice = advisor.advise(&Request { limits, ..recommendation() }, 0).unwrap();
    assert!(advice.feasible_probability < 0.1, "{advice:?}");
}

#[test]
fn recommendations_alone_go_through_the_priors_and_then_stay_with_the_best() {
    let mut advisor = dial();
    let priors: Vec<f64> = advisor.priors().map(|prior| x(&prior)).collect();
    let advice = rounds(&mut advisor, &recommendation(), 60, call);
    let first: Vec<f64> = advice[..priors.len()].iter().map(|advice| x(&advice.parameters)).collect();
    assert_eq!(first, priors);
    let best = priors.iter().copied().fold(0.0, f64::max);
    assert!(advice[40..].iter().all(|advice| x(&advice.parameters) > best - 0.1), "{best}");
}

#[test]
fn a_recommendation_is_the_same_for_every_number() {
    let mut advisor = dial();
    rounds(&mut advisor, &Request::default(), 50, call);
    let first = advisor.advise(&recommendation(), 0).unwrap();
    assert!((1..50).all(|number| advisor.advise(&recommendation(), number).unwrap() == first));
}

#[test]
fn what_changed_is_forgotten() {
    let mut advisor = dial();
    rounds(&mut advisor, &Request::default(), 300, call);
    let turned = |x: f64, number| Record { reward: Some(1.0 - x), ..call(x, number) };
    rounds(&mut advisor, &Request::default(), 300, turned);
    let advice = advisor.advise(&recommendation(), 0).unwrap();
    assert!(x(&advice.parameters) < 0.15, "{advice:?}");
}

#[test]
fn parameters_whose_calls_fail_are_left() {
    let mut advisor = dial();
    let failing =
        |x: f64, number| Record { error: (x > 0.6).then(|| "overloaded".into()), ..call(x, number) };
    rounds(&mut advisor, &Request::default(), 200, failing);
    let advice = advisor.advise(&recommendation(), 0).unwrap();
    assert!((0.4..=0.62).contains(&x(&advice.parameters)), "{advice:?}");
    let performance = advisor.performance(0);
    assert!(performance.errors > 0 && performance.trials == 200, "{performance:?}");
}

#[test]
fn rewards_that_never_come_leave_the_first_guess_that_is_fast_enough() {
    let mut advisor = dial();
    let silent = |x: f64, number| Record { reward: None, ..call(x, number) };
    rounds(&mut advisor, &within_ms(500.0, Mode::Recommend), 100, silent);
    let advice = advisor.advise(&within_ms(500.0, Mode::Recommend), 0).unwrap();
    assert_eq!((advice.source, advice.expected.reward), (Source::Bandit, None));
    assert!(x(&advice.parameters) < 0.45, "{advice:?}");
}

#[test]
fn a_long_prompt_leaves_less_time_for_the_answer() {
    let mut advisor = dial();
    let context = |tokens: f64| Ordered(vec![("prompt_tokens".into(), tokens)]);
    for number in 0..300 {
        let tokens = if number % 2 == 0 { 100.0 } else { 3_000.0 };
        let limits = Limits { max_latency_ms: Some(900.0), ..Limits::default() };
        let advice =
            advisor.advise(&Request { limits, context: context(tokens), ..Request::default() }, number);
        let mut record = call(x(&advice.unwrap().parameters), number);
        record.latency_ms = record.latency_ms.map(|ms| if tokens > 1_000.0 { 2.0 * ms } else { ms });
        advisor.observe(&Record { context: context(tokens), ..record }).unwrap();
    }
    let mut ask = |tokens: f64| {
        let request = Request { context: context(tokens), ..within_ms(900.0, Mode::Recommend) };
        x(&advisor.advise(&request, 0).unwrap().parameters)
    };
    let (short, long) = (ask(100.0), ask(3_000.0));
    assert!(short > 0.6 && (0.15..0.35).contains(&long), "{short} {long}");
}

#[test]
fn what_cannot_be_is_named() {
    let mut advisor = dial();
    let mut refused = |record: Record, message: &str| {
        let error = advisor.observe(&record).unwrap_err();
        assert_eq!((error.code(), error.to_string().as_str()), ("UAT_INVALID_INPUT", message));
    };
    refused(Record { reward: Some(f64::NAN), ..call(0.5, 0) }, "`reward` is NaN; it must be finite");
    refused(
        Record { latency_ms: Some(-1.0), ..call(0.5, 0) },
        "`latency_ms` is -1; it must be finite and at least 0",
    );
    refused(Record { parameters: at(2.0), ..call(0.5, 0) }, "parameter `x` cannot be 2");
    refused(
        Record { parameters: at(0.5), ..Record::default() },
        "a record needs at least one of `reward`, `latency_ms`, `cost_usd`, `tokens` and `error`",
    );
    assert_eq!(advisor.observations(), 0);
    let with = |name: &str| Record { context: Ordered(vec![(name.into(), 1.0)]), ..call(0.5, 0) };
    advisor.observe(&with("tokens")).unwrap();
    let error = advisor.observe(&with("words")).unwrap_err().to_string();
    assert_eq!(error, "`context` has the feature `words`, which no record has; known are `tokens`");
    let request = within_ms(f64::NAN, Mode::Explore);
    let error = advisor.advise(&request, 0).unwrap_err().to_string();
    assert_eq!(error, "`max_latency_ms` is NaN; it must be finite and at least 0");
}

#[test]
fn a_task_decides_the_first_guess() {
    let first = |task: &str| advisor(task).priors().next().unwrap().get("temperature").cloned();
    assert_eq!(first("code_generation"), Some(Value::Number(0.2)));
    assert_eq!(first("Creative writing"), Some(Value::Number(1.0)));
    assert_eq!(first("anything"), Some(Value::Number(0.7)));
}

#[test]
fn performance_is_that_of_a_time() {
    let mut advisor = dial();
    for (number, latency) in (1..=20).map(|n| (n, 100.0 * n as f64)) {
        let x = if number % 2 == 0 { 0.25 } else { 0.75 };
        let record = Record { latency_ms: Some(latency), cost_usd: Some(0.5), at: number, ..call(x, number) };
        advisor.observe(&record).unwrap();
    }
    let late = Record { parameters: at(0.25), reward: Some(1.0), follows: true, at: 20, ..Record::default() };
    advisor.observe(&late).unwrap();
    let performance = advisor.performance(11);
    assert_eq!((performance.trials, performance.errors, performance.cost_usd), (10, 0, 5.0));
    assert_eq!((performance.latency_p50, performance.latency_p95), (Some(1_500.0), Some(2_000.0)));
    assert_eq!(performance.best.as_ref().map(x), Some(0.75));
}

#[test]
fn a_limit_of_nothing_is_met_by_calls_that_cost_nothing() {
    let mut advisor = dial();
    let free = |x: f64, n: u64| Record { cost_usd: Some(0.0), ..call(x, n) };
    rounds(&mut advisor, &Request::default(), 120, free);
    let mut request = within_ms(550.0, Mode::Recommend);
    request.limits.max_cost_usd = Some(0.0);
    let advice = advisor.advise(&request, 0).unwrap();
    assert!(advice.feasible_probability > 0.9, "{advice:?}");
    assert!(x(&advice.parameters) < 0.45, "the other limit counts: {advice:?}");
}

#[test]
fn what_was_called_is_a_candidate_to_the_bit() {
    let space = Space::new(vec![Parameter::new("rate", Domain::log_float(1e-5, 0.1))]).unwrap();
    let point = |rate| space.point(&Ordered(vec![("rate".into(), Value::Number(rate))])).unwrap();
    let rates: Vec<f64> = (1..40).map(|n| 1e-5 * 1.25f64.powi(n) * 1.000_000_7).collect();
    assert!(
        rates.iter().any(|rate| space.decode(&space.encode(&point(*rate))) != point(*rate)),
        "coordinates are rounded"
    );
    let mut advisor =
        Advisor::new(AdvisorOptions { space: Some(space.clone()), ..AdvisorOptions::default() }).unwrap();
    for rate in &rates {
        let parameters = Ordered(vec![("rate".into(), Value::Number(*rate))]);
        advisor.observe(&Record { parameters, reward: Some(0.5), ..Record::default() }).unwrap();
    }
    advisor.advise(&recommendation(), 0).unwrap();
    let models = &advisor.fitted.as_ref().unwrap().models;
    for rate in &rates[10..] {
        let own =
            models.candidates.iter().filter(|candidate| candidate.tried && candidate.point == point(*rate));
        assert_eq!(own.count(), 1, "{rate}");
    }
}
