//! `uat router`

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::Subcommand;
use indicatif::ProgressBar;
use runtime::llm_router::HALF_LIFE;
use runtime::llm_router::learned::evaluate::{
    Comparison, EvalOptions, Line, Setting, across, cross_validate, svg,
};
use runtime::llm_router::learned::{
    Examples, Learned, PromptFeatures, Report, Table, TrainOptions, train_with_progress,
};
use runtime::{EMBEDDING_MODEL, open_embedder, read_feedback};
use serde_json::json;

use super::{cancellable, human_bytes, opened, unpacked, unreadable};
use crate::failure::Failure;
use crate::table;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Learn from judged answers how well each model answers which prompts.
    Train(TrainArgs),
    /// Measure what such learning is worth, beside simpler ways to choose.
    Eval(EvalArgs),
}

#[derive(Debug, Clone, clap::Args)]
struct TrainArgs {
    /// A CSV, or one that gzip compressed: a column `prompt`, a column of scores (0 to 1) for each model, and perhaps
    /// `subject`.
    #[arg(long, value_name = "FILE", required_unless_present = "feedback", conflicts_with = "feedback")]
    data: Option<PathBuf>,
    /// Feedback that a server kept: the feedback.jsonl of its state directory, or its routing.feedback_file.
    #[arg(long, value_name = "FILE")]
    feedback: Option<PathBuf>,
    /// Where what was learned is written.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Deal the scores out at random first: whoever learns anything then learns chance.
    #[arg(long, requires = "data")]
    shuffled: bool,
    /// Seeds what is drawn at random.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Print JSON for programs.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, clap::Args)]
struct EvalArgs {
    /// A CSV as for `uat router train`.
    #[arg(long, value_name = "FILE")]
    train: PathBuf,
    /// A CSV with the same models; without it the first is split, at random and by subjects.
    #[arg(long, value_name = "FILE")]
    test: Option<PathBuf>,
    /// Where the cost-quality curve is drawn. With two settings the second's file has `-subjects` in its name.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Compute sentence embeddings of the prompts with a model of the catalogue, for two of the simpler ways.
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = EMBEDDING_MODEL)]
    embed: Option<String>,
    /// Parts that are left out, to see what each is worth: curve, length, words, trees, gate.
    #[arg(long, value_name = "PART", value_delimiter = ',', value_parser = ["curve", "length", "words", "trees", "gate"])]
    without: Vec<String>,
    /// Take the options of multiple-choice questions out of the prompts first.
    #[arg(long)]
    without_options: bool,
    /// Only one of the two settings.
    #[arg(long, value_name = "SETTING", conflicts_with = "test", value_parser = ["folds", "subjects"])]
    only: Option<String>,
    /// Seeds what is drawn at random.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Print JSON for programs.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    match &args.what {
        What::Train(args) => train(args),
        What::Eval(args) => eval(args),
    }
}

fn train(args: &TrainArgs) -> Result<(), Failure> {
    let task = args.clone();
    let (bytes, report, seconds, scoring_us) = watched(move |progress| {
        let mut prompts = Vec::new();
        let examples = match (&task.data, &task.feedback) {
            (Some(data), _) => {
                let mut table = read(data)?;
                if task.shuffled {
                    table.shuffle_scores(task.seed);
                }
                let examples = table.examples(None);
                prompts = table.prompts;
                examples
            }
            (None, feedback) => judged(feedback.as_deref().unwrap_or(Path::new("feedback.jsonl")))?,
        };
        let options = TrainOptions { seed: task.seed, ..TrainOptions::default() };
        let from = Instant::now();
        let (learned, report) = train_with_progress(&examples, &options, progress)
            .map_err(|e| Failure::new(e.code(), e.to_string()))?;
        let seconds = from.elapsed().as_secs_f64();
        Ok((learned.to_bytes(), report, seconds, scoring_us(&learned, &prompts)))
    })?;
    replace(&args.out, &bytes)?;
    let mut out = io::stdout().lock();
    if args.json {
        let found = json!({ "out": args.out, "bytes": bytes.len(), "seconds": seconds, "scoring_us": scoring_us, "report": report });
        writeln!(out, "{found}")?;
        return Ok(());
    }
    writeln!(out, "{}", report.summary)?;
    writeln!(out, "Wrote {} ({}) in {seconds:.1} s", args.out.display(), human_bytes(bytes.len() as u64))?;
    if let Some(us) = scoring_us {
        writeln!(out, "A prompt of the table is looked at and scored in {us:.0} us, the median")?;
    }
    parts(&mut out, &report)
}

