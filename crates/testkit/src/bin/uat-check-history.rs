//! The checker of histories as a program, for tests and measurements in other languages.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use serde_json::{Value, json};
use testkit::history::{Action, HistoryError, Operation, Report, Rules, Violation, check, read_lines};

/// Checks what many clients saw of a store: no stale read, no value from nowhere, and nothing lost.
///
/// Reads lines such as {"client":1,"key":"k","op":"write","value":"v","start":1000,"end":2000,"outcome":"ok"}; `op` is
/// write, delete or read, times are whole nanoseconds, `outcome` is ok, failed or unknown. Prints one JSON object, and
/// exits with 0 if nothing is wrong, 1 if something is, 2 if the history cannot be read.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The history; without it, standard input.
    file: Option<PathBuf>,
    /// Milliseconds during which an overwritten value may still be read.
    #[arg(long, default_value_t = 50)]
    slack_ms: u64,
    /// The store must not lose what it acknowledged: sessions, not a cache.
    #[arg(long)]
    must_keep: bool,
    /// Milliseconds after its end in which an operation of unknown outcome may still take effect; without it, for ever.
    #[arg(long)]
    unknown_for_ms: Option<u64>,
    /// How many wrong reads are told with their operations.
    #[arg(long, default_value_t = 10)]
    examples: usize,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            // Nothing is left to try when standard error is closed too.
            let _ = writeln!(io::stderr(), "uat-check-history: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool, HistoryError> {
    let history = match &arguments.file {
        Some(file) => read_lines(BufReader::new(File::open(file)?))?,
        None => read_lines(io::stdin().lock())?,
    };
    let rules = Rules {
        slack_ns: nanoseconds(arguments.slack_ms),
        may_forget: !arguments.must_keep,
        unknown_for_ns: arguments.unknown_for_ms.map(nanoseconds),
    };
    let report = check(&history, &rules);
    writeln!(io::stdout(), "{}", told(&history, &report, arguments.examples))?;
    Ok(report.violations.is_empty())
}

fn told(history: &[Operation<String, Value>], report: &Report, examples: usize) -> Value {
    let examples: Vec<Value> = report
        .violations
        .iter()
        .take(examples)
        .map(|violation| match *violation {
            Violation::FromNowhere { read } => {
                json!({ "kind": "from_nowhere", "read": operation(&history[read]) })
            }
            Violation::Stale { read, overwrite, late_ns } => json!({
                "kind": "stale",
                "read": operation(&history[read]),
                "overwrite": operation(&history[overwrite]),
                "late_ms": milliseconds(late_ns),
            }),
            Violation::Lost { read, write, late_ns } => json!({
                "kind": "lost",
                "read": operation(&history[read]),
                "write": operation(&history[write]),
                "late_ms": milliseconds(late_ns),
            }),
        })
        .collect();
    json!({
        "operations": history.len(),
        "keys": report.keys,
        "reads": report.reads,
        "stale": report.stale(),
        "from_nowhere": report.from_nowhere(),
        "lost": report.lost(),
        "examples": examples,
    })
}

fn operation(operation: &Operation<String, Value>) -> Value {
    let (op, value) = match &operation.action {
        Action::Write(value) => ("write", Some(value)),
        Action::Delete => ("delete", None),
        Action::Read(value) => ("read", value.as_ref()),
    };
    json!({
        "client": operation.client,
        "key": operation.key,
        "op": op,
        "value": value,
        "start": operation.start,
        "end": operation.end,
        "outcome": operation.outcome,
    })
}

fn nanoseconds(milliseconds: u64) -> u64 {
    milliseconds.saturating_mul(1_000_000)
}

fn milliseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}
