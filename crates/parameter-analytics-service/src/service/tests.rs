use std::fs;

use super::*;
use crate::advice::Request;
use crate::bandit::{Decision, DecisionId};
use crate::space::{Domain, Ordered, Parameter, Space, Value};
use crate::storage::{Files, Memory};
use crate::study::{Outcome, State};

fn space() -> Space {
    Space::new(vec![
        Parameter::new("temperature", Domain::float(0.0, 2.0)),
        Parameter::new("model", Domain::choices(["a", "b"])),
    ])
    .unwrap()
}

/// A process of its own, as far as the storage can tell.
fn process(storage: impl Storage + 'static, random: u64) -> ParameterAnalytics {
    ParameterAnalytics::new(storage, AnalyticsOptions { clock: || 1_000, random }).unwrap()
}

fn ask(study: &SharedStudy) -> u64 {
    study.change(|study| study.ask(1, 1)).unwrap()[0]
}

fn tell(study: &SharedStudy, trial: u64, value: f64) -> Result<(), AnalyticsError> {
    study.change(|study| study.tell(trial, Outcome::Values(vec![value], vec![]), 2))
}

fn numbers(study: &SharedStudy) -> Vec<Vec<f64>> {
    study.refreshed().unwrap().trials().map(|trial| trial.point.numbers().to_vec()).collect()
}

#[test]
fn processes_that_share_a_study_go_on_as_one_process_alone_would() {
    let folder = tempfile::tempdir().unwrap();
    let options = StudyOptions::new("s", space());
    let alone = process(Memory::default(), 1);
    let (alone, _) = alone.create_study(&options).unwrap();
    let processes = [1, 2, 3].map(|random| process(Files::new(folder.path()), random));
    let shared = processes.each_ref().map(|process| process.create_study(&options).unwrap().0);
    for round in 0..24 {
        let (asker, teller) = (&shared[round % 3], &shared[(round + 1) % 3]);
        let trial = ask(asker);
        assert_eq!(trial, ask(&alone));
        let value = (round as f64 * 0.37).sin();
        tell(teller, trial, value).unwrap();
        tell(&alone, trial, value).unwrap();
    }
    assert_eq!(numbers(&shared[0]), numbers(&alone));
    assert_eq!(tell(&shared[0], 3, 0.0).unwrap_err().code(), "UAT_CONFLICT");
    assert_eq!(shared[2].refreshed().unwrap().trials().len(), 24);
}

#[test]
fn threads_that_share_a_study_get_trials_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let options = StudyOptions::new("s", space());
    let threads: Vec<u64> = std::thread::scope(|scope| {
        let work = |random| {
            let (options, folder) = (&options, folder.path());
            scope.spawn(move || {
                let process = process(Files::new(folder), random);
                let (study, _) = process.create_study(options).unwrap();
                let work = || {
                    let trial = ask(&study);
                    tell(&study, trial, trial as f64).unwrap();
                    trial
                };
                std::iter::repeat_with(work).take(10).collect::<Vec<_>>()
            })
        };
        let threads: Vec<_> = (0..4).map(work).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let mut all = threads;
    all.sort_unstable();
    assert_eq!(all, (0..40).collect::<Vec<_>>());
}

#[test]
fn a_study_that_is_created_again_with_something_else_names_what() {
    let analytics = process(Memory::default(), 1);
    let options = StudyOptions::new("s", space());
    assert!(analytics.create_study(&options).unwrap().1);
    assert!(!analytics.create_study(&options).unwrap().1);
    let other = Space::new(vec![
        Parameter::new("temperature", Domain::float(0.0, 1.0)),
        Parameter::new("top_p", Domain::float(0.0, 1.0)),
    ]);
    let error = analytics
        .create_study(&StudyOptions { seed: 5, space: other.unwrap(), ..options.clone() })
        .unwrap_err();
    assert_eq!(error.code(), "UAT_CONFLICT");
    for said in [
        "the study `s` exists and differs",
        "`seed` was 0 and is 5 now",
        r#"parameter `temperature` was {"type":"float","low":0,"high":2} and is {"type":"float","low":0,"high":1} now"#,
        "parameter `model` is missing",
        "parameter `top_p` is new",
    ] {
        assert!(error.to_string().contains(said), "{said}: {error}");
    }
    // Choices that came since are no difference, whichever way it is said.
    let (study, _) = analytics.create_study(&options).unwrap();
    study.change(|study| study.add_choice("model", "c".into())).unwrap();
    let grown = StudyOptions { space: study.now().unwrap().space().clone(), ..options.clone() };
    assert!(!analytics.create_study(&options).unwrap().1 && !analytics.create_study(&grown).unwrap().1);
}

#[test]
fn a_study_that_is_not_there_is_not_made_by_looking_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let analytics = process(Files::new(folder.path()), 1);
    assert_eq!(
        analytics.load_study("s").unwrap_err().to_string(),
        "there is no study `s`; there are no studies"
    );
    analytics.create_study(&StudyOptions::new("t", space())).unwrap();
    let error = analytics.load_study("s").unwrap_err();
    assert_eq!(
        (error.code(), &*error.to_string()),
        ("UAT_NOT_FOUND", "there is no study `s`; there are `t`")
    );
    analytics.remove_study("t").unwrap();
    assert_eq!(analytics.remove_study("t").unwrap_err().code(), "UAT_NOT_FOUND");
    assert!(analytics.studies().unwrap().is_empty());
}

