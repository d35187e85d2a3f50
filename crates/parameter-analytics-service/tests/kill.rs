//! Workers that are killed at random moments lose nothing that they were told is kept, and go on as if nothing had happened.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a panic is how a test fails, and lines are how its worker speaks"
)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use parameter_analytics_service::space::{Domain, Parameter, Space};
use parameter_analytics_service::storage::{Files, Memory, Storage};
use parameter_analytics_service::study::{Outcome, State, Study, StudyOptions};
use parameter_analytics_service::{AnalyticsOptions, ParameterAnalytics, SharedStudy, Stream};

/// Names the folder of a worker; the test that follows is one then.
const FOLDER: &str = "UAT_TEST_WORKER_FOLDER";
/// How many kills; `npm run test:soak` asks for 1,000.
const KILLS: &str = "UAT_TEST_KILLS";
/// Trials of a study, after which the next one begins.
const TRIALS: u64 = 40;

fn options(number: u64) -> StudyOptions {
    let parameters = vec![
        Parameter::new("x", Domain::float(0.0, 1.0)),
        Parameter::new("n", Domain::int(1, 64)),
        Parameter::new("kind", Domain::choices(["a", "b", "c"])),
    ];
    StudyOptions { seed: number, ..StudyOptions::new(&format!("s{number}"), Space::new(parameters).unwrap()) }
}

/// What comes of a trial; every seventh fails.
fn outcome(study: &Study, trial: u64) -> Outcome {
    let numbers = study.trial(trial).unwrap().point.numbers();
    match trial % 7 {
        6 => Outcome::Nothing,
        _ => Outcome::Values(
            vec![(numbers[0] - 0.3).powi(2) + (numbers[1] / 64.0 - 0.5).abs() + 0.1 * numbers[2]],
            vec![],
        ),
    }
}

/// One trial more, or what is missing of one that somebody began; says what is kept.
fn step(study: &SharedStudy, said: &mut impl Write) {
    let now = study.refreshed().unwrap();
    let begun = now.trials().find(|trial| trial.state == State::Running).map(|trial| trial.id);
    let trial = begun.unwrap_or_else(|| {
        let trial = study.change(|study| study.ask(1, 0)).unwrap()[0];
        writeln!(said, "asked {} {trial}", now.options().name).unwrap();
        trial
    });
    let outcome = outcome(&study.now().unwrap(), trial);
    study.change(|study| study.tell(trial, outcome.clone(), 0)).unwrap();
    writeln!(said, "told {} {trial}", now.options().name).unwrap();
}

fn open(storage: impl Storage + 'static) -> ParameterAnalytics {
    ParameterAnalytics::new(storage, AnalyticsOptions::default()).unwrap()
}

#[test]
#[ignore = "a worker of the other test, which starts it as a process"]
fn worker() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let analytics = open(Files::new(folder));
    for number in 0.. {
        let (study, _) = analytics.create_study(&options(number)).unwrap();
        while study.refreshed().unwrap().trials().filter(|trial| trial.state != State::Running).count()
            < TRIALS as usize
        {
            step(&study, &mut std::io::stdout());
        }
    }
}

fn start(folder: &Path) -> Child {
    let own = std::env::current_exe().unwrap();
    let mut command = Command::new(own);
    command.args(["--exact", "worker", "--ignored", "--nocapture", "--quiet"]).env(FOLDER, folder);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_worker_that_is_killed_loses_nothing_that_was_kept_and_the_next_one_goes_on_bit_for_bit() {
    let kills: u64 = std::env::var(KILLS).ok().and_then(|kills| kills.parse().ok()).unwrap_or(25);
    let folder = tempfile::tempdir().unwrap();
    let mut moments = Stream::new(7, 0);
    let mut kept: Vec<(bool, String, u64)> = Vec::new();
    for _ in 0..kills {
        let mut worker = start(folder.path());
        let lines = BufReader::new(worker.stdout.take().unwrap()).lines();
        // Killed while it is at what follows some line.
        let last = 1 + moments.below(12);
        for line in lines
            .map_while(Result::ok)
            .filter(|line| line.starts_with("asked ") || line.starts_with("told "))
            .take(last)
        {
            let [what, study, trial] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            kept.push((what == "told", study.to_owned(), trial.parse().unwrap()));
        }
        for _ in 0..moments.below(20_000) {
            std::hint::spin_loop();
        }
        worker.kill().unwrap();
        worker.wait().unwrap();
    }
    let found = open(Files::new(folder.path()));
    for (is_told, study, trial) in &kept {
        let study = found.load_study(study).unwrap().now().unwrap();
        let state = study.trial(*trial).unwrap().state;
        assert!(!is_told || state != State::Running, "trial {trial} of {} was told", study.options().name);
    }
    assert!(kept.len() as u64 >= kills, "workers get somewhere");
    let alone = open(Memory::default());
    for name in found.studies().unwrap() {
        let found = found.load_study(&name).unwrap().now().unwrap();
        let number: u64 = name[1..].parse().unwrap();
        let (study, _) = alone.create_study(&options(number)).unwrap();
        while study.now().unwrap().trials().len() < found.trials().len() {
            step(&study, &mut std::io::sink());
        }
        let expected: Arc<Study> = study.now().unwrap();
        let points = |study: &Study| study.trials().map(|trial| trial.point.clone()).collect::<Vec<_>>();
        assert_eq!(points(&found), points(&expected), "{name}");
    }
}
