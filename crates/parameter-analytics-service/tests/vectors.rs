//! What the TypeScript package repeats, held to files on which both are checked: `test/contract/vectors/parameter-analytics-*.json`.
//!
//! `UAT_WRITE_VECTORS=1 cargo test -p parameter-analytics-service --test vectors` writes them anew. A change of the bandits' file means
//! that the same seed gives other arms than in the release before, and that the TypeScript side has to follow.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use parameter_analytics_service::Stream;
use parameter_analytics_service::bandit::{Bandit, BanditOptions, Clock, Forget, Policy, Rewards, Standing};
use parameter_analytics_service::gp::{Inputs, Posterior, Scratch, likelihood, normal, outcome};
use parameter_analytics_service::journal;
use parameter_analytics_service::study::{Event, Outcome, Study, StudyOptions};
use serde_json::{Value, json};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../test/contract/vectors");
/// Decisions of each case.
const DECISIONS: usize = 200;
/// A reward comes after so many more decisions.
const LAG: usize = 2;
/// One of so many decisions never gets a reward.
const LOST: usize = 11;
/// After how many decisions the posteriors are noted.
const NOTED: usize = 50;
/// After how many the probability of the choice.
const WEIGHED: usize = 10;

#[test]
fn the_same_seed_and_calls_give_the_arms_that_the_file_holds() {
    let policies = [
        ("thompson", Policy::Thompson),
        ("ucb", Policy::Ucb),
        ("epsilon-greedy", Policy::EpsilonGreedy { epsilon: 0.1 }),
        ("lin-thompson", Policy::LinThompson { features: 3 }),
        ("lin-thompson", Policy::LinThompson { features: 6 }),
        ("top-two-thompson", Policy::TopTwoThompson { error: 0.05 }),
    ];
    let kinds =
        [("bernoulli", Rewards::Bernoulli), ("gaussian", Rewards::Gaussian { mean: 0.0, spread: 1.0 })];
    // A discount and the half-life that it becomes: ln(1/2) / ln(0.9) rounds to 7, which is lengthened to 8.
    let discounts = [None, Some((0.98, 34)), Some((0.9, 8))];
    let mut cases = Vec::new();
    for (name, policy) in policies {
        for (kind, rewards) in kinds {
            for discount in discounts {
                if discount.is_some() && matches!(policy, Policy::TopTwoThompson { .. }) {
                    continue;
                }
                let seed = 1_000 + cases.len() as u64;
                let arms = ["a", "b", "c", "d"];
                let mut options = BanditOptions::new(arms, policy, rewards, seed);
                let mut public = json!({ "arms": arms, "policy": name, "reward": kind, "seed": seed });
                if let Policy::LinThompson { features } = policy {
                    public["contextDims"] = features.into();
                }
                if let Some((discount, length)) = discount {
                    options.forget = Forget::HalfLife { length, clock: Clock::Rewards };
                    public["discount"] = discount.into();
                }
                cases.push(sequence(public, options));
            }
        }
    }
    let made = json!({
        "lag": LAG, "lost": LOST, "noted": NOTED, "weighed": WEIGHED, "functions": functions(), "cases": cases,
    });
    check("parameter-analytics-bandits.json", &made, 0.0);
}

/// Arguments, and their logarithms and exponentials: small and great ones, and some of each branch.
fn functions() -> Value {
    let mut stream = Stream::new(0, 0);
    let edges = [5e-324, 1e-310, 2.2e-308, 1.0, 0.35, 0.346, 1.04, 1.03, 1e-9, 709.7, 1e308];
    let drawn: Vec<f64> = (0..80).map(|_| libm::exp(24.0 * stream.unit() - 12.0)).collect();
    let row = |x: f64| json!([x, libm::log(x), libm::exp(-x), if x < 700.0 { libm::exp(x) } else { 0.0 }]);
    edges.into_iter().chain(drawn).chain([745.0, 740.5, 709.0]).map(row).collect()
}

