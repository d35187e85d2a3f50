//! The checker of histories finds what is wrong in them, and nothing in those that a correct store has made.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::io::Write;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use testkit::history::{Action, Operation, Outcome, Report, Rules, Violation, check};

type Op = Operation<u8, u32>;

const CACHE: Rules = Rules { slack_ns: 10, may_forget: true, unknown_for_ns: None };
const SESSIONS: Rules = Rules { slack_ns: 10, may_forget: false, unknown_for_ns: None };

fn op(action: Action<u32>, start: u64, end: u64, outcome: Outcome) -> Op {
    Operation { client: 0, key: 0, action, start, end, outcome }
}

fn write(value: u32, start: u64, end: u64) -> Op {
    op(Action::Write(value), start, end, Outcome::Ok)
}

fn delete(start: u64, end: u64) -> Op {
    op(Action::Delete, start, end, Outcome::Ok)
}

fn read(value: impl Into<Option<u32>>, start: u64, end: u64) -> Op {
    op(Action::Read(value.into()), start, end, Outcome::Ok)
}

fn with(outcome: Outcome, operation: Op) -> Op {
    Operation { outcome, ..operation }
}

/// What is wrong in a history, whatever order its operations are noted in.
fn found(history: &[Op], rules: Rules) -> Vec<Violation> {
    let violations = check(history, &rules).violations;
    let reversed: Vec<Op> = history.iter().rev().cloned().collect();
    let backwards = check(&reversed, &rules).violations;
    assert_eq!(backwards.len(), violations.len(), "the order in which operations are noted plays no part");
    violations
}

#[test]
fn an_overwritten_value_may_be_read_during_the_slack_and_not_after() {
    let history = |at| [write(1, 0, 5), write(2, 10, 20), read(1, at, at + 1)];
    for at in [3, 15, 30] {
        assert_eq!(found(&history(at), CACHE), []);
    }
    let stale = Violation::Stale { read: 2, overwrite: 1, late_ns: 11 };
    assert_eq!(found(&history(31), CACHE), [stale]);
}

#[test]
fn a_deleted_value_must_not_return() {
    let history = [write(1, 0, 5), delete(10, 20), read(None, 40, 41), read(1, 50, 51)];
    assert_eq!(found(&history, CACHE), [Violation::Stale { read: 3, overwrite: 1, late_ns: 30 }]);
    assert_eq!(found(&history, SESSIONS), [Violation::Stale { read: 3, overwrite: 1, late_ns: 30 }]);
}

#[test]
fn concurrent_writes_may_have_come_in_either_order() {
    let history = [write(1, 0, 15), write(2, 10, 20), read(1, 100, 101), read(2, 200, 201)];
    assert_eq!(found(&history, CACHE), []);
}

#[test]
fn an_unknown_write_may_come_late_or_never_unless_there_is_a_bound() {
    let history =
        [with(Outcome::Unknown, write(1, 0, 5)), write(2, 60, 70), read(1, 500, 501), read(2, 600, 601)];
    assert_eq!(found(&history, CACHE), []);
    let bound = |unknown_for_ns| Rules { unknown_for_ns: Some(unknown_for_ns), ..CACHE };
    assert_eq!(found(&history, bound(55)), []);
    let stale = Violation::Stale { read: 2, overwrite: 1, late_ns: 430 };
    assert_eq!(found(&history, bound(54)), [stale]);
}

#[test]
fn an_unknown_overwrite_makes_nothing_stale() {
    let history = [write(1, 0, 5), with(Outcome::Unknown, write(2, 10, 20)), read(1, 500, 501)];
    assert_eq!(found(&history, SESSIONS), []);
}

#[test]
fn a_value_needs_somebody_who_wrote_it_before_the_read_ended() {
    let nowhere = [Violation::FromNowhere { read: 1 }];
    assert_eq!(found(&[write(1, 0, 5), read(2, 10, 11)], CACHE), nowhere);
    assert_eq!(found(&[write(1, 20, 25), read(1, 10, 19)], CACHE), nowhere);
    assert_eq!(found(&[write(1, 20, 25), read(1, 10, 20)], CACHE), []);
    assert_eq!(found(&[with(Outcome::Failed, write(1, 0, 5)), read(1, 10, 11)], CACHE), nowhere);
    let other_key = Op { key: 1, ..write(1, 0, 5) };
    assert_eq!(found(&[other_key, read(1, 10, 11)], CACHE), nowhere);
}

