//! Writes the report of a small demonstration to stdout, a study's, or with `--bandit` a bandit's:
//! `cargo run --release -p parameter-analytics-service --example report > report.html`.
#![expect(clippy::print_stdout, reason = "an example speaks to the terminal")]

use parameter_analytics_service::Stream;
use parameter_analytics_service::bandit::{Bandit, BanditOptions, Policy, Rewards};
use parameter_analytics_service::report;
use parameter_analytics_service::space::{Domain, Parameter, Space, Value};
use parameter_analytics_service::study::{Outcome, PrunerKind, Study, StudyOptions};

/// Ms since 1970: 1 June 2026, 08:00 UTC.
const START: u64 = 1_780_300_800_000;
const TRIALS: u64 = 120;
const WORKERS: usize = 3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let page = if std::env::args().any(|argument| argument == "--bandit") { bandit()? } else { study()? };
    println!("{page}");
    Ok(())
}

/// Fine-tuning that does not exist: loss over a few settings, memory that must fit, runs that diverge, and others that are ended early.
fn study() -> Result<String, Box<dyn std::error::Error>> {
    let space = Space::new(vec![
        Parameter::new("learning rate", Domain::log_float(1e-5, 1e-1)),
        Parameter::new("batch size", Domain::Int { low: 4, high: 256, log: true, step: 1 }),
        Parameter::new("layers", Domain::int(1, 12)),
        Parameter::new("dropout", Domain::Float { low: 0.0, high: 0.5, log: false, step: Some(0.05) }),
        Parameter::new("optimiser", Domain::choices(["sgd", "adam", "lion"])),
        Parameter::new("momentum", Domain::float(0.0, 0.99)).when("optimiser", "sgd"),
    ])?;
    let options = StudyOptions {
        constraints: vec!["memory over 24 GB".into()],
        pruner: PrunerKind::Median,
        seed: 7,
        ..StudyOptions::new("Fine-tuning of a small model", space)
    };
    let mut study = Study::create(options, START)?;
    let mut now = START;
    for round in 0..TRIALS / WORKERS as u64 {
        let trials = study.ask(WORKERS, now)?;
        let mut longest = 0;
        for trial in trials {
            let mut noise = Stream::new(round, trial);
            let took = 40_000 + (80_000.0 * noise.unit()) as u64;
            longest = longest.max(took);
            let outcome = run(&mut study, trial, now, took, &mut noise)?;
            study.tell(trial, outcome, now + took)?;
        }
        now += longest + 5_000;
    }
    study.ask(2, now)?;
    Ok(report::html(&study, now + 30_000))
}

fn run(
    study: &mut Study,
    trial: u64,
    start: u64,
    took: u64,
    noise: &mut Stream,
) -> Result<Outcome, Box<dyn std::error::Error>> {
    let settings = study.document(study.trial(trial)?).parameters;
    let number = |name: &str| match settings.get(name) {
        Some(Value::Number(number)) => *number,
        _ => 0.0,
    };
    let (rate, layers) = (number("learning rate").log10(), number("layers"));
    let batch = number("batch size").log2();
    let adam = settings.get("optimiser") == Some(&Value::from("adam"));
    if rate > -1.6 && noise.unit() < 0.7 {
        return Ok(Outcome::Nothing);
    }
    let miss = 0.25 * (rate + 3.2).powi(2) + 0.015 * (layers - 8.0).powi(2) + 0.02 * (batch - 5.0).powi(2);
    let other = if adam { 0.0 } else { 0.25 + 0.3 * (0.9 - number("momentum")).powi(2) };
    let loss = 0.8 + miss + other + (number("dropout") - 0.2).powi(2) + 0.02 * noise.normal();
    for step in 1..=10u64 {
        let value = loss + 2.0 * (-0.5 * step as f64).exp() + 0.02 * noise.normal();
        study.report(trial, step, value, start + took * step / 10)?;
        if step > 2 && study.should_prune(trial)? {
            return Ok(Outcome::Nothing);
        }
    }
    let memory = 1.4 * layers + 0.08 * batch.exp2();
    Ok(Outcome::Values(vec![loss], vec![memory - 24.0]))
}

/// Prompts that do not exist.
fn bandit() -> Result<String, Box<dyn std::error::Error>> {
    let chances = [
        ("short", 0.42),
        ("short, with examples", 0.55),
        ("long", 0.5),
        ("chain of thought", 0.61),
        ("terse", 0.3),
    ];
    let arms = chances.map(|(arm, _)| arm);
    let mut bandit = Bandit::new(BanditOptions::new(arms, Policy::Thompson, Rewards::Bernoulli, 7))?;
    let mut luck = Stream::new(7, 7);
    for now in (START..).step_by(1_000).take(600) {
        let decision = bandit.select(None, now)?;
        let chance =
            chances.iter().find(|(arm, _)| *arm == &*decision.arm).map_or(0.0, |(_, chance)| *chance);
        bandit.reward(decision.decision_id, f64::from(luck.unit() < chance), now)?;
    }
    let now = START + 600_000;
    let (standings, verdict) = (bandit.posterior(None, now)?, bandit.verdict());
    Ok(report::bandit_html("Which prompt users like", &standings, verdict.as_deref(), now))
}