#[test]
fn a_study_is_the_same_after_it_was_carried_elsewhere() {
    let (here, there) = (process(Memory::default(), 1), process(Memory::default(), 2));
    let (study, _) = here.create_study(&StudyOptions::new("s", space())).unwrap();
    for round in 0..12 {
        let trial = ask(&study);
        study.change(|study| study.report(trial, 3, 0.5, 1)).unwrap();
        match round % 3 {
            0 => study.change(|study| study.tell(trial, Outcome::Nothing, 2)).unwrap(),
            1 => tell(&study, trial, 0.1 * round as f64).unwrap(),
            _ => {}
        }
    }
    let document = StudyDocument::from(&*study.now().unwrap());
    let text = serde_json::to_string(&document).unwrap();
    let carried: StudyDocument = serde_json::from_str(&text).unwrap();
    let again = there.import_study(&carried).unwrap();
    assert_eq!(StudyDocument::from(&*again.now().unwrap()), document);
    assert_eq!(ask(&again), 12);
    let error = there.import_study(&carried).unwrap_err();
    assert_eq!(error.code(), "UAT_CONFLICT");
    // What is no point of the space is refused, and nothing of it is there.
    let mut wrong = carried;
    wrong.options.name = "w".into();
    wrong.trials[11].parameters =
        Ordered(vec![("temperature".into(), Value::Number(3.0)), ("model".into(), "a".into())]);
    assert_eq!(there.import_study(&wrong).unwrap_err().code(), "UAT_INVALID_INPUT");
    assert_eq!(there.load_study("w").unwrap_err().code(), "UAT_NOT_FOUND");
}

#[test]
fn a_damaged_line_is_named_and_the_file_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (study, _) =
        process(Files::new(folder.path()), 1).create_study(&StudyOptions::new("s", space())).unwrap();
    (0..5).for_each(|_| tell(&study, ask(&study), 1.0).unwrap());
    let path = folder.path().join("studies/s.journal");
    let damaged = fs::read_to_string(&path).unwrap().replacen("\"trial\":2", "\"trial\":7", 1);
    fs::write(&path, &damaged).unwrap();
    let other = process(Files::new(folder.path()), 2);
    for _ in 0..2 {
        let error = other.load_study("s").unwrap_err();
        assert_eq!(error.code(), "UAT_STORAGE");
        assert!(
            error.to_string().starts_with("the study `s`: line 6 is damaged: its checksum does not fit"),
            "{error}"
        );
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), damaged);
}