#[test]
fn a_session_must_not_vanish_and_a_cached_value_may() {
    let lost = [write(1, 0, 5), read(None, 16, 17)];
    assert_eq!(found(&lost, CACHE), []);
    assert_eq!(found(&lost, SESSIONS), [Violation::Lost { read: 1, write: 0, late_ns: 11 }]);
    for (explained, deletion) in [
        (true, delete(6, 8)),
        (true, delete(3, 8)),
        (true, with(Outcome::Unknown, delete(6, 8))),
        (true, delete(17, 20)),
        (false, with(Outcome::Failed, delete(6, 8))),
        (false, delete(18, 20)),
        (false, write(2, 6, 8)),
    ] {
        let history = [write(1, 0, 5), read(None, 16, 17), deletion.clone()];
        assert_eq!(found(&history, SESSIONS).is_empty(), explained, "{deletion:?}");
    }
    // A deletion before the write explains nothing; that nothing was ever written does.
    let history = [delete(0, 2), write(1, 3, 5), read(None, 16, 17)];
    assert_eq!(found(&history, SESSIONS), [Violation::Lost { read: 2, write: 1, late_ns: 11 }]);
    assert_eq!(found(&[read(None, 0, 1), write(1, 3, 5), read(None, 14, 15)], SESSIONS), []);
}

#[test]
fn a_read_that_failed_says_nothing() {
    let history = [with(Outcome::Failed, read(7, 0, 1)), with(Outcome::Unknown, read(8, 0, 1))];
    assert_eq!(check(&history, &CACHE), Report { keys: 1, reads: 0, violations: Vec::new() });
}

/// What one client of the simulated register does, before it is known when.
#[derive(Debug, Clone)]
struct Plan {
    key: u8,
    /// 0: read; 1: delete; else write.
    kind: u8,
    start: u64,
    before: u64,
    after: u64,
    /// 0: unknown and without effect; 1: unknown with effect; 2: failed; else ok.
    fate: u8,
}

fn plans() -> impl Strategy<Value = Vec<Plan>> {
    let plan = (0..3_u8, 0..6_u8, 0..2_000_u64, 0..60_u64, 0..60_u64, 0..12_u8)
        .prop_map(|(key, kind, start, before, after, fate)| Plan { key, kind, start, before, after, fate });
    prop::collection::vec(plan, 1..120)
}

/// What the clients of a correct register see: each operation happens at one moment between its start and its end. An
/// unknown one may have ended for its client before it happened.
fn simulate(plans: &[Plan]) -> Vec<Op> {
    let mut order: Vec<(usize, &Plan)> = plans.iter().enumerate().collect();
    order.sort_by_key(|(index, plan)| (plan.start + plan.before, *index));
    let mut registers = [None; 3];
    order
        .into_iter()
        .map(|(index, plan)| {
            let outcome = match (plan.kind, plan.fate) {
                (_, 0 | 1) => Outcome::Unknown,
                (_, 2) => Outcome::Failed,
                _ => Outcome::Ok,
            };
            let register = &mut registers[usize::from(plan.key)];
            let value = u32::try_from(index).unwrap();
            let action = match plan.kind {
                0 | 5 => Action::Read(*register),
                1 => Action::Delete,
                _ => Action::Write(value),
            };
            if plan.fate != 0 && plan.fate != 2 {
                match action {
                    Action::Write(value) => *register = Some(value),
                    Action::Delete => *register = None,
                    Action::Read(_) => {}
                }
            }
            let happened = plan.start + plan.before;
            let end =
                if outcome == Outcome::Unknown { plan.start + plan.after } else { happened + plan.after };
            Op { client: index as u64, key: plan.key, action, start: plan.start, end, outcome }
        })
        .collect()
}