/// What the router spends on a prompt, in microseconds: the median of some prompts of the table, one at a time; none without prompts.
fn scoring_us(learned: &Learned, prompts: &[String]) -> Option<f64> {
    const LOOKED_AT: usize = 1_000;
    let step = (prompts.len() / LOOKED_AT).max(1);
    let timed = prompts.iter().step_by(step).map(|prompt| {
        let from = Instant::now();
        std::hint::black_box(learned.qualities(&PromptFeatures::of(prompt, None)));
        from.elapsed().as_secs_f64() * 1e6
    });
    let mut times: Vec<f64> = timed.collect();
    times.sort_unstable_by(f64::total_cmp);
    times.get(times.len() / 2).copied()
}

/// Which parts were believed.
fn parts(out: &mut impl Write, report: &Report) -> Result<(), Failure> {
    if report.familiar.is_empty() {
        return Ok(());
    }
    let mut rows = vec![["PART", "FAMILIAR", "STRANGE"].map(str::to_owned)];
    for ((name, familiar), (_, strange)) in report.familiar.iter().zip(&report.strange) {
        if *familiar > 0.0 || *strange > 0.0 {
            rows.push([name.clone(), format!("{familiar:.2}"), format!("{strange:.2}")]);
        }
    }
    table::write(out, &rows)?;
    Ok(())
}

fn eval(args: &EvalArgs) -> Result<(), Failure> {
    let task = args.clone();
    let results = watched(move |progress| compare(&task, progress))?;
    if let Some(file) = &args.svg {
        for (place, (title, result)) in results.iter().enumerate() {
            let drawn = draw(title, result);
            replace(&if place == 0 { file.clone() } else { beside(file) }, drawn.as_bytes())?;
        }
    }
    let mut out = io::stdout().lock();
    if args.json {
        let results: Vec<_> =
            results.iter().map(|(setting, result)| json!({ "setting": setting, "result": result })).collect();
        writeln!(out, "{}", json!({ "settings": results }))?;
        return Ok(());
    }
    for (title, result) in &results {
        print(&mut out, title, result)?;
    }
    Ok(())
}

