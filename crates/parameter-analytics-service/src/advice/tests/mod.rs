mod decisions;
mod properties;

use super::*;
use crate::space::{Domain, Ordered, Parameter, Value};

fn advisor(task: &str) -> Advisor {
    Advisor::new(AdvisorOptions { task_type: task.into(), seed: 7, ..AdvisorOptions::default() }).unwrap()
}

/// One number, so that tests know where it is best.
fn dial() -> Advisor {
    let space = Space::new(vec![Parameter::new("x", Domain::float(0.0, 1.0))]).unwrap();
    Advisor::new(AdvisorOptions { space: Some(space), seed: 7, ..AdvisorOptions::default() }).unwrap()
}

fn at(x: f64) -> ParameterValues {
    Ordered(vec![("x".into(), Value::Number(x))])
}

fn x(parameters: &ParameterValues) -> f64 {
    match parameters.get("x") {
        Some(Value::Number(x)) => *x,
        other => panic!("{other:?}"),
    }
}

fn within_ms(max_latency_ms: f64, mode: Mode) -> Request {
    let limits = Limits { max_latency_ms: Some(max_latency_ms), ..Limits::default() };
    Request { limits, mode, ..Request::default() }
}

fn recommendation() -> Request {
    Request { mode: Mode::Recommend, ..Request::default() }
}

/// Reward and latency both grow with `x`: 100 to 1,000 ms, a tenth more or less.
fn call(x: f64, number: u64) -> Record {
    let mut stream = Stream::new(99, number);
    Record {
        parameters: at(x),
        reward: Some(x + 0.05 * stream.normal()),
        latency_ms: Some((100.0 + 900.0 * x) * (0.1 * stream.normal()).exp()),
        ..Record::default()
    }
}

/// So many rounds of advice, call and record.
fn rounds(
    advisor: &mut Advisor,
    request: &Request,
    count: u64,
    call: impl Fn(f64, u64) -> Record,
) -> Vec<Advice> {
    let round = |number| {
        let advice = advisor.advise(request, number).unwrap();
        advisor.observe(&call(x(&advice.parameters), number)).unwrap();
        advice
    };
    (0..count).map(round).collect()
}