/// The rules word for word, each read against each pair of writes.
fn wrong_reads(history: &[Op], rules: Rules) -> HashSet<usize> {
    let last = |op: &Op| match op.outcome {
        Outcome::Unknown => rules.unknown_for_ns.map_or(u64::MAX, |more| op.end.max(op.start) + more),
        _ => op.end.max(op.start),
    };
    let is_wrong = |read: &Op, value: &Option<u32>| {
        let same_key = |op: &&Op| op.key == read.key && op.outcome != Outcome::Failed;
        let explains = |op: &&Op| match (&op.action, value) {
            (Action::Write(written), Some(value)) => written == value && op.start <= read.end,
            (Action::Delete, None) => op.start <= read.end,
            _ => false,
        };
        let sources: Vec<&Op> = history.iter().filter(same_key).filter(explains).collect();
        let mut overwrites = history.iter().filter(same_key).filter(|op| {
            !matches!(op.action, Action::Read(_))
                && op.outcome == Outcome::Ok
                && op.end.max(op.start) + rules.slack_ns < read.start
        });
        match value {
            None if rules.may_forget => false,
            Some(_) if sources.is_empty() => true,
            _ => overwrites.any(|overwrite| sources.iter().all(|source| last(source) < overwrite.start)),
        }
    };
    let wrong = |(index, op): (usize, &Op)| match &op.action {
        Action::Read(value) if op.outcome == Outcome::Ok && is_wrong(op, value) => Some(index),
        _ => None,
    };
    history.iter().enumerate().filter_map(wrong).collect()
}

fn rules() -> impl Strategy<Value = Rules> {
    let unknown = prop_oneof![Just(None), (0..100_u64).prop_map(Some)];
    (0..100_u64, any::<bool>(), unknown).prop_map(|(slack_ns, may_forget, unknown_for_ns)| Rules {
        slack_ns,
        may_forget,
        unknown_for_ns,
    })
}

proptest! {
    #[test]
    fn a_correct_register_passes_without_any_slack(plans in plans()) {
        let history = simulate(&plans);
        for may_forget in [true, false] {
            let rules = Rules { slack_ns: 0, may_forget, unknown_for_ns: None };
            prop_assert_eq!(check(&history, &rules).violations, []);
        }
    }

    #[test]
    fn any_history_is_judged_as_the_rules_say_word_for_word(plans in plans(), rules in rules(), seen in prop::collection::vec(prop::option::of(0..120_u32), 120)) {
        let mut history = simulate(&plans);
        // Every other read gets whatever value.
        for (op, seen) in history.iter_mut().zip(seen).step_by(2) {
            if let Action::Read(value) = &mut op.action {
                *value = seen;
            }
        }
        let report = check(&history, &rules);
        let reads: Vec<usize> = report.violations.iter().map(Violation::read).collect();
        prop_assert!(reads.is_sorted());
        prop_assert_eq!(reads.into_iter().collect::<HashSet<_>>(), wrong_reads(&history, rules));
    }

    #[test]
    fn one_wrong_read_in_a_correct_history_is_found(plans in plans(), which in any::<prop::sample::Index>()) {
        let mut history = simulate(&plans);
        let (key, slack) = (history[which.index(history.len())].key, 10);
        let late = history.iter().map(|op| op.end.max(op.start)).max().unwrap() + 1_000;
        // Two more writes and then, long after everything, a read of the first of them.
        history.push(Op { key, ..write(1_000, late, late + 1) });
        history.push(Op { key, ..write(1_001, late + 2, late + 3) });
        let overwrite = history.len() - 1;
        for (value, violation) in [
            (Some(1_001), None),
            (Some(1_000), Some(Violation::Stale { read: overwrite + 1, overwrite, late_ns: 97 })),
            (Some(1_002), Some(Violation::FromNowhere { read: overwrite + 1 })),
            (None, Some(Violation::Lost { read: overwrite + 1, write: overwrite, late_ns: 97 })),
        ] {
            history.truncate(overwrite + 1);
            history.push(Op { key, ..read(value, late + 100, late + 101) });
            let rules = Rules { slack_ns: slack, may_forget: false, unknown_for_ns: Some(100) };
            prop_assert_eq!(check(&history, &rules).violations, Vec::from_iter(violation));
        }
    }
}

