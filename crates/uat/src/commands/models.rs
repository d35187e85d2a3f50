//! `uat models`

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use model_store::{AddOptions, AddedModel, HubModel, ModelState, ModelStore, Phase, Progress, StoreError};
use serde_json::json;

use super::{cancellable, human_bytes};
use crate::failure::Failure;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// The models that are known by name or were added, and which of them are here.
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
    /// Add a model of your own: a .gguf file, or a repository of the Hugging Face hub.
    Add {
        /// The path of a .gguf file, or ORG/REPO, ORG/REPO:FILE.gguf, ORG/REPO:QUANTIZATION.
        #[arg(value_name = "FILE|REPO")]
        model: String,
        /// What to call it; else it is called after its file.
        #[arg(long)]
        name: Option<String>,
        /// The SHA-256 that the file must have.
        #[arg(long, value_name = "HEX")]
        sha256: Option<String>,
        /// Copy the file into the folder of models instead of using it where it lies.
        #[arg(long)]
        copy: bool,
        /// Print JSON for programs.
        #[arg(long)]
        json: bool,
    },
    /// Delete a model's file; of a model that was added from elsewhere, only forget its name.
    #[command(visible_alias = "remove")]
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
        Action::Add { model, name, sha256, copy, json } => {
            let options = AddOptions { name: name.clone(), sha256: sha256.clone(), copy: *copy };
            let added = add(&store, model, options)?;
            let sentence = format!("{}: {}", added.name, added.path.display());
            say(*json, &document(&added), &sentence)
        }
        Action::Rm { model, json } => {
            let is_elsewhere = store.added()?.iter().any(|added| added.name == *model && !added.owned);
            let freed = store.remove(model)?;
            let sentence = match freed {
                0 if is_elsewhere => format!("forgot {model}; its file stays where it is"),
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
    let added = store.added()?;
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
            .chain(added.iter().map(document))
            .collect();
        writeln!(out, "{}", json!({ "folder": store.dir(), "models": models }))?;
    } else {
        let catalogue = models.iter().map(|model| {
            let entry = model.entry;
            (entry.name, model.state, entry.size, entry.licence, entry.what.to_owned())
        });
        let added = added.iter().map(|model| {
            (model.name.as_str(), model.state(), model.bytes, "-", format!("added from {}", origin(model)))
        });
        let rows: Vec<_> = catalogue.chain(added).collect();
        let width = rows.iter().map(|row| row.0.len()).max().unwrap_or(0).max(16);
        writeln!(out, "{:<width$} {:<10} {:>9}  {:<12} WHAT", "NAME", "STATE", "SIZE", "LICENCE")?;
        for (name, here, bytes, licence, what) in rows {
            let size = human_bytes(bytes);
            writeln!(out, "{name:<width$} {:<10} {size:>9}  {licence:<12} {what}", state(here))?;
        }
    }
    Ok(out.flush()?)
}

/// An added model for programs: the fields of the catalogue's models, and where it is from.
fn document(model: &AddedModel) -> serde_json::Value {
    json!({
        "name": model.name, "what": null, "licence": null, "bytes": model.bytes, "sha256": model.sha256,
        "state": state(model.state()), "path": model.path, "source": origin(model), "owned": model.owned,
    })
}

fn origin(model: &AddedModel) -> String {
    model.source.clone().unwrap_or_else(|| model.path.display().to_string())
}

fn state(state: ModelState) -> &'static str {
    match state {
        ModelState::Present { .. } => "here",
        ModelState::Incomplete => "incomplete",
        ModelState::Absent => "absent",
    }
}

pub(crate) fn pull(store: &ModelStore, model: &str, from: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let (store, name) = (store.clone(), model.to_owned());
    watched(model, move |progress, cancel| match from {
        Some(file) => store.pull_from(&name, &file, progress, cancel),
        None => store.pull(&name, progress, cancel),
    })
}

/// A path that leads to a file, or looks as if it should, is meant as one.
fn add(store: &ModelStore, model: &str, options: AddOptions) -> Result<AddedModel, Failure> {
    let file = PathBuf::from(model);
    let is_file = file.is_file() || (model.ends_with(".gguf") && !model.contains(':'));
    let reference = if is_file { None } else { Some(model.parse::<HubModel>()?) };
    let store = store.clone();
    watched(model, move |progress, cancel| match reference {
        Some(reference) => store.add_from_hub(&reference, &options, progress, cancel),
        None => store.add_file(&file, &options, progress, cancel),
    })
}

/// Shows how far it is, and ends it at Ctrl-C.
fn watched<T: Send + 'static>(
    model: &str,
    work: impl FnOnce(&mut dyn FnMut(Progress), &AtomicBool) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Failure> {
    let model = model.to_owned();
    let done = cancellable("the download", move |cancelled| {
        let mut display = Display::new(&model);
        let result = work(&mut |progress| display.show(progress), cancelled);
        display.finish(result.is_ok());
        result
    })?;
    Ok(done?)
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

    fn finish(&self, is_here: bool) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if is_here {
            let _ = writeln!(io::stderr(), "{} is here, verified", self.model);
        }
    }
}