#[test]
fn a_change_that_could_not_be_kept_did_not_happen() {
    let folder = tempfile::tempdir().unwrap();
    let analytics = process(Files::new(folder.path()), 1);
    let (study, _) = analytics.create_study(&StudyOptions::new("s", space())).unwrap();
    let trial = ask(&study);
    // A folder in place of the file: nothing can be written.
    let path = folder.path().join("studies/s.journal");
    let kept = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let error = tell(&study, trial, 1.0).unwrap_err();
    assert_eq!(error.code(), "UAT_STORAGE");
    assert_eq!(study.now().unwrap().trial(trial).unwrap().state, State::Running);
    fs::remove_dir(&path).unwrap();
    fs::write(&path, kept).unwrap();
    tell(&study, trial, 1.0).unwrap();
    assert_eq!(study.now().unwrap().trial(trial).unwrap().state, State::Complete);
}

fn document() -> BanditDocument {
    serde_json::from_value(serde_json::json!({"name": "b", "arms": ["a", "b"]})).unwrap()
}

fn bandit(analytics: &ParameterAnalytics) -> Arc<SharedBandit> {
    analytics.bandit("b", &document().options(analytics.seed()).unwrap()).unwrap()
}

/// Takes so many decisions; `a` is always right.
fn use_it(bandit: &SharedBandit, decisions: usize) -> Vec<DecisionId> {
    let decide = |_| {
        let Decision { arm, decision_id, .. } = bandit.select(None, 1).unwrap();
        bandit.reward(decision_id, if &*arm == "a" { 1.0 } else { 0.0 }, 1).unwrap();
        decision_id
    };
    (0..decisions).map(decide).collect()
}

fn pulls(bandit: &SharedBandit) -> f64 {
    bandit.posterior(None, 1).unwrap().iter().map(|standing| standing.pulls).sum()
}

#[test]
fn processes_that_share_a_bandit_know_what_all_of_them_learnt_and_each_reward_once() {
    let folder = tempfile::tempdir().unwrap();
    let processes = [1, 2].map(|random| process(Files::new(folder.path()), random));
    let [one, two] = processes.each_ref().map(bandit);
    for _ in 0..3 {
        use_it(&one, 5);
        one.flush(1).unwrap();
        use_it(&two, 5);
        two.flush(1).unwrap();
    }
    use_it(&one, 1);
    one.flush(1).unwrap();
    assert_eq!((pulls(&one), pulls(&two)), (31.0, 30.0));
    let later = process(Files::new(folder.path()), 3);
    assert_eq!(pulls(&later.load_bandit("b").unwrap()), 31.0);
    assert_eq!(later.bandits().unwrap(), ["b".into()]);
    // What one of them decided is not taken for what another one did.
    let decision = one.select(None, 1).unwrap().decision_id;
    assert_eq!(two.reward(decision, 1.0, 1).unwrap_err().code(), "UAT_NOT_FOUND");
}

#[test]
fn a_long_journal_of_a_bandit_is_summed_up_and_nobody_loses_or_counts_anything_twice() {
    let folder = tempfile::tempdir().unwrap();
    let processes = [1, 2].map(|random| process(Files::new(folder.path()), random));
    let [one, two] = processes.each_ref().map(bandit);
    for _ in 0..1_005 {
        use_it(&one, 1);
        one.flush(1).unwrap();
    }
    use_it(&two, 3);
    let lines = fs::read_to_string(folder.path().join("bandits/b.journal")).unwrap().lines().count();
    assert!(lines < 20, "{lines} lines");
    two.flush(1).unwrap();
    one.flush(1).unwrap();
    assert_eq!((pulls(&one), pulls(&two)), (1_008.0, 1_008.0));
    assert_eq!(pulls(&process(Files::new(folder.path()), 3).load_bandit("b").unwrap()), 1_008.0);
}

