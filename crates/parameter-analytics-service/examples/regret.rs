//! Simple regret of the Gaussian process on test functions, and the CPU time of an ask, as JSON.
//!
//! `cargo run --release -p parameter-analytics-service --example regret -- [--seeds 5] [--first-seed 0] [--trials 70]
//! [--problems branin,hartmann6] [--sampler gp] [--time 50,100,200,500]`
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example speaks to the terminal and stops at errors"
)]

use std::f64::consts::{E, PI};

use parameter_analytics_service::sampler::SamplerKind;
use parameter_analytics_service::space::{Domain, Parameter, Space};
use parameter_analytics_service::study::{Event, Outcome, Study, StudyOptions};
use serde_json::json;

struct Problem {
    name: &'static str,
    bounds: Vec<(f64, f64)>,
    best: f64,
    f: fn(&[f64]) -> f64,
}

fn branin(x: &[f64]) -> f64 {
    let valley = x[1] - 5.1 / (4.0 * PI * PI) * x[0] * x[0] + 5.0 / PI * x[0] - 6.0;
    valley * valley + 10.0 * (1.0 - 1.0 / (8.0 * PI)) * x[0].cos() + 10.0
}

fn hartmann6(x: &[f64]) -> f64 {
    const ALPHA: [f64; 4] = [1.0, 1.2, 3.0, 3.2];
    const A: [[f64; 6]; 4] = [
        [10.0, 3.0, 17.0, 3.5, 1.7, 8.0],
        [0.05, 10.0, 17.0, 0.1, 8.0, 14.0],
        [3.0, 3.5, 1.7, 10.0, 17.0, 8.0],
        [17.0, 8.0, 0.05, 10.0, 0.1, 14.0],
    ];
    const P: [[f64; 6]; 4] = [
        [1312.0, 1696.0, 5569.0, 124.0, 8283.0, 5886.0],
        [2329.0, 4135.0, 8307.0, 3736.0, 1004.0, 9991.0],
        [2348.0, 1451.0, 3522.0, 2883.0, 3047.0, 6650.0],
        [4047.0, 8828.0, 8732.0, 5743.0, 1091.0, 381.0],
    ];
    let well = |i: usize| {
        let distance: f64 = (0..6).map(|j| A[i][j] * (x[j] - P[i][j] * 1e-4).powi(2)).sum();
        ALPHA[i] * (-distance).exp()
    };
    -(0..4).map(well).sum::<f64>()
}

fn ackley(x: &[f64]) -> f64 {
    let d = x.len() as f64;
    let squares = x.iter().map(|x| x * x).sum::<f64>() / d;
    let waves = x.iter().map(|x| (2.0 * PI * x).cos()).sum::<f64>() / d;
    -20.0 * (-0.2 * squares.sqrt()).exp() - waves.exp() + 20.0 + E
}

fn rosenbrock(x: &[f64]) -> f64 {
    x.windows(2).map(|x| 100.0 * (x[1] - x[0] * x[0]).powi(2) + (1.0 - x[0]).powi(2)).sum()
}

fn problems() -> Vec<Problem> {
    vec![
        Problem {
            name: "branin",
            bounds: vec![(-5.0, 10.0), (0.0, 15.0)],
            best: 0.397_887_357_729_738,
            f: branin,
        },
        Problem { name: "hartmann6", bounds: vec![(0.0, 1.0); 6], best: -3.322_368_011_415_51, f: hartmann6 },
        Problem { name: "ackley5", bounds: vec![(-32.768, 32.768); 5], best: 0.0, f: ackley },
        Problem { name: "rosenbrock4", bounds: vec![(-5.0, 10.0); 4], best: 0.0, f: rosenbrock },
    ]
}

fn space(problem: &Problem) -> Space {
    let bounds = problem.bounds.iter().enumerate();
    let parameter =
        |(n, &(low, high)): (usize, &(f64, f64))| Parameter::new(&format!("x{n}"), Domain::float(low, high));
    Space::new(bounds.map(parameter).collect()).unwrap()
}

fn cpu_ms() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    now.tv_sec as f64 * 1e3 + now.tv_nsec as f64 / 1e6
}

fn tell(study: &mut Study, trial: u64, f: fn(&[f64]) -> f64) -> f64 {
    let value = f(study.trial(trial).unwrap().point.numbers());
    study.tell(trial, Outcome::Values(vec![value], Vec::new()), 0).unwrap();
    value
}

