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
use std::sync::Arc;
use std::time::Duration;

use llm_router::learned::evaluate::{Line, svg};
use llm_router::learned::{Examples, Learned, PromptFeatures, TrainOptions, train};
use llm_router::{HALF_LIFE, Judgement, Judgements, Seen, drawn, quality as quality_of};

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
/// Between two requests: feedback counts half after 3,000 of them.
const EVERY: Duration = Duration::from_millis(403_200);
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
    /// The greatest mean, without exploring.
    Means,
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
    let mut judgements = Judgements::default();
    let mut learned = Arc::new(Learned::nothing(Vec::new()));
    let mut kept: VecDeque<(PromptFeatures, usize, f64, usize)> = VecDeque::new();
    let (mut regret, mut total, mut points) = (0.0, 0.0, vec![(0.0, 0.0)]);
    for round in 0..ROUNDS {
        let kind = world.usize(..KINDS.len());
        let text = prompt(kind, &mut world);
        let luck = world.f64();
        let at = EVERY * round as u32;
        let seen = Seen::of(&text, Some(&learned));
        let chosen = match policy {
            Policy::Fixed(model) => model,
            Policy::RoundRobin => round % MODELS.len(),
            Policy::Means | Policy::Bandit | Policy::LearnedAndBandit => {
                let worth = |model: usize| {
                    let (name, prior) = (MODELS[model], Some(PRIOR[model]));
                    let belief = judgements.belief(name, seen.estimate(name), at);
                    match policy {
                        Policy::Means => quality_of(prior, belief),
                        _ => drawn(prior, belief, &mut rng),
                    }
                };
                let worths: Vec<f64> = (0..MODELS.len()).map(worth).collect();
                (0..MODELS.len()).max_by(|&a, &b| worths[a].total_cmp(&worths[b])).unwrap_or(0)
            }
        };
        let chance = quality(chosen, kind, round);
        let best = (0..MODELS.len()).map(|model| quality(model, kind, round)).fold(0.0, f64::max);
        let score = if luck < chance { 1.0 } else { 0.0 };
        regret += best - chance;
        total += chance;
        judgements.take(&Judgement {
            at_ms: at.as_millis() as u64,
            model: MODELS[chosen].into(),
            score,
            expected: seen.estimate(MODELS[chosen]).map(|estimate| estimate.mean),
            features: None,
        });
        if policy == Policy::LearnedAndBandit {
            kept.extend(seen.features().map(|features| (features.clone(), chosen, score, round)));
            if kept.len() > KEPT {
                kept.pop_front();
            }
            if (round + 1) % RETRAIN == 0 {
                let rows = kept.iter().map(|(features, model, score, when)| {
                    (features.clone(), MODELS[*model], *score, (EVERY * (round - when) as u32).as_secs_f64())
                });
                let examples = Examples::from_feedback(rows, HALF_LIFE.as_secs_f64());
                learned = Arc::new(train(&examples, &TrainOptions::default())?);
            }
        }
        if (round + 1) % 200 == 0 {
            points.push(((round + 1) as f64, regret));
        }
    }
    Ok(Run { regret: points, score: total / ROUNDS as f64 })
}

fn main() -> Result<(), Box<dyn Error>> {
    let seed = 11;
    let mut runs = vec![
        ("learned and bandit".to_owned(), simulate(Policy::LearnedAndBandit, seed)?),
        ("bandit alone".to_owned(), simulate(Policy::Bandit, seed)?),
        ("means of scores".to_owned(), simulate(Policy::Means, seed)?),
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
