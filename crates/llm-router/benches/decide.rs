//! What one decision costs, its features given: the goal is 50 us with 20 models and 1 ms with 1,000.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run has nothing to say")]

use std::sync::Arc;

use divan::{Bencher, black_box};
use llm_router::{
    Belief, Catalogue, Constraints, Model, Policy, Question, Record, Snapshot, Standing, Target, decide,
};
use route_plan::{ModelHealth, Price};

const TIERS: [&str; 3] = ["fast", "balanced", "expert-reasoning"];

fn main() {
    divan::main();
}

fn catalogue(models: usize) -> Catalogue {
    let model = |number: usize| Model {
        tier: Some(TIERS[number % 3].into()),
        capabilities: ["chat", "tools", "json_schema", "vision"][..1 + number % 4]
            .iter()
            .map(|&c| c.into())
            .collect(),
        context_tokens: Some(8_192 << (number % 5)),
        max_output_tokens: Some(8_192),
        price: Some(Price::new(0.1 * (number % 50) as f64, 0.4 * (number % 50) as f64)),
        quality: Some((number % 97) as f64 / 97.0),
        ..Model::new(format!("provider-{}/model-{number}", number % 7))
    };
    let listed = (0..models).rev().step_by(2).map(|number| model(number).name).collect();
    Catalogue::new((0..models).map(model).collect(), [("listed".into(), listed)])
}

fn snapshot(models: usize) -> Snapshot {
    let standing = |number: usize| Standing {
        health: ModelHealth {
            is_up: !number.is_multiple_of(11),
            first_token_ms: Some(100.0 + (number * 37 % 900) as f64),
            tokens_per_s: Some(20.0 + (number * 13 % 200) as f64),
            error_rate: (number % 5) as f64 / 50.0,
            samples: 100,
        },
        quality: number.is_multiple_of(2).then_some(Belief { mean: 0.7, weight: 12.0 }),
        drawn: None,
        prompt_tokens: None,
    };
    Snapshot { models: (0..models).map(standing).collect() }
}

fn question(target: Target) -> Question {
    Question {
        output_tokens: Some(1_000),
        capabilities: ["tools".into()].into(),
        constraints: Constraints { max_latency_ms: Some(60_000.0), max_cost_usd: Some(1.0) },
        ..Question::new(target, 2_000)
    }
}

fn measure(bencher: Bencher<'_, '_>, models: usize, question: &Question) {
    let (catalogue, snapshot, policy) = (catalogue(models), snapshot(models), Policy::default());
    let id: Arc<str> = "req_bench".into();
    bencher.bench_local(|| {
        let id = Arc::clone(&id);
        decide(id, black_box(question), black_box(&catalogue), black_box(&snapshot), &policy).unwrap()
    });
}

#[divan::bench(args = [2, 20, 1_000])]
fn auto(bencher: Bencher<'_, '_>, models: usize) {
    measure(bencher, models, &question(Target::Auto));
}

#[divan::bench(args = [20, 1_000])]
fn tier(bencher: Bencher<'_, '_>, models: usize) {
    measure(bencher, models, &question(Target::Tier("balanced".into())));
}

#[divan::bench(args = [20, 1_000])]
fn listed_tier(bencher: Bencher<'_, '_>, models: usize) {
    measure(bencher, models, &question(Target::Tier("listed".into())));
}

/// With a key that may use half of the models.
#[divan::bench(args = [20, 1_000])]
fn auto_with_allowed_models(bencher: Bencher<'_, '_>, models: usize) {
    let own = catalogue(models).models().iter().step_by(2).map(|model| model.name.clone()).collect();
    measure(bencher, models, &Question { allowed: Some(own), ..question(Target::Auto) });
}

/// What is kept of it for those who ask why.
#[divan::bench(args = [20, 1_000])]
fn decide_and_record(bencher: Bencher<'_, '_>, models: usize) {
    let (catalogue, snapshot, policy) = (catalogue(models), snapshot(models), Policy::default());
    let question = question(Target::Auto);
    bencher.bench_local(|| {
        let decision = decide("req_bench", black_box(&question), &catalogue, &snapshot, &policy).unwrap();
        Record::new(&question, &catalogue, &snapshot, &policy, decision)
    });
}
