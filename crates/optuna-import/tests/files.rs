//! Files of real Optuna versions, which `make_files.py` made, and files that are none.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails, in its helpers too"
)]

use std::path::{Path, PathBuf};

use optuna_import::{Direction, Distribution, File, ImportError, State, Study, Value};
use rusqlite::Connection;

const VERSIONS: [&str; 3] = ["3.6.2", "4.9.0", "5.0.0"];
/// 2026-01-02 03:04:05.678 UTC.
const STARTED: i64 = 1_767_323_045_678;
const HOUR: i64 = 3_600_000;

fn path(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/files/optuna-{version}.db"))
}

fn study(version: &str, name: &str) -> Study {
    File::open(&path(version)).unwrap().study(name).unwrap()
}

/// A copy of a file, changed by SQL.
fn changed(sql: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.db");
    std::fs::copy(path("5.0.0"), &copy).unwrap();
    Connection::open(&copy).unwrap().execute_batch(sql).unwrap();
    (folder, copy)
}

#[test]
fn studies_are_named_in_the_order_in_which_they_were_made() {
    for version in VERSIONS {
        let names = File::open(&path(version)).unwrap().names().unwrap();
        assert_eq!(names.first().unwrap(), "mixed");
        assert_eq!(names.last().unwrap(), "empty");
        let empty = study(version, "empty");
        assert_eq!((empty.directions, empty.trials.len()), (vec![Direction::Minimize], 0));
    }
}

#[test]
fn parameters_have_the_values_and_distributions_that_they_were_written_with() {
    for version in VERSIONS {
        let mixed = study(version, "mixed");
        let kinds = [
            Value::Text("a".to_owned()),
            Value::Text("b".to_owned()),
            Value::None,
            Value::Bool(true),
            Value::Number(2.0),
            Value::Number(0.5),
            Value::Text("naïve \"quote\"".to_owned()),
        ];
        let distributions = [
            Distribution::Float { low: -5.0, high: 5.0, log: false, step: None },
            Distribution::Float { low: 1e-5, high: 0.1, log: true, step: None },
            Distribution::Float { low: 0.0, high: 0.5, log: false, step: Some(0.1) },
            Distribution::Int { low: 1, high: 256, log: true, step: 1 },
            Distribution::Int { low: 1, high: 9, log: false, step: 2 },
            Distribution::Categorical { choices: kinds.to_vec() },
        ];
        for (number, trial) in mixed.trials[..12].iter().enumerate() {
            let exact = number as f64;
            let numbers = [exact / 2.0 - 4.5, 10f64.powi(-1 - (number as i32) % 5), 0.1 * (exact % 6.0)];
            let whole = [f64::from(1 << (number % 9)), f64::from(1 + 2 * (number as u32 % 5))];
            assert_eq!(trial.number, number as u64);
            assert_eq!(
                trial.parameters.iter().map(|setting| &*setting.name).collect::<Vec<_>>(),
                ["x", "rate", "drop", "units", "layers", "kind"]
            );
            for ((setting, expected), distribution) in
                trial.parameters.iter().zip(numbers.iter().chain(&whole)).zip(&distributions)
            {
                let Value::Number(value) = setting.value else { panic!("{setting:?}") };
                assert!((value - expected).abs() < 1e-12, "{setting:?} for {expected}");
                assert_eq!(&setting.distribution, distribution);
            }
            assert_eq!(trial.parameters[5].value, kinds[number % 7]);
            assert_eq!(trial.parameters[5].distribution, distributions[5]);
        }
    }
}

#[test]
fn outcomes_are_what_was_told() {
    for version in VERSIONS {
        let mixed = study(version, "mixed");
        assert_eq!(mixed.directions, [Direction::Maximize]);
        let states: Vec<State> = mixed.trials[7..].iter().map(|trial| trial.state).collect();
        assert_eq!(
            states,
            [State::Complete, State::Pruned, State::Failed, State::Complete, State::Running, State::Waiting]
        );
        for (number, trial) in (0..8).zip(&mixed.trials) {
            assert_eq!(trial.values, [f64::from(number * number) / 3.0]);
            let expected = [("0".to_owned(), f64::from(number) - 5.0), ("1".to_owned(), f64::NEG_INFINITY)];
            assert_eq!(trial.constraints, expected);
        }
        let pruned = &mixed.trials[8];
        let steps: Vec<i64> = pruned.intermediate.iter().map(|(step, _)| *step).collect();
        assert_eq!((steps, pruned.intermediate[0].1), (vec![0, 3, 9], 1.5));
        assert!(pruned.intermediate[1].1.is_nan() && pruned.intermediate[2].1 == f64::NEG_INFINITY);
        assert!(mixed.trials[9].values.is_empty() && mixed.trials[11].values.is_empty());
        assert_eq!(mixed.trials[10].values, [f64::INFINITY]);
        assert!(mixed.trials[12].parameters.is_empty() && mixed.trials[12].started_at_ms.is_none());
    }
}

#[test]
fn optuna_5_writes_utc_and_older_ones_the_local_time() {
    // The script runs in Tokyo, nine hours ahead.
    for (version, off) in [("3.6.2", 0), ("4.9.0", 0), ("5.0.0", -9 * HOUR)] {
        let trial = &study(version, "mixed").trials[2];
        assert_eq!(trial.started_at_ms, Some(STARTED + off), "{version}");
        assert_eq!(trial.ended_at_ms, Some(STARTED + off + 2_322), "{version}");
        assert_eq!(study(version, "mixed").trials[11].ended_at_ms, None);
    }
}