#[test]
fn a_million_operations_take_seconds_and_the_one_wrong_read_is_found() {
    // Eight clients by turns, a hundred keys; every tenth operation writes.
    let mut history: Vec<Operation<u32, u64>> = Vec::new();
    let mut registers = vec![None; 100];
    for index in 0..1_000_000_u64 {
        let key = u32::try_from(index * 7 % 100).unwrap();
        let register = &mut registers[key as usize];
        let action = if index / 100 % 10 == 0 {
            *register = Some(index);
            Action::Write(index)
        } else {
            Action::Read(*register)
        };
        let (start, outcome) = (index * 1_000, Outcome::Ok);
        history.push(Operation { client: index % 8, key, action, start, end: start + 8_000, outcome });
    }
    history[999_999].action = Action::Read(Some(0));
    let began = std::time::Instant::now();
    let report = check(&history, &Rules { may_forget: false, ..Rules::default() });
    let took = began.elapsed();
    assert_eq!((report.keys, report.reads, report.violations.len()), (100, 900_000, 1));
    assert_eq!(report.violations[0].read(), 999_999);
    println!("1,000,000 operations in {took:?}");
    assert!(took.as_secs() < 10, "{took:?}");
}

/// What the program prints for these lines, and its exit status.
fn program(lines: &str, arguments: &[&str]) -> (String, Option<i32>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_uat-check-history"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (String::from_utf8([output.stdout, output.stderr].concat()).unwrap(), output.status.code())
}

const LINES: &str = r#"{"client":1,"key":"k","op":"write","value":"old","start":0,"end":5000000}
{"client":1,"key":"k","op":"write","value":{"n":[1]},"start":6000000,"end":10000000}

{"client":2,"key":"k","op":"read","value":{"n":[1]},"start":90000000,"end":90000001,"outcome":"ok"}
{"client":2,"key":"k","op":"read","value":null,"start":90000000,"end":90000001}
{"client":2,"key":"k","op":"read","value":"old","start":110000000,"end":110000001}
"#;

#[test]
fn the_program_tells_other_languages_what_is_wrong() {
    let (printed, status) = program(LINES, &[]);
    assert_eq!(status, Some(1));
    let report: serde_json::Value = serde_json::from_str(&printed).unwrap();
    let counts = ["operations", "keys", "reads", "stale", "from_nowhere", "lost"]
        .map(|name| report[name].as_u64().unwrap());
    assert_eq!(counts, [5, 1, 3, 1, 0, 0]);
    let example = &report["examples"][0];
    assert_eq!((example["kind"].as_str(), example["late_ms"].as_f64()), (Some("stale"), Some(100.0)));
    assert_eq!(example["read"]["value"], "old");
    assert_eq!(example["overwrite"]["start"], 6_000_000);
    assert!(program(LINES, &["--must-keep"]).0.contains(r#""stale":1,"from_nowhere":0,"lost":1"#));
    assert_eq!(program(LINES, &["--slack-ms", "100"]).1, Some(0));
}

#[test]
fn the_program_names_the_line_that_is_no_operation() {
    for (line, reason) in [
        (r#"{"key":"k","op":"write","start":0,"end":1}"#, "a write needs a value that is not null"),
        (r#"{"key":"k","op":"read","value":1,"start":2,"end":1}"#, "it ends before its start, 2"),
        (r#"{"key":"k","op":"raed","value":1,"start":2,"end":1}"#, "unknown variant `raed`"),
        ("nothing", "expected ident"),
    ] {
        let (printed, status) = program(&format!("{LINES}{line}\n"), &[]);
        assert_eq!(status, Some(2));
        assert!(printed.contains("line 7 is no operation") && printed.contains(reason), "{printed}");
    }
    // What was under way when the client ended may have happened.
    let pending = r#"{"key":"k","op":"write","value":"new","start":20000000}"#;
    let read = r#"{"key":"k","op":"read","value":"new","start":90000000,"end":90000001}"#;
    assert_eq!(program(&format!("{pending}\n{read}\n"), &[]).1, Some(0));
}
