//! What is learned, and what is not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]

use llm_router::learned::evaluate::{EvalOptions, Setting, cross_validate};
use llm_router::learned::{
    Example, Examples, FileError, Learned, PromptFeatures, TrainError, TrainOptions, train,
    train_with_progress,
};
use proptest::prelude::*;

const TOPICS: [&str; 6] = ["whales", "gardens", "engines", "novels", "planets", "markets"];

/// Prompts about topics; longer ones are harder for `weak`, and two topics are hard for it whatever their length.
fn examples(rows: usize, seed: u64) -> Examples {
    let mut rng = fastrand::Rng::with_seed(seed);
    let row = |_| {
        let topic = rng.usize(..TOPICS.len());
        let words = 4 + rng.usize(..40);
        let filler: Vec<String> = (0..words).map(|_| format!("w{}", rng.u32(..200))).collect();
        let text = format!("What about {}? {}", TOPICS[topic], filler.join(" "));
        let weak = if topic < 2 { 0.2 } else { 0.95 - words as f64 / 80.0 };
        let mut score = |p: f64| Some(if rng.f64() < p { 1.0 } else { 0.0 });
        Example {
            features: PromptFeatures::of(&text, None),
            scores: vec![score(weak), score(0.9)],
            weight: 1.0,
            subject: Some(topic),
        }
    };
    let rows = (0..rows).map(row).collect();
    Examples { models: vec!["weak".to_owned(), "strong".to_owned()], rows }
}

fn gain(learned: &Learned, text: &str) -> f64 {
    let features = PromptFeatures::of(text, None);
    let mean = |model| learned.quality(&features, model).expect("an estimate").mean;
    mean("strong") - mean("weak")
}

#[test]
fn hard_topics_and_long_prompts_need_the_strong_model() {
    let learned = train(&examples(1500, 1), &TrainOptions::default()).unwrap();
    assert!(gain(&learned, "What about whales?") > gain(&learned, "What about novels?") + 0.2);
    let long = format!("What about novels? {}", "w7 w19 w3 w150 ".repeat(10));
    assert!(gain(&learned, &long) > gain(&learned, "What about novels?") + 0.05);
}

#[test]
fn what_is_unlike_the_examples_is_trusted_less() {
    let learned = train(&examples(1500, 1), &TrainOptions::default()).unwrap();
    let weight = |text: &str| learned.quality(&PromptFeatures::of(text, None), "weak").unwrap().weight;
    let known = weight("What about whales? w1 w2 w3 w4 w5");
    let unknown = weight("Schreibe ein Gedicht über den Herbst in Wien");
    assert!(known > unknown, "{known} {unknown}");
}

#[test]
fn shuffled_scores_are_no_signal() {
    for seed in 1..=5 {
        let mut examples = examples(800, seed);
        let mut scores: Vec<_> = examples.rows.iter().map(|row| row.scores.clone()).collect();
        fastrand::Rng::with_seed(seed).shuffle(&mut scores);
        for (row, scores) in examples.rows.iter_mut().zip(scores) {
            row.scores = scores;
        }
        let (learned, report) =
            train_with_progress(&examples, &TrainOptions::default(), &mut |_| true).unwrap();
        assert!(!learned.has_signal(), "seed {seed}: {}", report.summary);
        assert!(report.summary.starts_with("no signal, priors used"), "{}", report.summary);
        assert!(learned.quality(&examples.rows[0].features, "weak").is_none());
    }
}

#[test]
fn feedback_of_one_model_at_a_time_is_enough() {
    let full = examples(3000, 2);
    let rows = full.rows.iter().enumerate().map(|(i, row)| {
        let model = i % 2;
        (row.features.clone(), ["weak", "strong"][model], row.scores[model].unwrap(), 0.0)
    });
    let learned = train(&Examples::from_feedback(rows, 1e6), &TrainOptions::default()).unwrap();
    assert!(
        gain(&learned, "What about whales? w1 w2 w3") > gain(&learned, "What about novels? w1 w2 w3") + 0.1
    );
}

#[test]
fn estimates_on_rows_that_were_left_out_are_calibrated() {
    let options = EvalOptions { resamples: 50, ..EvalOptions::default() };
    let result =
        cross_validate(&examples(3000, 3), Setting::Folds, &options, &mut |_| true).unwrap().unwrap();
    assert!(result.calibration.iter().all(|error| *error <= 0.05), "{:?}", result.calibration);
    let apgr = |name: &str| result.scorings.iter().find(|s| s.name == name).unwrap().measures.apgr;
    assert!(apgr("learned") > apgr("prompt length") + 0.02);
    assert!(apgr("oracle") > apgr("learned"));
}

#[test]
fn the_same_examples_and_seed_make_the_same_file() {
    let file = || train(&examples(400, 4), &TrainOptions::default()).unwrap().to_bytes();
    assert_eq!(file(), file());
}

#[test]
fn too_little_and_wrong_examples_are_refused_with_what_is_wrong() {
    let options = TrainOptions::default();
    assert_eq!(train(&examples(99, 1), &options), Err(TrainError::TooFewRows(99)));
    let one = Examples { models: vec!["a".to_owned()], rows: Vec::new() };
    assert_eq!(train(&one, &options), Err(TrainError::TooFewModels(1)));
    let mut odd = examples(200, 1);
    odd.rows[6].scores[1] = Some(1.5);
    assert_eq!(train(&odd, &options).unwrap_err().to_string(), "row 7: expected scores from 0 to 1");
}

#[test]
fn a_file_says_the_same_after_it_was_kept() {
    let learned = train(&examples(600, 5), &TrainOptions::default()).unwrap();
    let kept = Learned::from_bytes(&learned.to_bytes()).unwrap();
    assert_eq!(kept, learned);
    let nothing = Learned::nothing(vec!["a".to_owned()]);
    assert_eq!(Learned::from_bytes(&nothing.to_bytes()).unwrap(), nothing);
}

#[test]
fn a_damaged_file_is_refused() {
    let bytes = train(&examples(300, 6), &TrainOptions::default()).unwrap().to_bytes();
    assert_eq!(Learned::from_bytes(b"something else"), Err(FileError::NotLearned));
    assert!(matches!(Learned::from_bytes(&bytes[..bytes.len() - 1]), Err(FileError::Corrupt(_))));
    assert!(matches!(Learned::from_bytes(&bytes[..30]), Err(FileError::Corrupt(_))));
    let mut newer = bytes.clone();
    newer[8] = 9;
    assert_eq!(Learned::from_bytes(&newer), Err(FileError::Version(9)));
    let mut changed = bytes;
    *changed.last_mut().unwrap() ^= 1;
    assert!(matches!(Learned::from_bytes(&changed), Err(FileError::Corrupt(_))));
}

proptest! {
    #[test]
    fn no_bytes_are_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut marked = b"UATLEARN\x02\0\0\0".to_vec();
        marked.extend(&bytes);
        prop_assert!(Learned::from_bytes(&bytes).is_err());
        prop_assert!(Learned::from_bytes(&marked).is_err());
    }
}