#[test]
fn trials_can_have_different_parameters_and_studies_several_objectives() {
    for version in VERSIONS {
        let conditional = study(version, "conditional");
        let names = |number: usize| -> Vec<&str> {
            conditional.trials[number].parameters.iter().map(|setting| &*setting.name).collect()
        };
        assert_eq!((names(0), names(1)), (vec!["model", "depth"], vec!["model", "slope"]));
        let two = study(version, "two objectives");
        assert_eq!(
            (two.directions, &*two.trials[0].values),
            (vec![Direction::Minimize, Direction::Maximize], &[1.0, 2.0][..])
        );
    }
}

#[test]
fn constraints_that_a_trial_sets_itself_have_their_names() {
    let trial = &study("5.0.0", "named constraints").trials[0];
    assert_eq!(trial.constraints, [("memory".to_owned(), 1.5), ("latency".to_owned(), -2.0)]);
}

#[test]
fn a_study_that_is_not_there_is_answered_with_those_that_are() {
    let error = File::open(&path("4.9.0")).unwrap().study("mixd").unwrap_err();
    assert_eq!(error.code(), "UAT_NOT_FOUND");
    let expected = "the file has no study `mixd`; it has `mixed`, `conditional`, `two objectives`, `empty`";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn other_files_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let check = |name: &str, content: Option<&[u8]>, code: &str, message: &str| {
        let path = folder.path().join(name);
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let error = File::open(&path).unwrap_err();
        assert!(error.code() == code && error.to_string().contains(message), "{error}");
    };
    check("missing", None, "UAT_NOT_FOUND", "does not exist");
    check("", None, "UAT_NOT_FOUND", "it is not a file");
    check("text", Some(&b"study,trial,value\n".repeat(99)), "UAT_INVALID_INPUT", "is no SQLite database");
    check("nothing", Some(b""), "UAT_INVALID_INPUT", "without Optuna's table `alembic_version`");
    let other = folder.path().join("other");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE studies (x)").unwrap();
    check("other", None, "UAT_INVALID_INPUT", "without Optuna's table");
}

#[test]
fn a_schema_of_another_version_is_named() {
    for version in ["v2.6.0.a", "v9.0.0.a"] {
        let (_folder, path) = changed(&format!("UPDATE alembic_version SET version_num = '{version}'"));
        let error = File::open(&path).unwrap_err();
        assert!(error.code() == "UAT_UNSUPPORTED" && error.to_string().contains(version), "{error}");
    }
    let (_folder, path) = changed("DELETE FROM alembic_version");
    assert!(matches!(File::open(&path), Err(ImportError::Version { .. })));
}

#[test]
fn rows_that_cannot_be_are_named() {
    for (sql, message) in [
        (
            "UPDATE trial_params SET distribution_json = '{}' WHERE param_name = 'x'",
            "parameter `x`: unknown distribution {}",
        ),
        (
            "UPDATE trial_params SET param_value = 7 WHERE param_name = 'kind'",
            "parameter `kind`: 7 is none of its values",
        ),
        ("UPDATE trial_params SET param_value = NULL", "Invalid column type"),
        ("UPDATE trials SET state = 'ASLEEP'", "trial 0 has the state `ASLEEP`"),
        ("UPDATE trials SET number = -3", "a trial's number is -3"),
        ("UPDATE trials SET datetime_start = 'noon'", "trial 0 has the time `noon`"),
        ("UPDATE trial_values SET value_type = 'HUGE'", "a value has the type `HUGE`"),
        ("UPDATE trial_system_attributes SET value_json = '[1, x]'", "trial 0 has the constraints [1, x]"),
        ("UPDATE study_directions SET direction = 'NOT_SET'", "a study's direction is `NOT_SET`"),
    ] {
        let (_folder, path) = changed(sql);
        let error = File::open(&path).unwrap().study("mixed").unwrap_err();
        assert!(error.code() == "UAT_STORAGE" && error.to_string().contains(message), "{sql}: {error}");
    }
}

#[test]
fn a_file_that_is_being_written_is_no_damaged_one() {
    let (_folder, path) = changed("");
    let writer = Connection::open(&path).unwrap();
    writer.execute_batch("BEGIN EXCLUSIVE; UPDATE trials SET number = 0").unwrap();
    assert_eq!(File::open(&path).unwrap_err().code(), "UAT_CONFLICT");
    writer.execute_batch("ROLLBACK").unwrap();
    assert_eq!(File::open(&path).unwrap().study("mixed").unwrap().trials.len(), 13);
}

#[test]
fn a_view_in_place_of_a_table_is_not_run() {
    let (_folder, path) = changed(
        "ALTER TABLE trials RENAME TO t; CREATE VIEW trials AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x FROM n) SELECT x FROM n",
    );
    assert!(matches!(File::open(&path), Err(ImportError::NotOptuna { missing: "trials", .. })));
}

#[test]
fn damaged_files_are_errors_or_read_and_never_a_panic() {
    let whole = std::fs::read(path("5.0.0")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.db");
    let read = |bytes: &[u8]| -> Result<usize, ImportError> {
        std::fs::write(&path, bytes).unwrap();
        let file = File::open(&path)?;
        let mut trials = 0;
        for name in file.names()? {
            trials += file.study(&name)?.trials.len();
        }
        Ok(trials)
    };
    let all = read(&whole).unwrap();
    let mut errors = 0;
    for cut in (0..whole.len()).step_by(whole.len() / 60) {
        errors += usize::from(read(&whole[..cut]).is_err());
    }
    assert!(errors > 55, "{errors}");
    for start in (0..whole.len() - 64).step_by(197) {
        let mut bytes = whole.clone();
        let place = start as u8;
        bytes[start..start + 24]
            .iter_mut()
            .for_each(|byte| *byte = byte.wrapping_mul(31).wrapping_add(place | 1));
        if let Ok(trials) = read(&bytes) {
            assert!(trials <= 2 * all, "{trials}");
        }
    }
}
