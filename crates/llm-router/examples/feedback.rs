//! A SIMULATION, no measurement of real models: five models whose qualities drift and whose providers fail, asked by
//! several policies that see only the scores of what they asked.
//!
//!     cargo run --release -p llm-router --example feedback -- regret.svg
//!
//! Prints JSON: for each policy its mean score and its regret, which is what asking the best model for each prompt at
//! each moment would have gained. Draws the regret as it grows.

use std::collections::VecDeque;
use std::error::Error;
use std::io::Write;
use std::time::Duration;

use llm_router::learned::evaluate::{Line, svg};
use llm_router::learned::{Bandit, BanditOptions, Examples, Learned, PromptFeatures, TrainOptions, train};

const MODELS: [&str; 5] = ["tiny", "small", "coder", "medium", "large"];
const KINDS: [&[&str]; 4] = [
    &["sum", "equation", "integral", "number", "proof", "triangle"],
    &["function", "compile", "loop", "pointer", "bug", "parser"],
    &["poem", "story", "rhyme", "letter", "song", "speech"],
    &["history", "capital", "river", "king", "war", "treaty"],
];
/// Quality by model and kind at first.
const QUALITY: [[f64; 4]; 5] = [
    [0.20, 0.25, 0.55, 0.50],
    [0.40, 0.45, 0.65, 0.60],
    [0.55, 0.85, 0.40, 0.45],
    [0.60, 0.60, 0.75, 0.80],
    [0.85, 0.70, 0.80, 0.78],
];
/// What an operator would write as `quality` before anything is known: right in order, wrong in detail.
const PRIOR: [f64; 5] = [0.45, 0.55, 0.60, 0.70, 0.80];
const ROUNDS: usize = 24_000;
/// Requests between two trainings on what was scored.
const RETRAIN: usize = 2_000;
/// A request each second; feedback counts half after 3,000 of them.
const HALF_LIFE_S: f64 = 3_000.0;
/// What is kept of the feedback: four half-lives.
const KEPT: usize = 12_000;

/// The chance that a model answers well: drifts in two steps, and nothing comes from a provider that fails.
fn quality(model: usize, kind: usize, round: usize) -> f64 {
    let base = QUALITY[model][kind];
    match (model, round) {
        // The best becomes bad behind its name, and comes back.
        (4, 8_000..16_000) => base - 0.35,
        // A small one is replaced by a better one.
        (1, 12_000..) => (base + 0.30).min(0.95),
        // Its provider fails for 600 requests.
        (3, 5_000..5_600) | (2, 18_000..18_600) => 0.0,
        _ => base,
    }
}

fn prompt(kind: usize, rng: &mut fastrand::Rng) -> String {
    let mut word = || KINDS[kind][rng.usize(..KINDS[kind].len())];
    format!("Please help me with the {} and the {} of this {}", word(), word(), word())
}

#[derive(Clone, Copy, PartialEq)]
enum Policy {
    Fixed(usize),
    RoundRobin,
    Bandit,
    LearnedAndBandit,
}

struct Run {
    regret: Vec<(f64, f64)>,
    score: f64,
}