type Results = Vec<(&'static str, Comparison)>;

fn compare(args: &EvalArgs, progress: &mut dyn FnMut(f64) -> bool) -> Result<Results, Failure> {
    let mut first = read(&args.train)?;
    let mut second = args.test.as_deref().map(read).transpose()?;
    if args.without_options {
        first.without_options();
        second.iter_mut().for_each(Table::without_options);
    }
    let prompts: Vec<&String> =
        std::iter::once(&first).chain(&second).flat_map(|table| &table.prompts).collect();
    let embeddings = args.embed.as_deref().map(|model| embedded(model, &prompts, progress)).transpose()?;
    let (for_first, for_second) = match &embeddings {
        Some(all) => {
            let (first, second) = all.split_at(first.prompts.len().min(all.len()));
            (Some(first), Some(second))
        }
        None => (None, None),
    };
    let train = TrainOptions { seed: args.seed, without: args.without.clone() };
    let options = EvalOptions { seed: args.seed, train, ..EvalOptions::default() };
    let failed =
        |error: runtime::llm_router::learned::TrainError| Failure::new(error.code(), error.to_string());
    let examples = first.examples(for_first);
    if let Some(second) = second {
        let test = same_models(&first, &second)?.examples(for_second);
        let result = across(&examples, &test, &options, progress).map_err(failed)?;
        return Ok(vec![("another file", result.ok_or(Failure::Interrupted)?)]);
    }
    let settings =
        [(Setting::Folds, "5-fold", "folds"), (Setting::Subjects, "whole subjects left out", "subjects")];
    let asked: Vec<_> = settings
        .into_iter()
        .filter(|(_, _, name)| args.only.as_ref().is_none_or(|only| only == name))
        .filter(|(setting, _, _)| *setting == Setting::Folds || several_subjects(&examples))
        .collect();
    if asked.is_empty() {
        return Err(Failure::usage("leaving subjects out needs a column `subject` with two or more of them"));
    }
    let mut results = Vec::with_capacity(asked.len());
    for (done, (setting, title, _)) in asked.iter().enumerate() {
        let mut part = |share: f64| progress((done as f64 + share) / asked.len() as f64);
        let result = cross_validate(&examples, *setting, &options, &mut part).map_err(failed)?;
        results.push((*title, result.ok_or(Failure::Interrupted)?));
    }
    Ok(results)
}

fn several_subjects(examples: &Examples) -> bool {
    let first = examples.rows.first().and_then(|row| row.subject);
    first.is_some() && examples.rows.iter().any(|row| row.subject != first)
}

/// The second table with its columns in the order of the first, and its subjects by the numbers of the first.
fn same_models(first: &Table, second: &Table) -> Result<Table, Failure> {
    let place = |model: &String| second.models.iter().position(|known| known == model);
    let order: Option<Vec<usize>> = first.models.iter().map(place).collect();
    let Some(order) = order.filter(|order| order.len() == second.models.len()) else {
        let (wanted, got) = (first.models.join(", "), second.models.join(", "));
        return Err(Failure::new(
            "UAT_INVALID_INPUT",
            format!("expected the same models in both files: {wanted} in the one, {got} in the other"),
        ));
    };
    let mut table = second.clone();
    table.models.clone_from(&first.models);
    for row in &mut table.scores {
        *row = order.iter().filter_map(|&i| row.get(i).copied()).collect();
    }
    let mut subjects = first.subjects.clone();
    let number = |name: &String| {
        subjects.iter().position(|known| known == name).unwrap_or_else(|| {
            subjects.push(name.clone());
            subjects.len() - 1
        })
    };
    let numbers: Vec<usize> = second.subjects.iter().map(number).collect();
    for subject in &mut table.subject_of {
        *subject = numbers.get(*subject).copied().unwrap_or(*subject);
    }
    table.subjects = subjects;
    Ok(table)
}

fn print(out: &mut impl Write, title: &str, result: &Comparison) -> Result<(), Failure> {
    let [weak, strong] = result.quality;
    writeln!(
        out,
        "{title}: {} prompts, {} {weak:.3}, {} {strong:.3}",
        result.rows, result.weak, result.strong
    )?;
    let mut rows = vec![["", "APGR", "CPT50", "CPT80", "CPT95", "OURS LESS THIS (95 %)"].map(str::to_owned)];
    for one in &result.scorings {
        let m = one.measures;
        let share = |share: f64| format!("{:.0} %", 100.0 * share);
        let apart = one
            .ours_less_this
            .map_or(String::new(), |[apart, low, high, _]| format!("{apart:+.3} ({low:+.3} .. {high:+.3})"));
        let apgr = format!("{:.3}", m.apgr);
        rows.push([one.name.clone(), apgr, share(m.cpt50), share(m.cpt80), share(m.cpt95), apart]);
    }
    table::write(out, &rows)?;
    let [weak, strong, gain] = result.calibration;
    writeln!(out, "Calibration error: {weak:.3} and {strong:.3}, of the difference {gain:.3}")?;
    let [without, all] = result.without_signal;
    if without > 0 {
        writeln!(out, "{without} of {all} trainings: no signal, priors used")?;
    }
    writeln!(out)?;
    Ok(())
}

fn draw(title: &str, result: &Comparison) -> String {
    // The oracle's curve would press the others flat.
    let shown = result.scorings.iter().filter(|one| one.name != "oracle");
    let lines: Vec<Line> =
        shown.map(|one| Line { name: one.name.clone(), points: one.curve.clone() }).collect();
    let y_name = format!("share of the gap to {} that is closed", result.strong);
    svg(
        &format!("Quality for calls, {title}"),
        &format!("share of calls to {}", result.strong),
        &y_name,
        &lines,
    )
}

fn beside(file: &Path) -> PathBuf {
    let stem = file.file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
    file.with_file_name(format!("{stem}-subjects.svg"))
}

/// Reads a table, gzip or not.
fn read(file: &Path) -> Result<Table, Failure> {
    Table::read(unpacked(file, opened(file)?)?)
        .map_err(|error| Failure::new(error.code(), format!("{}: {error}", file.display())))
}

/// Judgements that a server kept, older ones counting less. Those that came without features of their prompts say nothing here.
fn judged(file: &Path) -> Result<Examples, Failure> {
    if !file.exists() {
        let missing = io::Error::from(io::ErrorKind::NotFound);
        return Err(
            unreadable(file, &missing).hint("POST /v1/routing/{request_id}/feedback to a server makes it")
        );
    }
    let judgements = read_feedback(file).map_err(|error| unreadable(file, &error))?;
    let now = judgements.iter().map(|judgement| judgement.at_ms).max().unwrap_or_default();
    let rows = judgements.iter().filter_map(|judgement| {
        let age_s = (now - judgement.at_ms) as f64 / 1e3;
        Some((judgement.features.clone()?, &*judgement.model, judgement.score, age_s))
    });
    Ok(Examples::from_feedback(rows, HALF_LIFE.as_secs_f64()))
}

fn embedded(
    model: &str,
    prompts: &[&String],
    progress: &mut dyn FnMut(f64) -> bool,
) -> Result<Vec<Vec<f32>>, Failure> {
    /// Prompts between two looks at Ctrl-C: some tenths of a second.
    const AT_ONCE: usize = 32;
    let embedder = open_embedder(model)?;
    let mut vectors = Vec::with_capacity(prompts.len());
    for some in prompts.chunks(AT_ONCE) {
        if !progress(vectors.len() as f64 / prompts.len() as f64) {
            return Err(Failure::Interrupted);
        }
        let some = embedder.embed_all(some).map_err(|error| Failure::new(error.code(), error.to_string()))?;
        vectors.extend(some);
    }
    Ok(vectors)
}

/// Writes a file whole or not at all.
fn replace(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.incomplete", std::process::id()));
    let unfinished = file.with_file_name(name);
    let written = std::fs::write(&unfinished, bytes).and_then(|()| std::fs::rename(&unfinished, file));
    written.map_err(|error| {
        // It may not have come to be.
        let _ = std::fs::remove_file(&unfinished);
        Failure::new("UAT_STORAGE", format!("cannot write {}: {error}", file.display()))
    })
}

/// Shows how far it is, and ends it at Ctrl-C.
fn watched<T: Send + 'static>(
    work: impl FnOnce(&mut dyn FnMut(f64) -> bool) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    cancellable("the training", move |cancelled| {
        let bar = io::stderr().is_terminal().then(|| ProgressBar::new(1000));
        if let Some(bar) = &bar {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        let result = work(&mut |share| {
            if let Some(bar) = &bar {
                bar.set_position((1000.0 * share) as u64);
            }
            !cancelled.load(Ordering::Relaxed)
        });
        if let Some(bar) = &bar {
            bar.finish_and_clear();
        }
        if cancelled.load(Ordering::Relaxed) { Err(Failure::Interrupted) } else { result }
    })?
}
