use serde_json::{Value, json};

use crate::support::Place;

/// A study as `uat study export` writes it: four trials, the third of which does best and is too slow.
fn exported() -> Value {
    let trial = |id: u64, temperature: f64, value: f64, slow: f64| {
        json!({ "id": id, "parameters": { "temperature": temperature, "model": "a" }, "values": [value],
            "constraintValues": [slow], "state": "complete", "startedAt": 1000 + id, "endedAt": 2000 + id })
    };
    let space = json!({
        "temperature": { "type": "float", "low": 0, "high": 2 },
        "model": { "type": "categorical", "choices": ["a", "b"] },
    });
    let mut trials = vec![trial(0, 0.5, 3.0, -1.0), trial(1, 0.75, 2.0, -0.5), trial(2, 1.25, 1.0, 0.5)];
    trials.push(json!({ "id": 3, "parameters": { "temperature": 1.5, "model": "b" }, "state": "failed", "startedAt": 1003, "endedAt": 2003 }));
    let options = json!({ "name": "answers", "space": space, "constraints": ["slow"], "seed": 7 });
    json!({ "options": options, "trials": trials })
}

fn imported() -> Place {
    let place = Place::empty();
    place.write("answers.json", &exported().to_string());
    let ran = place.run(&["study", "import", "answers.json"]);
    assert_eq!((ran.code, &*ran.stdout), (0, "Imported answers: 4 trials\n"), "{}", ran.stderr);
    place
}

#[test]
fn a_study_is_carried_elsewhere_and_is_the_same_there() {
    let place = imported();
    let first = place.run(&["study", "export", "answers"]);
    let again = place
        .run_with_input(&["study", "import", "-", "--name", "copy", "--storage", "elsewhere"], &first.stdout);
    assert_eq!(again.code, 0, "{}", again.stderr);
    let copy = place.run(&["study", "export", "copy", "--storage", "elsewhere"]);
    let (first, mut copy) = (first.json(), copy.json());
    assert_eq!(copy["options"]["name"], "copy");
    copy["options"]["name"] = json!("answers");
    assert_eq!(first, copy);
    assert_eq!(first["trials"], exported()["trials"]);
}

#[test]
fn the_best_trial_meets_the_constraints() {
    let place = imported();
    let ran = place.run(&["study", "show", "answers"]);
    for line in ["trials       3 complete, 1 failed", "constraints  slow", "seed         7"] {
        assert!(ran.stdout.contains(line), "{line} is not in {}", ran.stdout);
    }
    let rows: Vec<Vec<&str>> = ran
        .stdout
        .lines()
        .skip_while(|line| !line.starts_with("TRIAL"))
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows[0], ["TRIAL", "VALUE", "slow", "temperature", "model"]);
    assert_eq!(rows[1..].iter().map(|row| row[0]).collect::<Vec<_>>(), ["1", "0", "2"]);
    let shown = place.run(&["study", "show", "answers", "--json"]).json();
    assert_eq!((&shown["best"]["id"], &shown["complete"]), (&json!(1), &json!(3)));
    let listed = place.run(&["study", "list"]);
    assert_eq!(
        listed.stdout.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>(),
        ["answers", "4", "3", "2.00000", "gp"]
    );
}

#[test]
fn what_is_wrong_is_said_with_what_to_try() {
    let place = imported();
    let nothing = place.run(&["study", "show", "nope"]);
    assert_eq!(nothing.code, 1);
    assert_eq!(nothing.stderr, "error[UAT_NOT_FOUND]: there is no study `nope`; there are `answers`\n");
    let twice = place.run(&["study", "import", "answers.json"]);
    assert!(
        twice.code == 1 && twice.stderr.starts_with("error[UAT_CONFLICT]: the study `answers` exists"),
        "{}",
        twice.stderr
    );
    place.write("wrong.json", "{\"options\": 1}");
    let wrong = place.run(&["study", "import", "wrong.json"]);
    assert!(
        wrong.stderr.contains("wrong.json is no exported study")
            && wrong.stderr.contains("try: uat study export"),
        "{}",
        wrong.stderr
    );
    let kept = place.run(&["study", "remove", "answers"]);
    assert_eq!(kept.code, 2, "{}", kept.stderr);
    assert_eq!(place.run(&["study", "remove", "answers", "--yes"]).code, 0);
    assert!(place.run(&["study", "list"]).stdout.starts_with("There are no studies in "));
    let bandit = place.run(&["bandit", "show", "b"]);
    assert_eq!(bandit.stderr, "error[UAT_NOT_FOUND]: there is no bandit `b`; there are no bandits\n");
}

/// A file that Optuna wrote.
fn optuna(version: &str) -> String {
    format!("{}/../optuna-import/tests/files/optuna-{version}.db", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn studies_of_optunas_go_on_here() {
    for version in ["3.6.2", "4.9.0", "5.0.0"] {
        let place = Place::empty();
        let file = optuna(version);
        let mixed = place.run(&["study", "import", &file, "--study", "mixed", "--json"]);
        assert_eq!(mixed.code, 0, "{}", mixed.stderr);
        let left = [
            "2 trials had not ended and were left out",
            "1 trials were complete without finite values, and come as failed",
        ];
        assert_eq!(mixed.json(), json!({ "name": "mixed", "trials": 11, "left": left }));
        let shown = place.run(&["study", "show", "mixed", "--json"]).json();
        // The seventh's first constraint is above 0.
        assert_eq!(
            (&shown["best"]["id"], &shown["directions"]),
            (&json!(5), &json!(["maximize"])),
            "{shown}"
        );
        let tree = place.run(&["study", "import", &file, "--study", "conditional", "--name", "mine"]);
        assert_eq!((tree.code, &*tree.stdout), (0, "Imported mine: 2 trials\n"), "{}", tree.stderr);
        let space = &place.run(&["study", "show", "mine", "--json"]).json()["space"];
        assert_eq!(space["depth"]["when"], json!({ "model": "tree" }), "{space}");
        assert_eq!(space["slope"]["when"], json!({ "model": "line" }), "{space}");
    }
}

#[test]
fn what_cannot_be_taken_over_of_optunas_is_said() {
    let place = Place::empty();
    let file = optuna("5.0.0");
    let several = place.run(&["study", "import", &file]);
    assert!(
        several.code == 1
            && several.stderr.contains("the file has 5 studies: ")
            && several.stderr.contains("try: name one with --study"),
        "{}",
        several.stderr
    );
    for (study, code, words) in [
        ("two objectives", "UAT_UNSUPPORTED", "has 2 objectives"),
        ("nope", "UAT_NOT_FOUND", "the file has no study `nope`"),
        ("empty", "UAT_INVALID_INPUT", "parameter"),
    ] {
        let ran = place.run(&["study", "import", &file, "--study", study]);
        assert!(
            ran.code == 1 && ran.stderr.contains(code) && ran.stderr.contains(words),
            "{study}: {}",
            ran.stderr
        );
    }
    assert!(place.run(&["study", "list"]).stdout.starts_with("There are no studies"));
}

#[test]
fn a_report_is_a_page_that_asks_for_nothing() {
    let place = imported();
    let ran = place.run(&["study", "report", "answers"]);
    assert_eq!((ran.code, &*ran.stdout), (0, "Wrote answers.html\n"), "{}", ran.stderr);
    let page = std::fs::read_to_string(place.path().join("answers.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("<svg") && !page.contains("<script"));
    let printed = place.run(&["study", "report", "answers", "--out", "-"]);
    assert!(printed.stdout.starts_with("<!DOCTYPE html>"));
}