#[test]
fn what_was_learnt_while_nothing_could_be_kept_is_kept_later_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let analytics = process(Files::new(folder.path()), 1);
    let own = bandit(&analytics);
    use_it(&own, 2);
    own.flush(1).unwrap();
    let path = folder.path().join("bandits/b.journal");
    let kept = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    use_it(&own, 3);
    assert_eq!(own.flush(1).unwrap_err().code(), "UAT_STORAGE");
    use_it(&own, 4);
    assert_eq!(pulls(&own), 9.0);
    fs::remove_dir(&path).unwrap();
    fs::write(&path, kept).unwrap();
    own.flush(1).unwrap();
    assert_eq!(
        (pulls(&own), pulls(&process(Files::new(folder.path()), 2).load_bandit("b").unwrap())),
        (9.0, 9.0)
    );
}

#[test]
fn a_bandit_of_other_make_under_the_same_name_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let own = bandit(&process(Files::new(folder.path()), 1));
    own.flush(1).unwrap();
    let other = BanditDocument { policy: PolicyName::Ucb, ..document() }.options(7).unwrap();
    let elsewhere = process(Files::new(folder.path()), 2);
    let error = elsewhere.bandit("b", &other).unwrap().flush(1).unwrap_err();
    assert_eq!(error.code(), "UAT_CONFLICT");
    assert!(
        error.to_string().contains(r#"`policy` was {"kind":"thompson"} and is {"kind":"ucb"} now"#),
        "{error}"
    );
}

#[test]
fn options_that_mean_nothing_are_refused_by_their_names() {
    let analytics = process(Memory::default(), 1);
    let with = |change: serde_json::Value| {
        let mut document = serde_json::to_value(document()).unwrap();
        document.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let document: BanditDocument = serde_json::from_value(document).unwrap();
        document.options(7).and_then(|options| analytics.bandit(&document.name, &options)).unwrap_err()
    };
    for (change, said) in [
        (serde_json::json!({"policy": "lin-thompson"}), "contextDims: expected how many numbers"),
        (serde_json::json!({"contextDims": 3}), "contextDims: expected nothing"),
        (serde_json::json!({"discount": 0}), "discount: expected a number above 0, at most 1, got 0"),
        (
            serde_json::json!({"policy": "exp3"}),
            "the policy `exp3` is not supported; use `thompson` with a `discount`",
        ),
        (serde_json::json!({"arms": []}), "arm"),
        (serde_json::json!({"name": ""}), "the name of a bandit must not be empty"),
    ] {
        let error = with(change);
        assert!(error.to_string().contains(said), "{said}: {error}");
    }
}

#[test]
fn after_close_nothing_opens_and_everything_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let analytics = process(Files::new(folder.path()), 1);
    use_it(&bandit(&analytics), 7);
    analytics.close().unwrap();
    analytics.close().unwrap();
    assert_eq!(analytics.load_study("s").unwrap_err().code(), "UAT_CLOSED");
    assert_eq!(analytics.bandit("b", &document().options(7).unwrap()).unwrap_err().code(), "UAT_CLOSED");
    assert_eq!(pulls(&process(Files::new(folder.path()), 2).load_bandit("b").unwrap()), 7.0);
}

fn about(task: &str) -> About {
    About { model: "m".into(), task_type: task.into(), space: Some(space()) }
}

fn advised(analytics: &ParameterAnalytics, task: &str) -> Advised {
    analytics.optimize(&about(task), &Request::default()).unwrap()
}

fn outcome(advised: &Advised, reward: Option<f64>, latency_ms: Option<f64>) -> CallOutcome {
    CallOutcome { trial_id: advised.trial_id.clone(), reward, latency_ms, ..CallOutcome::default() }
}

