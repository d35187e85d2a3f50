//! One file per command.

pub(crate) mod bandit;
pub(crate) mod bench;
pub(crate) mod cache;
pub(crate) mod chat;
pub(crate) mod config;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod gpu;
pub(crate) mod health;
pub(crate) mod keys;
pub(crate) mod listen;
pub(crate) mod models;
pub(crate) mod router;
pub(crate) mod serve;
pub(crate) mod study;
pub(crate) mod transcribe;
pub(crate) mod usage;

use std::fs::File;
use std::future::Future;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use clap::Args;
use runtime::access::Timestamp;
use runtime::parameter_analytics_service::{AnalyticsError, ParameterAnalytics};
use runtime::{
    ConfigErrors, ConfigSource, Loaded, Parameters, ParametersPlace, UatConfig, process_environment,
};

use crate::failure::Failure;

/// Where a command takes its settings from.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// The configuration file; without it the one that UAT_CONFIG names, else ./uat.toml, else none.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

impl ConfigArgs {
    pub(crate) fn load(&self) -> Result<Loaded, ConfigErrors> {
        let source = match &self.config {
            Some(file) => ConfigSource::File(file.clone()),
            None => ConfigSource::Default,
        };
        UatConfig::load(source, process_environment())
    }

    /// The file that is read if it exists.
    pub(crate) fn file(&self) -> PathBuf {
        let named = std::env::var_os("UAT_CONFIG").filter(|file| !file.is_empty()).map(PathBuf::from);
        self.config.clone().or(named).unwrap_or_else(|| PathBuf::from("uat.toml"))
    }
}

/// Where a command finds studies and bandits, and how it says what it found.
#[derive(Debug, Args)]
pub(crate) struct StorageArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// A folder or a URL of Redis, in place of what [parameters] says.
    #[arg(long, global = true, value_name = "PLACE")]
    storage: Option<String>,
    /// Print JSON for programs.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

impl StorageArgs {
    /// Says what came of a command, to a program or to people.
    pub(crate) fn say(&self, document: &serde_json::Value, sentence: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        match self.json {
            true => writeln!(out, "{document}")?,
            false => writeln!(out, "{sentence}")?,
        }
        Ok(())
    }

    /// Writes a page to a file, NAME.html if none is given, and says where it is.
    pub(crate) fn write_page(&self, name: &str, page: &str, to: Option<&Path>) -> Result<(), Failure> {
        let to = match to {
            Some(to) if to.as_os_str() == "-" => {
                return Ok(io::stdout().lock().write_all(page.as_bytes())?);
            }
            Some(to) => to.to_owned(),
            None => {
                let plain = |letter: char| {
                    if letter.is_alphanumeric() || "-_. ".contains(letter) { letter } else { '_' }
                };
                PathBuf::from(format!("{}.html", name.chars().map(plain).collect::<String>()))
            }
        };
        std::fs::write(&to, page).map_err(|error| {
            Failure::new("UAT_STORAGE", format!("cannot write {}: {error}", to.display()))
        })?;
        self.say(&serde_json::json!({ "name": name, "out": to }), &format!("Wrote {}", to.display()))
    }

    fn parse(&self) -> Result<ParametersPlace, Failure> {
        Ok(match &self.storage {
            Some(text) => ParametersPlace::parse(text),
            None => self.config.load()?.config.parameters_place(),
        })
    }

    /// As people are told it.
    pub(crate) fn place(&self) -> Result<String, Failure> {
        Ok(match self.parse()? {
            ParametersPlace::Folder(folder) => folder.display().to_string(),
            ParametersPlace::Redis(_) => "Redis".to_owned(),
            ParametersPlace::Memory => "memory, where a command has nothing".to_owned(),
        })
    }

    /// Does something with what is there; Ctrl-C ends it.
    pub(crate) fn with<T: Send + 'static>(
        &self,
        act: impl FnOnce(&ParameterAnalytics) -> Result<T, AnalyticsError> + Send + 'static,
    ) -> Result<T, Failure> {
        let place = self.parse()?;
        // What asks Redis waits on another thread for the one that carries it out.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let done = runtime.block_on(async {
            let work = async {
                let parameters = Parameters::open(place)?;
                let done = parameters.run(act).await;
                parameters.close().await?;
                done
            };
            tokio::select! {
                done = work => Ok(done?),
                interrupted = tokio::signal::ctrl_c() => interrupted.map_err(Failure::from).and(Err(Failure::Interrupted)),
            }
        });
        runtime.shutdown_background();
        done
    }
}

/// Runs a command that waits for one thing at a time: threads would only cost memory.
pub(crate) fn block_on<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(command);
    // A thread that still waits for a line of input would wait for ever.
    runtime.shutdown_background();
    result
}

/// Runs what blocks on a thread of its own, so that Ctrl-C is heard meanwhile: then it is told, and waited for. `what` names it if its
/// thread fails.
pub(crate) fn cancellable<T: Send + 'static>(
    what: &str,
    work: impl FnOnce(&AtomicBool) -> T + Send + 'static,
) -> Result<T, Failure> {
    let cancel = Arc::new(AtomicBool::new(false));
    let cancelled = Arc::clone(&cancel);
    block_on(async {
        let mut working = tokio::task::spawn_blocking(move || work(&cancelled));
        let ended = tokio::select! {
            ended = &mut working => ended,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                cancel.store(true, Ordering::Relaxed);
                working.await
            }
        };
        ended.map_err(|error| Failure::new("UAT_INTERNAL", format!("{what}'s thread ended: {error}")))
    })
}

fn opened(file: &Path) -> Result<BufReader<File>, Failure> {
    File::open(file).map(BufReader::new).map_err(|error| unreadable(file, &error))
}

/// What a source says, unpacked where it begins as gzip's files do.
fn unpacked(file: &Path, mut source: impl BufRead + 'static) -> Result<Box<dyn Read>, Failure> {
    let packed = source.fill_buf().map_err(|error| unreadable(file, &error))?.starts_with(&[0x1F, 0x8B]);
    Ok(if packed { Box::new(flate2::read::MultiGzDecoder::new(source)) } else { Box::new(source) })
}

fn unreadable(file: &Path, error: &io::Error) -> Failure {
    Failure::new("UAT_STORAGE", format!("cannot read {}: {error}", file.display()))
}

/// A moment by its time, or by how far it is from now in one direction.
fn moment(
    text: &str,
    expected: &str,
    from_now: fn(&SystemTime, Duration) -> Option<SystemTime>,
) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let distance =
        humantime::parse_duration(text).map_err(|_| format!("expected {expected}, got `{text}`"))?;
    let at = from_now(&SystemTime::now(), distance);
    at.and_then(|at| Timestamp::try_from(at).ok()).ok_or_else(|| format!("`{text}` is too far away"))
}

/// Bytes as people read them.
fn human_bytes(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    match UNITS.iter().find(|(_, size)| bytes >= *size) {
        Some((unit, size)) => format!("{:.1} {unit}", bytes as f64 / *size as f64),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_rounded_to_a_unit() {
        assert_eq!(human_bytes(0), "0 B");
        assert_eq!(human_bytes(98_362_432), "98.4 MB");
        assert_eq!(human_bytes(1_000), "1.0 kB");
    }
}
