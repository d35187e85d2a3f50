//! The way of a configuration from where it stands to what counts.

use std::path::{Path, PathBuf};

use super::document::Document;
use super::effective::{self, Setting};
use super::error::{ConfigError, ConfigErrors, Location};
use super::shape::{Shaped, shape};
use super::{UatConfig, check};

/// A larger file is no configuration: a thousand endpoints with their models take 300 KB.
const LARGEST_FILE: u64 = 8 << 20;

/// Where a configuration comes from.
#[derive(Debug, Clone)]
pub enum ConfigSource {
    /// The file that `UAT_CONFIG` names, else `./uat.toml` if there is one, else the defaults.
    Default,
    /// This file: JSON or YAML where its name ends in `.json`, `.yaml` or `.yml`, else TOML.
    File(PathBuf),
    /// This text, as if it stood in a file of that name.
    Text {
        /// The name, which says what the text is.
        file: PathBuf,
        /// What it says.
        text: String,
    },
    /// A JSON object in the shapes of `uat.toml`.
    Json(String),
}

/// A configuration that was read and checked.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What counts.
    pub config: UatConfig,
    document: Document,
}

impl Loaded {
    /// The file that was read, if one was.
    pub fn file(&self) -> Option<&Path> {
        self.document.file()
    }

    /// Every setting with its value and where it was written, defaults included, in the order of the sections.
    pub fn settings(&self) -> Vec<Setting> {
        effective::settings(&self.config, &self.document)
    }
}

impl UatConfig {
    /// Reads, overrides from the environment (`UAT__SERVER__BIND=...`) and checks.
    ///
    /// `environment` is asked for `UAT_CONFIG` and the overrides; [`process_environment`] passes the process's own.
    ///
    /// # Errors
    /// Everything that is wrong, with its place: see [`ConfigErrors`]. Nothing is used of a wrong configuration. Of a text
    /// that is no TOML (JSON, YAML), what its parser says; of more than a hundred mistakes, the first ones found.
    pub fn load(
        source: ConfigSource,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Loaded, ConfigErrors> {
        let environment: Vec<(String, String)> = environment.into_iter().collect();
        let read = match source {
            ConfigSource::File(file) => read_file(&file),
            ConfigSource::Text { file, text } => Document::from_text(&file, &text),
            ConfigSource::Json(text) => Document::from_json(&text),
            ConfigSource::Default => match environment.iter().find(|(name, _)| name == "UAT_CONFIG") {
                Some((_, file)) if !file.is_empty() => read_file(Path::new(file)),
                _ if Path::new("uat.toml").exists() => read_file(Path::new("uat.toml")),
                _ => Ok(Document::empty()),
            },
        };
        let (document, read) = match read {
            Ok(mut document) => {
                document.apply_environment(environment);
                let read = examine(&mut document);
                (document, read)
            }
            // At least one: it could not be read.
            Err(errors) => (Document::empty(), (None, errors)),
        };
        let (config, errors) = read;
        match (config, ConfigErrors::of(errors)) {
            (Some(config), None) => Ok(Loaded { config, document }),
            (_, Some(errors)) => Err(errors),
            (None, None) => Err(ConfigErrors::from(ConfigError {
                location: document.value_location(""),
                path: String::new(),
                message: "cannot be read".to_owned(),
                hint: None,
            })),
        }
    }

    /// Checks what the types alone cannot: names that must be unique, references, addresses.
    ///
    /// # Errors
    /// Everything that is wrong, by its path.
    pub fn validate(&self) -> Result<(), ConfigErrors> {
        let errors = check::findings(self).into_iter().map(|finding| finding.at(Location::Object)).collect();
        ConfigErrors::of(errors).map_or(Ok(()), Err)
    }
}

/// All that is wrong in a document, and what it says as far as it could be read.
fn examine(document: &mut Document) -> (Option<UatConfig>, Vec<ConfigError>) {
    let (mut errors, mut unreadable) = document.take_errors();
    // Before the types are read: a secret deserves a better sentence than "unknown key".
    let secrets = check::secrets::literal(document.tree());
    for secret in &secrets {
        unreadable.add(&secret.path);
    }
    let Shaped { value, findings, unreadable } = shape::<UatConfig>(document.tree().clone(), unreadable);
    let mut further = Vec::new();
    if let Some(config) = &value {
        if let Location::File { .. } = document.value_location("redis.url") {
            further.extend(check::secrets::password_of_redis(config));
        }
        further.extend(check::findings(config));
    }
    further.retain(|finding| !unreadable.clouds(finding));
    let found = secrets.into_iter().chain(findings).chain(further);
    errors.extend(found.map(|finding| document.place(finding)));
    (value, errors)
}

/// The process's environment, without the variables that are no UTF-8.
pub fn process_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn read_file(file: &Path) -> Result<Document, Vec<ConfigError>> {
    let refuse = |(line, column): (usize, usize), message: String, hint: Option<&str>| {
        vec![ConfigError {
            location: Location::File { file: file.to_owned(), line, column },
            path: String::new(),
            message,
            hint: hint.map(str::to_owned),
        }]
    };
    let unread = |error: std::io::Error| {
        let hint = (error.kind() == std::io::ErrorKind::NotFound)
            .then_some("name an existing file with --config or UAT_CONFIG, or none for the defaults");
        refuse((0, 0), format!("cannot be read: {error}"), hint)
    };
    let bytes = std::fs::metadata(file).map_err(unread)?.len();
    if bytes > LARGEST_FILE {
        let message = format!("cannot be read: expected at most {LARGEST_FILE} bytes, it has {bytes}");
        return Err(refuse((0, 0), message, None));
    }
    match String::from_utf8(std::fs::read(file).map_err(unread)?) {
        Ok(text) => Document::from_text(file, &text),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let before = String::from_utf8_lossy(error.as_bytes().get(..valid).unwrap_or_default());
            let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
            let place = (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1);
            Err(refuse(place, "expected UTF-8, got another byte".to_owned(), None))
        }
    }
}
