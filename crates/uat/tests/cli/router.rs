use std::fmt::Write;

use runtime::llm_router::Judgement;
use runtime::llm_router::learned::{Learned, PromptFeatures};

use crate::support::Place;

/// Prompts whose words decide whether the weak model knows the answer, in four subjects.
fn answers() -> String {
    let mut csv = String::from("subject,prompt,weak_correct,strong_correct\n");
    for i in 0..480 {
        let (topic, weak) = if i % 2 == 0 { ("whales in the deep sea", 0) } else { ("gardens in spring", 1) };
        writeln!(csv, "s{},\"What is fact {i} about {topic}?\",{weak},1", i % 4).unwrap();
    }
    csv
}

#[test]
fn what_was_learned_is_written_and_told() {
    let place = Place::empty();
    place.write("answers.csv", &answers());
    let ran = place.run(&["router", "train", "--data", "answers.csv", "--out", "learned.bin", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let report = &ran.json()["report"];
    assert_eq!(report["rows"], 480);
    assert!(report["signal"].as_f64().unwrap() > 3.0, "{report}");
    assert!(std::fs::read(place.path().join("learned.bin")).unwrap().starts_with(b"UATLEARN"));
}

#[test]
fn answers_that_say_nothing_leave_the_priors() {
    let place = Place::empty();
    let mut csv = String::from("prompt,a,b\n");
    for i in 0..300u32 {
        let (a, b) = (i.wrapping_mul(0x9E37_79B9) >> 31, i.wrapping_mul(0x85EB_CA6B) >> 31);
        writeln!(csv, "Tell me something about the number {},{a},{b}", i % 7).unwrap();
    }
    place.write("noise.csv", &csv);
    let ran = place.run(&["router", "train", "--data", "noise.csv", "--out", "learned.bin"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.starts_with("no signal, priors used: "), "{}", ran.stdout);
}

#[test]
fn an_evaluation_compares_and_draws() {
    let place = Place::empty();
    place.write("answers.csv", &answers());
    let ran = place.run(&["router", "eval", "--train", "answers.csv", "--svg", "curve.svg"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for words in [
        "5-fold: 480 prompts",
        "whole subjects left out",
        "prompt length",
        "TF-IDF ridge",
        "Calibration error",
    ] {
        assert!(ran.stdout.contains(words), "`{words}` is not in: {}", ran.stdout);
    }
    for file in ["curve.svg", "curve-subjects.svg"] {
        assert!(std::fs::read_to_string(place.path().join(file)).unwrap().contains("<polyline"), "{file}");
    }
}

#[test]
fn another_file_is_measured_where_one_is_given() {
    let place = Place::empty();
    place.write("a.csv", &answers());
    place.write("b.csv", "prompt,strong_correct,weak_correct\nWhales?,1,0\nGardens?,1,1\n");
    let ran = place.run(&["router", "eval", "--train", "a.csv", "--test", "b.csv", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let result = &ran.json()["settings"][0]["result"];
    assert_eq!(result["rows"], 2);
    assert_eq!(result["quality"], serde_json::json!([0.5, 1.0]));
}

#[test]
fn a_wrong_table_is_told_with_its_line_and_column() {
    let place = Place::empty();
    place.write("bad.csv", "prompt,a,b\nHello,1,2\n");
    let train = |file| place.run(&["router", "train", "--data", file, "--out", "x"]);
    train("bad.csv").assert_failed(
        1,
        &["error[UAT_INVALID_INPUT]: bad.csv: line 2, column 3 (`b`): expected a score from 0 to 1, got `2`"],
    );
    train("none.csv").assert_failed(1, &["error[UAT_STORAGE]: cannot read none.csv"]);
    place.write("few.csv", "prompt,a,b\nHello,1,0\n");
    train("few.csv").assert_failed(1, &["expected 100 rows or more, got 1"]);
    assert!(!place.path().join("x").exists());
}

#[test]
fn kept_feedback_is_enough_to_train_on() {
    let place = Place::empty();
    let mut lines = String::new();
    for i in 0..800u64 {
        let (topic, small) = [("whales", 0.0), ("gardens", 1.0)][(i % 2) as usize];
        let (model, score) = if i % 4 < 2 { ("small", small) } else { ("large", 1.0) };
        let features = PromptFeatures::of(&format!("Tell me fact {i} about {topic}"), None);
        let judgement =
            Judgement { at_ms: i, model: model.into(), score, expected: None, features: Some(features) };
        writeln!(lines, "{}", serde_json::to_string(&judgement).unwrap()).unwrap();
    }
    place.write("feedback.jsonl", &lines);
    let ran =
        place.run(&["router", "train", "--feedback", "feedback.jsonl", "--out", "learned.bin", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(ran.json()["report"]["rows"], 800);
    let learned = Learned::from_bytes(&std::fs::read(place.path().join("learned.bin")).unwrap()).unwrap();
    let quality = |prompt: &str| learned.quality(&PromptFeatures::of(prompt, None), "small").unwrap().mean;
    let [gardens, whales] =
        ["gardens", "whales"].map(|topic| quality(&format!("Tell me fact 9 about {topic}")));
    assert!(gardens > whales + 0.1, "{gardens} {whales}");
    let ran = place.run(&["router", "train", "--feedback", "none.jsonl", "--out", "learned.bin"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("none.jsonl"), "{}", ran.stderr);
}

#[test]
fn scores_that_were_dealt_out_at_random_teach_nothing_and_options_can_be_left_out() {
    let place = Place::empty();
    place.write("answers.csv", &answers());
    let train = ["router", "train", "--data", "answers.csv", "--out", "learned.bin", "--shuffled"];
    let ran = place.run(&train);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.starts_with("no signal, priors used: "), "{}", ran.stdout);
    let eval = ["router", "eval", "--train", "answers.csv", "--without-options", "--only", "folds", "--json"];
    let ran = place.run(&eval);
    assert_eq!(ran.json()["settings"][0]["result"]["rows"], 480, "{}", ran.stderr);
}

#[test]
fn embeddings_are_computed_only_with_a_model_that_is_here_and_makes_some() {
    let place = Place::empty();
    place.write("answers.csv", &answers());
    let eval = |model: &str| place.run(&["router", "eval", "--train", "answers.csv", "--embed", model]);
    eval("minilm-l6").assert_failed(1, &["error[UAT_MODEL_NOT_FOUND]", "try: uat models pull minilm-l6"]);
    eval("smollm2-135m").assert_failed(1, &["error[UAT_INVALID_INPUT]", "minilm-l6"]);
}