fn simulate(policy: Policy, seed: u64) -> Result<Run, Box<dyn Error>> {
    let mut world = fastrand::Rng::with_seed(seed);
    let mut rng = fastrand::Rng::with_seed(seed + 1);
    let mut bandit = Bandit::new(BanditOptions { half_life_s: HALF_LIFE_S, ..BanditOptions::default() });
    // What is beyond the learned estimate changes fast: a provider that fails must be noticed.
    let mut beyond = Bandit::new(BanditOptions { half_life_s: 300.0, ..BanditOptions::default() });
    let mut learned = Learned::nothing(Vec::new());
    let mut kept: VecDeque<(PromptFeatures, usize, f64, usize)> = VecDeque::new();
    let (mut regret, mut total, mut drawn) = (0.0, 0.0, vec![(0.0, 0.0)]);
    for round in 0..ROUNDS {
        let kind = world.usize(..KINDS.len());
        let text = prompt(kind, &mut world);
        let luck = world.f64();
        let at = Duration::from_secs(round as u64);
        let features = PromptFeatures::of(&text, None);
        let expected: Vec<f64> = MODELS
            .iter()
            .zip(PRIOR)
            .map(|(model, prior)| learned.quality(&features, model).map_or(prior, |e| e.with_prior(prior)))
            .collect();
        let chosen = match policy {
            Policy::Fixed(model) => model,
            Policy::RoundRobin => round % MODELS.len(),
            Policy::Bandit => bandit.choose(MODELS.into_iter().zip(PRIOR), at, &mut rng).unwrap_or(0),
            // The bandit follows what scores have beyond the estimate, on the scale 0..1 with 0.5 for none.
            Policy::LearnedAndBandit => {
                let draw = |model: usize| {
                    expected[model] + 2.0 * beyond.draw(MODELS[model], 0.5, at, &mut rng) - 1.0
                };
                let draws: Vec<f64> = (0..MODELS.len()).map(draw).collect();
                (0..MODELS.len()).max_by(|&a, &b| draws[a].total_cmp(&draws[b])).unwrap_or(0)
            }
        };
        let chance = quality(chosen, kind, round);
        let best = (0..MODELS.len()).map(|model| quality(model, kind, round)).fold(0.0, f64::max);
        let score = if luck < chance { 1.0 } else { 0.0 };
        regret += best - chance;
        total += chance;
        bandit.record(MODELS[chosen], score, at);
        beyond.record(MODELS[chosen], 0.5 + (score - expected[chosen]) / 2.0, at);
        if policy == Policy::LearnedAndBandit {
            kept.push_back((features, chosen, score, round));
            if kept.len() > KEPT {
                kept.pop_front();
            }
            if (round + 1) % RETRAIN == 0 {
                let rows = kept.iter().map(|(features, model, score, when)| {
                    (features.clone(), MODELS[*model], *score, (round - when) as f64)
                });
                learned = train(&Examples::from_feedback(rows, HALF_LIFE_S), &TrainOptions::default())?;
            }
        }
        if (round + 1) % 200 == 0 {
            drawn.push(((round + 1) as f64, regret));
        }
    }
    Ok(Run { regret: drawn, score: total / ROUNDS as f64 })
}

fn main() -> Result<(), Box<dyn Error>> {
    let seed = 11;
    let mut runs = vec![
        ("learned and bandit".to_owned(), simulate(Policy::LearnedAndBandit, seed)?),
        ("bandit alone".to_owned(), simulate(Policy::Bandit, seed)?),
        ("round-robin".to_owned(), simulate(Policy::RoundRobin, seed)?),
    ];
    let mut fixed = Vec::with_capacity(MODELS.len());
    for (model, name) in MODELS.iter().enumerate() {
        fixed.push((format!("best fixed ({name})"), simulate(Policy::Fixed(model), seed)?));
    }
    runs.extend(fixed.into_iter().max_by(|a, b| a.1.score.total_cmp(&b.1.score)));
    let last = |run: &Run| run.regret.last().map_or(0.0, |(_, regret)| *regret);
    let policies: Vec<_> = runs
        .iter()
        .map(|(name, run)| serde_json::json!({ "policy": name, "score": run.score, "regret": last(run) }))
        .collect();
    let out = serde_json::json!({ "simulation": true, "rounds": ROUNDS, "policies": policies });
    writeln!(std::io::stdout(), "{out}")?;
    if let Some(file) = std::env::args_os().nth(1) {
        let lines: Vec<Line> =
            runs.into_iter().map(|(name, run)| Line { name, points: run.regret }).collect();
        let title = "Simulation: five models that drift and fail";
        std::fs::write(file, svg(title, "requests", "regret (answers lost)", &lines))?;
    }
    Ok(())
}