fn regret(problem: &Problem, sampler: SamplerKind, seed: u64, trials: usize) -> serde_json::Value {
    let options = StudyOptions { sampler, seed, ..StudyOptions::new("regret", space(problem)) };
    let mut study = Study::create(options, 0).unwrap();
    let (mut curve, mut best) = (Vec::new(), f64::INFINITY);
    let before = cpu_ms();
    for _ in 0..trials {
        let trial = study.ask(1, 0).unwrap()[0];
        best = best.min(tell(&mut study, trial, problem.f));
        curve.push(best - problem.best);
    }
    let last = curve.last().copied();
    let mut points: Vec<Vec<u64>> =
        study.trials().map(|trial| trial.point.numbers().iter().map(|x| x.to_bits()).collect()).collect();
    points.sort();
    points.dedup();
    let duplicates = trials - points.len();
    json!({"problem": problem.name, "duplicates": duplicates, "seed": seed, "regret": last, "cpu_ms": cpu_ms() - before, "curve": curve})
}

/// What people tune of a language model.
fn prompts() -> Space {
    let of = |name: &str, domain: Domain| Parameter::new(name, domain);
    Space::new(vec![
        of("temperature", Domain::float(0.0, 2.0)),
        of("top_p", Domain::float(0.1, 1.0)),
        of("frequency_penalty", Domain::float(-2.0, 2.0)),
        of("max_tokens", Domain::Int { low: 64, high: 4096, log: true, step: 1 }),
        of("examples", Domain::int(0, 8)),
        of("model", Domain::choices(["small", "medium", "large"])),
        of("style", Domain::choices(["plain", "steps", "critique", "vote"])),
        of("rounds", Domain::int(1, 5)).when("style", "critique"),
    ])
    .unwrap()
}

/// A smooth function of a point of [`prompts`]; what is not active counts as 0.
fn answer(x: &[f64]) -> f64 {
    let x: Vec<f64> = x.iter().map(|x| if x.is_nan() { 0.0 } else { *x }).collect();
    (x[0] - 0.7).powi(2)
        + (x[1] - 0.9).powi(2)
        + 0.1 * x[2].abs()
        + 0.05 * (x[3].ln() - 6.0).powi(2)
        + 0.02 * (x[4] - 3.0).powi(2)
        + [0.5, 0.2, 0.0][x[5] as usize]
        + [0.4, 0.1, 0.3, 0.2][x[6] as usize]
        - 0.05 * x[7]
}

/// A study that knows so many random points.
fn filled(space: Space, f: fn(&[f64]) -> f64, n: usize) -> Study {
    let options = StudyOptions { sampler: SamplerKind::Random, seed: 1, ..StudyOptions::new("time", space) };
    let mut study = Study::create(options, 0).unwrap();
    for _ in 0..n {
        let trial = study.ask(1, 0).unwrap()[0];
        tell(&mut study, trial, f);
    }
    let mut events = study.take_events();
    if let Some(Event::Created { options, .. }) = events.first_mut() {
        options.sampler = SamplerKind::Gp;
    }
    Study::replay(events).unwrap()
}

/// Mean and largest CPU ms of an ask over a whole time between two fits, the first and cold one apart; and per point of a batch of 8.
fn times(name: &str, space: Space, f: fn(&[f64]) -> f64, n: usize) -> serde_json::Value {
    let mut study = filled(space, f, n);
    let mut ask = |count: usize| {
        let before = cpu_ms();
        let trials = study.ask(count, 0).unwrap();
        let took = cpu_ms() - before;
        for trial in trials {
            tell(&mut study, trial, f);
        }
        took
    };
    let cold = ask(1);
    let period = (n / 12).max(10);
    let took: Vec<f64> = (0..period).map(|_| ask(1)).collect();
    let batch = ask(8) / 8.0;
    let mean = took.iter().sum::<f64>() / period as f64;
    let mut sorted = took.clone();
    sorted.sort_by(f64::total_cmp);
    let (median, largest) = (sorted[period / 2], sorted[period - 1]);
    json!({"space": name, "n": n, "cpu_ms_mean": mean, "cpu_ms_median": median, "cpu_ms_largest": largest, "cpu_ms_cold": cold, "cpu_ms_per_point_of_8": batch})
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let option = |name: &str, default: &str| {
        let place = arguments.iter().position(|argument| argument == name);
        place.and_then(|place| arguments.get(place + 1)).map_or(default, String::as_str).to_owned()
    };
    let seeds: u64 = option("--seeds", "5").parse().unwrap();
    let first_seed: u64 = option("--first-seed", "0").parse().unwrap();
    let trials: usize = option("--trials", "70").parse().unwrap();
    let sampler: SamplerKind = serde_json::from_value(json!(option("--sampler", "gp"))).unwrap();
    let wanted = option("--problems", "branin,hartmann6,ackley5,rosenbrock4");
    for problem in problems().iter().filter(|problem| wanted.split(',').any(|name| name == problem.name)) {
        for seed in first_seed..first_seed + seeds {
            println!("{}", regret(problem, sampler, seed, trials));
        }
    }
    let at = option("--time", "50,100,200,500");
    for n in at.split(',').filter_map(|n| n.parse().ok()) {
        println!("{}", times("hartmann6", space(&problems()[1]), hartmann6, n));
        println!("{}", times("prompts", prompts(), answer, n));
    }
}
