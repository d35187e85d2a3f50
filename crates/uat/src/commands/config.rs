//! `uat config`

use std::io::{self, Write};

use clap::Subcommand;
use runtime::{ConfigError, Loaded, Location, config_schema};
use serde_json::json;

use super::ConfigArgs;
use crate::failure::Failure;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Read and check the configuration without using it: prints everything that is wrong. Exit code 2 if anything is.
    Validate(Options),
    /// Print every setting as it counts, and where it was written.
    Show(Options),
    /// Print the JSON Schema of the configuration, for editors.
    Schema,
}

#[derive(Debug, clap::Args)]
struct Options {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print JSON for programs.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    match &args.action {
        Action::Validate(options) => validate(options),
        Action::Show(options) => show(options),
        Action::Schema => schema(),
    }
}

fn validate(options: &Options) -> Result<(), Failure> {
    let loaded = options.config.load();
    let mut out = io::stdout().lock();
    if options.json {
        let document = match &loaded {
            Ok(loaded) => json!({ "valid": true, "file": loaded.file() }),
            Err(errors) => {
                json!({ "valid": false, "errors": errors.iter().map(described).collect::<Vec<_>>() })
            }
        };
        writeln!(out, "{document}")?;
        return if loaded.is_ok() { Ok(()) } else { Err(Failure::ShownConfig) };
    }
    let loaded = loaded?;
    let source = source(&loaded);
    let counts = (loaded.config.endpoints.len(), loaded.config.models.len());
    writeln!(out, "{source} is valid: {} endpoint(s), {} model(s)", counts.0, counts.1)?;
    Ok(())
}

fn described(error: &ConfigError) -> serde_json::Value {
    let (line, column) = match &error.location {
        Location::File { line, column, .. } => (Some(line), Some(column)),
        _ => (None, None),
    };
    json!({
        "code": error.code(), "location": error.location.to_string(), "line": line, "column": column,
        "path": error.path, "message": error.message, "hint": error.hint,
    })
}

fn schema() -> Result<(), Failure> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    serde_json::to_writer_pretty(&mut out, &config_schema()).map_err(io::Error::from)?;
    writeln!(out)?;
    Ok(out.flush()?)
}

fn show(options: &Options) -> Result<(), Failure> {
    let loaded = options.config.load()?;
    let settings = loaded.settings();
    let mut out = io::BufWriter::new(io::stdout().lock());
    if options.json {
        let settings: Vec<_> = settings
            .iter()
            .map(|s| json!({ "path": s.path, "value": s.value, "source": s.location.to_string() }))
            .collect();
        let document = json!({ "file": loaded.file(), "config": loaded.config, "settings": settings });
        serde_json::to_writer_pretty(&mut out, &document).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        writeln!(out, "# {}", source(&loaded))?;
        let lines: Vec<String> = settings.iter().map(|s| format!("{} = {}", s.path, s.value)).collect();
        // Beyond this the remarks of short lines would stand too far away.
        const WIDEST: usize = 56;
        let width = lines.iter().map(|line| line.chars().count()).filter(|&w| w <= WIDEST).max().unwrap_or(0);
        for (line, setting) in lines.iter().zip(&settings) {
            writeln!(out, "{line:width$}  # {}", setting.location)?;
        }
    }
    Ok(out.flush()?)
}

fn source(loaded: &Loaded) -> String {
    match loaded.file() {
        Some(file) => file.display().to_string(),
        None => "the built-in configuration (no uat.toml here)".to_owned(),
    }
}