#[test]
fn what_came_of_a_call_is_learned_by_whoever_is_there_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let one = process(Files::new(folder.path()), 1);
    let advice = advised(&one, "code");
    // Nothing but that there is such a thing was kept; another process can take the outcome all the same.
    let two = process(Files::new(folder.path()), 2);
    two.record(&outcome(&advice, None, Some(300.0))).unwrap();
    one.record(&outcome(&advice, Some(0.5), None)).unwrap();
    drop((one, two));
    let later = process(Files::new(folder.path()), 3);
    let rows = later.performance(0).unwrap();
    let (about, known) = &rows[0];
    assert_eq!(
        (&*about.task_type, known.trials, known.reward_mean, known.latency_p50),
        ("code", 1, Some(0.5), Some(300.0))
    );
    assert_eq!(advised(&later, "code").advice.observations, 1);
    assert_eq!(advised(&later, "prose").advice.observations, 0);
}

#[test]
fn each_part_of_an_outcome_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    let one = process(Files::new(folder.path()), 1);
    let advice = advised(&one, "code");
    one.record(&outcome(&advice, Some(1.0), Some(10.0))).unwrap();
    for process in [one, process(Files::new(folder.path()), 2)] {
        let error = process.record(&outcome(&advice, Some(1.0), None)).unwrap_err();
        assert_eq!(error.code(), "UAT_CONFLICT");
        assert!(error.to_string().starts_with("`reward` of this trial was recorded before"), "{error}");
    }
}

#[test]
fn outcomes_that_come_together_are_taken_or_refused_each_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let analytics = process(Files::new(folder.path()), 1);
    let (first, second) = (advised(&analytics, "code"), advised(&analytics, "prose"));
    let outcomes = [
        outcome(&first, Some(0.5), None),
        CallOutcome { trial_id: "no trial".to_owned(), reward: Some(1.0), ..CallOutcome::default() },
        outcome(&second, Some(f64::NAN), None),
        outcome(&first, Some(0.5), None),
        outcome(&second, Some(0.25), Some(3.0)),
    ];
    let codes: Vec<_> = analytics
        .record_all(&outcomes)
        .into_iter()
        .map(|taken| taken.map_err(|error| error.code()))
        .collect();
    assert_eq!(codes, [Ok(()), Err("UAT_NOT_FOUND"), Err("UAT_INVALID_INPUT"), Err("UAT_CONFLICT"), Ok(())]);
    let trials: Vec<u64> = analytics.performance(0).unwrap().iter().map(|(_, known)| known.trials).collect();
    assert_eq!(trials, [1, 1]);
    assert!(analytics.performance(1_001).unwrap().is_empty());
}

#[test]
fn a_long_journal_of_advice_loses_its_old_half_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let analytics = process(Files::new(folder.path()), 1);
    let of = |_| outcome(&advised(&analytics, "code"), None, Some(5.0));
    for _ in 0..21 {
        let batch: Vec<CallOutcome> = (0..1_000).map(of).collect();
        assert!(analytics.record_all(&batch).iter().all(Result::is_ok));
    }
    let file = fs::read_dir(folder.path().join("advice")).unwrap().next().unwrap().unwrap().path();
    let lines = fs::read_to_string(&file).unwrap().lines().count();
    assert!((10_000..=11_001).contains(&lines), "{lines} lines");
    analytics.record(&of(0)).unwrap();
    assert_eq!(process(Files::new(folder.path()), 2).performance(0).unwrap()[0].1.trials, 10_000);
}

#[test]
fn what_always_fails_is_not_recommended() {
    let analytics = process(Memory::default(), 1);
    let modes = Space::new(vec![Parameter::new("mode", Domain::choices(["broken", "sound"]))]).unwrap();
    let about = About { model: "m".into(), task_type: "t".into(), space: Some(modes) };
    let broken = |advised: &Advised| advised.advice.parameters.get("mode") == Some(&"broken".into());
    for _ in 0..60 {
        let advised = analytics.optimize(&about, &Request::default()).unwrap();
        let outcome = match broken(&advised) {
            true => CallOutcome {
                trial_id: advised.trial_id.clone(),
                error: Some("too long".to_owned()),
                ..CallOutcome::default()
            },
            false => outcome(&advised, Some(0.4), None),
        };
        analytics.record(&outcome).unwrap();
    }
    let wanted = Request { mode: crate::advice::Mode::Recommend, ..Request::default() };
    assert!(!broken(&analytics.optimize(&about, &wanted).unwrap()));
}

