//! `uat study`

mod optuna;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Subcommand;
use optuna_import::ImportError;
use runtime::parameter_analytics_service::report;
use runtime::parameter_analytics_service::study::{State, Study};
use runtime::parameter_analytics_service::{ParameterAnalytics, SharedStudy, StudyDocument};
use serde_json::json;

use super::StorageArgs;
use crate::failure::Failure;
use crate::table;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    storage: StorageArgs,
}

#[derive(Debug, Clone, Subcommand)]
enum Action {
    /// The studies that there are.
    List,
    /// What a study is, and its best trials.
    Show {
        /// The study's name.
        name: String,
        /// How many of the best trials.
        #[arg(long, value_name = "N", default_value_t = 5)]
        best: usize,
    },
    /// Write a study as JSON, to be imported elsewhere.
    Export {
        /// The study's name.
        name: String,
        /// The file; `-` is standard output.
        #[arg(long, value_name = "FILE", default_value = "-")]
        out: PathBuf,
    },
    /// Write a page with what came of a study, for a browser.
    Report {
        /// The study's name.
        name: String,
        /// The file; `-` is standard output. Without it, NAME.html here.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Take in a study with its trials: one that was exported, or one of Optuna's.
    Import {
        /// What `uat study export` wrote, `-` for standard input, or a SQLite file of Optuna's.
        file: PathBuf,
        /// Which study of the file, if it has several.
        #[arg(long, value_name = "NAME")]
        study: Option<String>,
        /// Its name here, if not the one in the file.
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// Remove a study and all of its trials.
    Remove {
        /// The study's name.
        name: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    match &args.action {
        Action::List => list(args),
        Action::Show { name, best } => show(args, name, *best),
        Action::Export { name, out } => export(args, name, out),
        Action::Report { name, out } => report(args, name, out.as_deref()),
        Action::Import { file, study, name } => import(args, file, study.as_deref(), name.as_deref()),
        Action::Remove { name, yes } => remove(args, name, *yes),
    }
}

fn list(args: &Args) -> Result<(), Failure> {
    let studies = args.storage.with(|analytics| {
        let study = |name: &Arc<str>| analytics.load_study(name)?.now();
        analytics.studies()?.iter().map(study).collect::<Result<Vec<_>, _>>()
    })?;
    let mut out = io::stdout().lock();
    if args.storage.json {
        let rows: Vec<_> = studies.iter().map(|study| summary(study)).collect();
        writeln!(out, "{}", json!({ "studies": rows }))?;
        return Ok(());
    }
    if studies.is_empty() {
        writeln!(out, "There are no studies in {}", args.storage.place()?)?;
        return Ok(());
    }
    let mut rows = vec![["NAME", "TRIALS", "COMPLETE", "BEST", "SAMPLER"].map(str::to_owned)];
    rows.extend(studies.iter().map(|study| {
        [
            study.options().name.to_string(),
            study.trials().len().to_string(),
            count(study, State::Complete).to_string(),
            study.best().map_or_else(|| "-".to_owned(), |trial| numbers(&trial.values)),
            word(&study.sampler().sampler),
        ]
    }));
    Ok(table::write(&mut out, &rows)?)
}

fn show(args: &Args, name: &str, best: usize) -> Result<(), Failure> {
    let name = name.to_owned();
    let study = args.storage.with(move |analytics| analytics.load_study(&name)?.now())?;
    let mut out = io::stdout().lock();
    let ranked = study.ranked();
    if args.storage.json {
        let mut shown = summary(&study);
        let trials = ranked.iter().take(best).map(|trial| study.document(trial));
        shown["trials"] = json!(trials.collect::<Vec<_>>());
        shown["space"] = json!(study.space());
        writeln!(out, "{shown}")?;
        return Ok(());
    }
    let chooses = study.sampler();
    let states = [State::Complete, State::Running, State::Failed, State::Pruned];
    let counts: Vec<String> = states
        .into_iter()
        .map(|state| (count(&study, state), state))
        .filter(|(count, _)| *count > 0)
        .map(|(count, state)| format!("{count} {state}"))
        .collect();
    let directions: Vec<String> = study.options().directions.iter().map(word).collect();
    let facts = [
        ["study".to_owned(), study.options().name.to_string()],
        ["trials".to_owned(), if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }],
        ["objective".to_owned(), directions.join(", ")],
        ["constraints".to_owned(), named(&study.options().constraints)],
        ["sampler".to_owned(), format!("{}: {}", word(&chooses.sampler), chooses.reason)],
        ["seed".to_owned(), study.options().seed.to_string()],
    ];
    table::write(&mut out, &facts)?;
    let parameters = study.space().parameters().iter().map(|parameter| parameter.name.to_string());
    let head = ["TRIAL", "VALUE"].map(str::to_owned).into_iter();
    let constraints = study.options().constraints.iter().map(|name| name.to_string());
    let mut rows: Vec<Vec<String>> = vec![head.chain(constraints).chain(parameters).collect()];
    for trial in ranked.iter().take(best) {
        let document = study.document(trial);
        let cells = study.space().parameters().iter().map(|parameter| {
            document.parameters.get(&parameter.name).map_or_else(|| "-".to_owned(), ToString::to_string)
        });
        let told = trial.constraint_values.iter().map(|value| number(*value));
        let head = [trial.id.to_string(), numbers(&trial.values)].into_iter();
        rows.push(head.chain(told).chain(cells).collect());
    }
    if rows.len() > 1 {
        writeln!(out)?;
        table::write(&mut out, &rows)?;
    }
    Ok(())
}

fn summary(study: &Study) -> serde_json::Value {
    let options = study.options();
    json!({
        "name": options.name,
        "trials": study.trials().len(),
        "complete": count(study, State::Complete),
        "running": count(study, State::Running),
        "directions": options.directions,
        "constraints": options.constraints,
        "sampler": study.sampler().sampler,
        "seed": options.seed,
        "best": study.best().map(|trial| study.document(trial)),
    })
}

fn count(study: &Study, state: State) -> usize {
    study.trials().filter(|trial| trial.state == state).count()
}

fn named(names: &[Arc<str>]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// As it is written in JSON.
fn word(value: &impl serde::Serialize) -> String {
    let text = serde_json::to_value(value).ok();
    text.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
}

fn numbers(values: &[f64]) -> String {
    values.iter().map(|value| number(*value)).collect::<Vec<_>>().join(", ")
}

/// Six digits that count.
fn number(value: f64) -> String {
    match value.abs() {
        size if size != 0.0 && !(1e-4..1e6).contains(&size) => format!("{value:.5e}"),
        size => {
            let digits = if size >= 1.0 { 5 - (size.log10() as usize).min(5) } else { 6 };
            format!("{value:.digits$}")
        }
    }
}

fn export(args: &Args, name: &str, to: &PathBuf) -> Result<(), Failure> {
    let name = name.to_owned();
    let study = args.storage.with(move |analytics| analytics.load_study(&name)?.now())?;
    let mut text = serde_json::to_string_pretty(&StudyDocument::from(&*study))
        .map_err(|error| Failure::new("UAT_INTERNAL", format!("the study cannot be written: {error}")))?;
    text.push('\n');
    if to.as_os_str() == "-" {
        io::stdout().lock().write_all(text.as_bytes())?;
        return Ok(());
    }
    std::fs::write(to, text)
        .map_err(|error| Failure::new("UAT_STORAGE", format!("cannot write {}: {error}", to.display())))?;
    let sentence = format!("Wrote {} trials to {}", study.trials().len(), to.display());
    args.storage
        .say(&json!({ "name": study.options().name, "trials": study.trials().len(), "out": to }), &sentence)
}

fn import(args: &Args, file: &Path, study: Option<&str>, name: Option<&str>) -> Result<(), Failure> {
    let (mut document, left) = match is_sqlite(file) {
        true => of_optuna(file, study)?,
        false => (exported(file)?, Vec::new()),
    };
    if let Some(name) = name {
        document.options.name = name.into();
    }
    let study = args.storage.with(move |analytics: &ParameterAnalytics| {
        let study: Arc<SharedStudy> = analytics.import_study(&document)?;
        study.now()
    })?;
    let (name, trials) = (&study.options().name, study.trials().len());
    let mut sentence = format!("Imported {name}: {trials} trials");
    left.iter().for_each(|left| sentence += &format!("\n{left}"));
    args.storage.say(&json!({ "name": name, "trials": trials, "left": left }), &sentence)
}

fn exported(file: &Path) -> Result<StudyDocument, Failure> {
    let read = match file.as_os_str() == "-" {
        true => io::read_to_string(io::stdin().lock()),
        false => std::fs::read_to_string(file),
    };
    let text = read
        .map_err(|error| Failure::new("UAT_STORAGE", format!("cannot read {}: {error}", file.display())))?;
    serde_json::from_str(&text).map_err(|error| {
        let message = format!("{} is no exported study: {error}", file.display());
        Failure::new("UAT_INVALID_INPUT", message)
            .hint("uat study export NAME --out FILE writes one; Optuna's SQLite files are read too")
    })
}

fn is_sqlite(file: &Path) -> bool {
    const MAGIC: &[u8] = b"SQLite format 3\0";
    let mut head = [0; MAGIC.len()];
    std::fs::File::open(file).and_then(|mut file| io::Read::read_exact(&mut file, &mut head)).is_ok()
        && head == MAGIC
}

/// The study of a file of Optuna's, and what of it stays behind.
fn of_optuna(file: &Path, study: Option<&str>) -> Result<(StudyDocument, Vec<String>), Failure> {
    let failure = |error: ImportError| Failure::new(error.code(), error.to_string());
    let file = optuna_import::File::open(file).map_err(failure)?;
    let names = file.names().map_err(failure)?;
    let name = match (study, &names[..]) {
        (Some(name), _) => name,
        (None, [only]) => only,
        (None, []) => return Err(Failure::new("UAT_NOT_FOUND", "the file has no study")),
        (None, several) => {
            let message = format!("the file has {} studies: {}", several.len(), several.join(", "));
            return Err(Failure::new("UAT_INVALID_INPUT", message).hint("name one with --study"));
        }
    };
    let converted = optuna::converted(&file.study(name).map_err(failure)?)?;
    let counts = [
        (converted.unfinished, "had not ended and were left out"),
        (converted.infinite, "were complete without finite values, and come as failed"),
    ];
    let left =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} trials {what}"));
    Ok((converted.document, left.collect()))
}

fn report(args: &Args, name: &str, to: Option<&Path>) -> Result<(), Failure> {
    let own = name.to_owned();
    let page = args
        .storage
        .with(move |analytics| Ok(report::html(&*analytics.load_study(&own)?.now()?, analytics.now())))?;
    args.storage.write_page(name, &page, to)
}

fn remove(args: &Args, name: &str, yes: bool) -> Result<(), Failure> {
    if !yes {
        return Err(Failure::usage(format!(
            "add --yes to remove the study {name} and all of its trials for good"
        )));
    }
    let own = name.to_owned();
    args.storage.with(move |analytics| analytics.remove_study(&own))?;
    args.storage.say(&json!({ "removed": name }), &format!("Removed {name}"))
}