fn sequence(public: Value, options: BanditOptions) -> Value {
    let features = if let Policy::LinThompson { features } = options.policy { features } else { 0 };
    let is_gaussian = options.rewards != Rewards::Bernoulli;
    let mut world = Stream::new(options.seed, 1);
    let mut bandit = Bandit::new(options).unwrap();
    let (mut arms, mut probabilities, mut posteriors, mut ids) = (String::new(), vec![], vec![], vec![]);
    let (mut rewards, mut contexts): (Vec<f64>, Vec<Vec<f64>>) = (vec![], vec![]);
    for number in 0..DECISIONS {
        // Few digits keep the file small; the first feature is a constant.
        let feature = |place| if place == 0 { 1.0 } else { (world.unit() * 64.0).floor() / 32.0 - 1.0 };
        let context: Vec<f64> = (0..features).map(feature).collect();
        let decision = bandit.select(Some(&context), 0).unwrap();
        let place = decision.arm.bytes().next().unwrap() - b'a';
        let mean = 0.3 + 0.15 * f64::from(place) + 0.1 * context.get(1).copied().unwrap_or_default();
        rewards.push(if is_gaussian {
            ((mean + 0.5 * world.normal()) * 1_000.0).round() / 1_000.0
        } else if number % 5 == 0 {
            0.25
        } else {
            f64::from(u8::from(world.unit() < mean))
        });
        arms.push_str(&decision.arm);
        if number % WEIGHED == 0 {
            probabilities.push(decision.probability);
        }
        contexts.push(context);
        ids.push(decision.decision_id);
        if let Some(due) = number.checked_sub(LAG).filter(|due| due % LOST != 0) {
            bandit.reward(ids[due], rewards[due], 0).unwrap();
        }
        if (number + 1) % NOTED == 0 {
            let row = |of: &Standing| json!([of.mean, of.std, of.pulls, of.probability_best]);
            posteriors.push(bandit.posterior(None, 0).unwrap().iter().map(row).collect::<Value>());
        }
    }
    let mut case = json!({
        "options": public, "firstId": ids[0], "rewards": rewards, "arms": arms, "probabilities": probabilities,
        "posteriors": posteriors,
    });
    if features > 0 {
        case["contexts"] = json!(contexts);
    }
    case
}

#[test]
fn the_model_expects_what_the_file_holds() {
    // Dimensions, observations, and the logarithm of the noise.
    let models: Value = [(1, 4, -7.0), (3, 1, -2.0), (3, 12, -7.0), (4, 30, -12.0), (6, 20, -1.0)]
        .into_iter()
        .map(|(dimensions, count, noise)| model(dimensions, count, noise))
        .collect();
    let values = [
        vec![],
        vec![3.0; 4],
        vec![1e-300, 2e-300, 5e-300],
        vec![1e300, -1e300, 3e299],
        (0..20).map(|n| (f64::from(n) * 0.4).exp()).collect(),
    ];
    let outcomes: Value = values
        .iter()
        .map(|values| {
            let plain = outcome::standardised(values).values;
            let tamed = outcome::tamed(values).map_or_else(|| plain.clone(), |tamed| tamed.values);
            (plain, tamed, values)
        })
        .map(|(plain, tamed, values)| json!({ "values": values, "standardised": plain, "tamed": tamed }))
        .collect();
    let tails: Value = [-1e8, -1e3, -40.0, -10.0, -5.0, -4.9, -1.0, 0.0, 0.3, 3.0, 8.0]
        .into_iter()
        .map(|z| json!([z, normal::log_excess(z).log, normal::log_below(z).0]))
        .collect();
    let made = json!({ "models": models, "outcomes": outcomes, "tails": tails });
    check("parameter-analytics-gp.json", &made, 1e-9);
}

fn model(dimensions: usize, count: usize, noise: f64) -> Value {
    let mut world = Stream::new(dimensions as u64, count as u64);
    // The last dimension is a category where there are several.
    let categorical: Vec<bool> = (1..=dimensions).map(|place| place > 1 && place == dimensions).collect();
    let mut point = || -> Vec<f64> {
        let mut coordinate = |is_category: &bool| match is_category {
            true => (world.unit() * 3.0).floor(),
            false => (world.unit() * 128.0).floor() / 128.0,
        };
        categorical.iter().map(&mut coordinate).collect()
    };
    let mut inputs: Vec<Vec<f64>> = (0..count).map(|_| point()).collect();
    if count > 2 {
        // The same point twice.
        inputs[1] = inputs[0].clone();
    }
    let points: Vec<Vec<f64>> = (0..6).map(|_| point()).chain([inputs[0].clone()]).collect();
    let value = |x: &Vec<f64>| ((x.iter().sum::<f64>() * 3.0).sin() * 1_000.0).round() / 1_000.0;
    let observed: Vec<f64> = inputs.iter().map(value).collect();
    let mut logs: Vec<f64> = (0..dimensions).map(|place| -1.0 + 0.26 * place as f64).collect();
    logs.extend([0.25, noise]);
    let mut known = Inputs::new(categorical.clone());
    inputs.iter().for_each(|input| known.push(input));
    let mut gradient = vec![0.0; logs.len()];
    let log_posterior = likelihood::log_posterior(&logs, &known, &observed, &mut gradient).unwrap();
    let hyperparameters = likelihood::hyperparameters(&logs);
    let mut posterior = Posterior::new(hyperparameters, &known, count, &observed).unwrap();
    let predict = |posterior: &Posterior| -> Vec<[f64; 2]> {
        let at = |point: &Vec<f64>| posterior.predict(point, &mut Scratch::default());
        points.iter().map(at).map(|prediction| [prediction.mean, prediction.deviation]).collect()
    };
    let before = predict(&posterior);
    posterior.believe(&points[2]);
    json!({
        "categorical": categorical, "inputs": inputs, "observed": observed, "logs": logs, "points": points,
        "logPosterior": log_posterior, "gradient": gradient, "predictions": before, "believed": 2,
        "predictionsThen": predict(&posterior),
    })
}