#[test]
fn a_decision_of_before_a_restart_is_not_taken_for_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let options = document().options(7).unwrap();
    let before = process(Files::new(folder.path()), 1).bandit("b", &options).unwrap();
    let waiting = before.select(None, 1).unwrap();
    let after = process(Files::new(folder.path()), 2).bandit("b", &options).unwrap();
    assert_eq!(after.select(None, 1).unwrap().arm, waiting.arm, "the same seed gives the same arms");
    assert_eq!(after.reward(waiting.decision_id, 1.0, 1).unwrap_err().code(), "UAT_NOT_FOUND");
}

#[test]
fn the_best_guess_comes_first_and_the_next_ones_differ() {
    let analytics = process(Memory::default(), 1);
    let about = About { model: "m".into(), task_type: "code-generation".into(), space: None };
    let ask = |_| analytics.optimize(&about, &Request::default()).unwrap().advice.parameters;
    let asked: Vec<_> = (0..3).map(ask).collect();
    assert_eq!(asked[0].get("temperature"), Some(&Value::Number(0.2)));
    assert!(asked[1] != asked[0] && asked[2] != asked[1]);
}

#[test]
fn a_bandit_that_is_created_otherwise_does_not_stand_in_the_way_of_the_one_that_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let options = document().options(7).unwrap();
    let (made, is_new) = process(Files::new(folder.path()), 1).create_bandit("b", &options).unwrap();
    assert!(is_new);
    use_it(&made, 3);
    made.flush(1).unwrap();
    let later = process(Files::new(folder.path()), 2);
    let other = BanditDocument { policy: PolicyName::Ucb, ..document() }.options(7).unwrap();
    let more = BanditDocument { arms: vec!["a".into(), "c".into()], ..document() }.options(7).unwrap();
    for wrong in [&other, &more] {
        assert_eq!(later.create_bandit("b", wrong).unwrap_err().code(), "UAT_CONFLICT");
    }
    let (again, is_new) = later.create_bandit("b", &options).unwrap();
    assert_eq!((is_new, pulls(&again)), (false, 3.0));
    use_it(&later.load_bandit("b").unwrap(), 1);
    again.flush(1).unwrap();
    assert_eq!(pulls(&process(Files::new(folder.path()), 3).load_bandit("b").unwrap()), 4.0);
}

#[test]
fn a_bandit_whose_rewards_are_not_kept_yet_is_not_dropped_for_another() {
    let name = LogName::new(Kind::Bandit, "b").unwrap();
    let own =
        SharedBandit::new(Arc::new(Memory::default()), name, document().options(7).unwrap(), 1).unwrap();
    assert!(own.is_idle());
    let decision = own.select(None, 1).unwrap().decision_id;
    assert!(!own.is_idle(), "its reward is waited for");
    own.reward(decision, 1.0, 1).unwrap();
    assert!(!own.is_idle(), "what it taught is in memory alone");
    own.flush(1).unwrap();
    assert!(own.is_idle());
}

#[test]
fn outcomes_that_come_together_say_of_one_another_which_features_there_are() {
    use crate::advice::Context;
    let folder = tempfile::tempdir().unwrap();
    let analytics = process(Files::new(folder.path()), 1);
    let with = |feature: &str| {
        let context: Context = Ordered(vec![(feature.into(), 1.0)]);
        let advised = analytics.optimize(&about("code"), &Request { context, ..Request::default() }).unwrap();
        outcome(&advised, Some(0.5), None)
    };
    let codes: Vec<_> = analytics
        .record_all(&[with("a"), with("b")])
        .into_iter()
        .map(|taken| taken.map_err(|error| error.code()))
        .collect();
    assert_eq!(codes, [Ok(()), Err("UAT_INVALID_INPUT")]);
    assert_eq!(process(Files::new(folder.path()), 2).performance(0).unwrap()[0].1.trials, 1);
}
