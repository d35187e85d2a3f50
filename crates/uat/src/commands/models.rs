//! `uat models`

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use model_store::{ModelState, ModelStore, Phase, Progress, StoreError};
use serde_json::json;

use super::{block_on, human_bytes};
use crate::failure::Failure;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// The models that are known by name, and which of them are here.
    List {
        /// Print JSON for programs.
        #[arg(long)]
        json: bool,
    },
    /// Download a model and verify it.
    Pull {
        /// A name from `uat models list`.
        model: String,
        /// Take the model from this file instead of downloading it.
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
        /// Print JSON for programs.
        #[arg(long)]
        json: bool,
    },
    /// Delete a model's file.
    Rm {
        /// A name from `uat models list`.
        model: String,
        /// Print JSON for programs.
        #[arg(long)]
        json: bool,
    },
    /// Where a model's file lies; without a name, the folder of all.
    Path {
        /// A name from `uat models list`.
        model: Option<String>,
        /// Print JSON for programs.
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let store = ModelStore::open()?;
    match &args.action {
        Action::List { json } => list(&store, *json),
        Action::Pull { model, from, json } => {
            let path = pull(&store, model, from.clone())?;
            say(*json, &json!({ "model": model, "path": path }), &path.display().to_string())
        }
        Action::Rm { model, json } => {
            let freed = store.remove(model)?;
            let sentence = match freed {
                0 => format!("{model} was not here"),
                freed => format!("removed {model}: {} freed", human_bytes(freed)),
            };
            say(*json, &json!({ "model": model, "freedBytes": freed }), &sentence)
        }
        Action::Path { model, json } => {
            let path = match model {
                Some(model) => store.resolve(model)?,
                None => store.dir().to_owned(),
            };
            say(*json, &json!({ "model": model, "path": path }), &path.display().to_string())
        }
    }
}

fn say(as_json: bool, document: &serde_json::Value, sentence: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    if as_json {
        writeln!(out, "{document}")?
    } else {
        writeln!(out, "{sentence}")?
    }
    Ok(())
}

fn list(store: &ModelStore, as_json: bool) -> Result<(), Failure> {
    let models = store.list();
    let mut out = io::BufWriter::new(io::stdout().lock());
    if as_json {
        let models: Vec<_> = models
            .iter()
            .map(|model| {
                json!({
                    "name": model.entry.name, "what": model.entry.what, "licence": model.entry.licence,
                    "bytes": model.entry.size, "sha256": model.entry.sha256, "state": state(model.state),
                    "path": model.path,
                })
            })
            .collect();
        writeln!(out, "{}", json!({ "folder": store.dir(), "models": models }))?;
    } else {
        writeln!(out, "{:<16} {:<10} {:>9}  {:<12} WHAT", "NAME", "STATE", "SIZE", "LICENCE")?;
        for model in models {
            let entry = model.entry;
            let size = human_bytes(entry.size);
            writeln!(
                out,
                "{:<16} {:<10} {size:>9}  {:<12} {}",
                entry.name,
                state(model.state),
                entry.licence,
                entry.what
            )?;
        }
    }
    Ok(out.flush()?)
}

fn state(state: ModelState) -> &'static str {
    match state {
        ModelState::Present { .. } => "here",
        ModelState::Incomplete => "incomplete",
        ModelState::Absent => "absent",
    }
}

/// Downloads on a thread of its own, so that Ctrl-C is heard while it blocks.
pub(crate) fn pull(store: &ModelStore, model: &str, from: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let cancel = Arc::new(AtomicBool::new(false));
    let (store, model, cancelled) = (store.clone(), model.to_owned(), cancel.clone());
    block_on(async {
        let mut pulling = tokio::task::spawn_blocking(move || {
            let mut display = Display::new(&model);
            let result = match from {
                Some(file) => {
                    store.pull_from(&model, &file, &mut |progress| display.show(progress), &cancelled)
                }
                None => store.pull(&model, &mut |progress| display.show(progress), &cancelled),
            };
            display.finish(&result);
            result
        });
        let ended = tokio::select! {
            ended = &mut pulling => ended,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                cancel.store(true, Ordering::Relaxed);
                pulling.await
            }
        };
        match ended {
            Ok(result) => Ok(result?),
            Err(error) => Err(Failure::new("UAT_INTERNAL", format!("the download's thread ended: {error}"))),
        }
    })
}

/// A progress bar on a terminal, a line per phase elsewhere.
struct Display {
    bar: Option<ProgressBar>,
    model: String,
    phase: Option<Phase>,
}

impl Display {
    fn new(model: &str) -> Self {
        let bar = io::stderr().is_terminal().then(ProgressBar::no_length);
        if let Some(bar) = &bar {
            // The template is a constant; were it wrong, the default style would show as much.
            if let Ok(style) =
                ProgressStyle::with_template("{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}")
            {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        Self { bar, model: model.to_owned(), phase: None }
    }

    fn show(&mut self, progress: Progress) {
        let new_phase = self.phase != Some(progress.phase);
        self.phase = Some(progress.phase);
        let words = match progress.phase {
            Phase::Waiting => "another process pulls".to_owned(),
            Phase::Downloading { attempt: 1 } => "downloading".to_owned(),
            Phase::Downloading { attempt } => format!("downloading (attempt {attempt})"),
            Phase::Extracting => "unpacking".to_owned(),
            Phase::Copying => "copying".to_owned(),
            Phase::Verifying => "verifying".to_owned(),
        };
        match &self.bar {
            Some(bar) => {
                if new_phase {
                    bar.reset();
                    bar.set_message(format!("{words} {}", self.model));
                }
                if let Some(total) = progress.total {
                    bar.set_length(total);
                }
                bar.set_position(progress.bytes);
            }
            None if new_phase => {
                // Progress is a courtesy: a closed standard error must not end the download.
                let _ = writeln!(io::stderr(), "{words} {}", self.model);
            }
            None => {}
        }
    }

    fn finish(&self, result: &Result<PathBuf, StoreError>) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if result.is_ok() {
            let _ = writeln!(io::stderr(), "{} is here, verified", self.model);
        }
    }
}