/// Every kind of event, as this crate writes it.
fn native_study() -> Vec<u8> {
    let options: StudyOptions = serde_json::from_value(json!({
        "name": "exchange",
        "space": {
            "rate": { "type": "float", "low": 1e-4, "high": 1, "log": true },
            "share": { "type": "float", "low": 0, "high": 1, "step": 0.1 },
            "layers": { "type": "int", "low": 1, "high": 8 },
            "kind": { "type": "categorical", "choices": ["plain", true, 3] },
            "depth": { "type": "int", "low": 1, "high": 512, "log": true, "when": { "kind": "plain" } },
        },
        "directions": ["maximize"], "constraints": ["memory"], "sampler": "gp", "seed": 7, "pruner": "median", "heartbeatMs": 1_000,
    }))
    .unwrap();
    let mut study = Study::create(options, 0).unwrap();
    study.add_choice("kind", "new".into()).unwrap();
    study.retire_choice("kind", true.into()).unwrap();
    for now in 1..20 {
        let trial = study.ask(1, now).unwrap()[0];
        study.report(trial, 1, now as f64 / 3.0, now).unwrap();
        study.heartbeat(trial, now).unwrap();
        let value = now as f64 / 7.0;
        let outcome =
            if now % 6 == 0 { Outcome::Nothing } else { Outcome::Values(vec![value], vec![value - 2.5]) };
        study.tell(trial, outcome, now + 1).unwrap();
    }
    study.ask(2, 30).unwrap();
    let mut bytes = Vec::new();
    study.take_events().iter().for_each(|event| journal::append(&mut bytes, event).unwrap());
    bytes
}

#[test]
fn a_study_goes_on_that_was_begun_here_or_in_typescript() {
    if std::env::var_os("UAT_WRITE_VECTORS").is_some() {
        std::fs::write(format!("{FOLDER}/parameter-analytics-native.journal"), native_study()).unwrap();
    }
    for writer in ["native", "typescript"] {
        let bytes = std::fs::read(format!("{FOLDER}/parameter-analytics-{writer}.journal")).unwrap();
        let contents = journal::read::<Event>(&bytes).unwrap();
        let mut study = Study::replay(contents.events).unwrap();
        assert_eq!((study.trials().len(), contents.torn), (21, false), "{writer}");
        let best = study.best().map(|trial| (trial.id, trial.values.clone()));
        assert_eq!(best, Some((16, vec![17.0 / 7.0])), "{writer}");
        // The two that are out are given up, and another one is found.
        assert_eq!(study.ask(1, 10_000).unwrap(), [21], "{writer}");
        let reads_again = {
            let mut bytes = Vec::new();
            study.take_events().iter().for_each(|event| journal::append(&mut bytes, event).unwrap());
            journal::read::<Event>(&bytes).unwrap().events.len()
        };
        assert_eq!(reads_again, 3, "{writer}");
    }
}

/// Holds what was made to a file. `tolerance`, beside the size of a number or 1, is for what the C library has a part in.
#[track_caller]
fn check(name: &str, made: &Value, tolerance: f64) {
    let path = format!("{FOLDER}/{name}");
    if std::env::var_os("UAT_WRITE_VECTORS").is_some() {
        std::fs::write(&path, format!("{made}\n")).unwrap();
    }
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    compare(name, &kept, made, tolerance);
}

#[track_caller]
fn compare(at: &str, kept: &Value, made: &Value, tolerance: f64) {
    match (kept, made) {
        (Value::Object(kept), Value::Object(made)) if kept.len() == made.len() => {
            for (name, made) in made {
                compare(&format!("{at}/{name}"), &kept[name], made, tolerance);
            }
        }
        (Value::Array(kept), Value::Array(made)) if kept.len() == made.len() => {
            for (place, (kept, made)) in kept.iter().zip(made).enumerate() {
                compare(&format!("{at}/{place}"), kept, made, tolerance);
            }
        }
        (Value::Number(kept), Value::Number(made)) => {
            let (kept, made) = (kept.as_f64().unwrap(), made.as_f64().unwrap());
            let limit = tolerance * kept.abs().max(1.0);
            assert!((kept - made).abs() <= limit, "{at}: {made} is not the {kept} of the file");
        }
        _ => assert_eq!(kept, made, "{at}"),
    }
}
