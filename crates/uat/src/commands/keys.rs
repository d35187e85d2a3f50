//! `uat keys`

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::SystemTime;

use clap::Subcommand;
use runtime::UatConfig;
use runtime::access::keys_file::{self, KeysFileError, NewKey};
use runtime::access::{KeyConfig, Timestamp};
use serde_json::json;

use super::ConfigArgs;
use crate::failure::Failure;
use crate::table;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

/// Which keys.
#[derive(Debug, clap::Args)]
struct FileArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The file of keys instead of server.keys_file.
    #[arg(long, value_name = "FILE")]
    keys_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a key. It is shown once and stored nowhere; the file has its hash.
    New(NewArgs),
    /// The keys of the file and of the configuration, without their texts, which nobody has.
    List {
        #[command(flatten)]
        file: FileArgs,
        /// Print JSON for programs.
        #[arg(long)]
        json: bool,
    },
    /// Take a key away. A running server refuses it within a second, and ends what it had begun.
    Revoke {
        /// Its name or id, as `uat keys list` shows them.
        key: String,
        #[command(flatten)]
        file: FileArgs,
        /// Print JSON for programs.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, clap::Args)]
struct NewArgs {
    /// Who has it; what is spent counts under this name.
    name: String,
    /// A model that it may use, `*` for any characters; may be given several times. Without any: every model.
    #[arg(long, value_name = "MODEL", value_delimiter = ',')]
    models: Vec<String>,
    /// Requests a minute at most.
    #[arg(long)]
    rpm: Option<u64>,
    /// Tokens a minute at most, of prompts and answers.
    #[arg(long)]
    tpm: Option<u64>,
    /// USD a day at most; the day is UTC's.
    #[arg(long, value_name = "USD")]
    budget_usd_per_day: Option<f64>,
    /// It may administrate: metrics, endpoints.
    #[arg(long)]
    admin: bool,
    /// When it ends: after so long (30d, 12h), or at a time like 2027-01-01T00:00:00Z.
    #[arg(long, value_name = "WHEN", value_parser = expiry)]
    expires: Option<Timestamp>,
    #[command(flatten)]
    file: FileArgs,
    /// Print JSON for programs.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    match &args.action {
        Action::New(new) => {
            let config = new.file.config.load()?.config;
            create(&file(&new.file, &config)?, new, &config)
        }
        Action::List { file, json } => list(file, &file.config.load()?.config, *json),
        Action::Revoke { key, file: named, json } => {
            let config = named.config.load()?.config;
            let revoked =
                keys_file::revoke(&file(named, &config)?, key).map_err(|error| refused(error, &config))?;
            let mut out = io::stdout().lock();
            match json {
                true => writeln!(out, "{}", json!({ "revoked": row(&revoked) }))?,
                false => writeln!(out, "revoked {}", revoked.name)?,
            }
            Ok(())
        }
    }
}

/// The file that is changed.
fn file(args: &FileArgs, config: &UatConfig) -> Result<PathBuf, Failure> {
    args.keys_file.clone().or_else(|| config.server.keys_file.clone()).ok_or_else(|| {
        Failure::new("UAT_CONFIG", "there is no file of keys: `server.keys_file` is not set").hint(
            "add keys_file = \"/etc/uat/keys.toml\" to [server] of uat.toml, or name a file with --keys-file",
        )
    })
}

fn create(file: &std::path::Path, new: &NewArgs, config: &UatConfig) -> Result<(), Failure> {
    let wanted = NewKey {
        name: new.name.clone(),
        models: new.models.clone(),
        rpm: new.rpm,
        tpm: new.tpm,
        budget_usd_per_day: new.budget_usd_per_day,
        admin: new.admin,
        expires: new.expires,
    };
    if config.keys.iter().any(|key| *key.name == *new.name) {
        let message = format!("there is a key {:?} in the configuration already", new.name);
        return Err(Failure::new("UAT_CONFLICT", message).hint("choose another name"));
    }
    if let Some(model) = unpriced(&wanted, config) {
        let message = format!("a key with a budget may not use the model {model:?}, whose price is unknown");
        return Err(Failure::new("UAT_CONFIG", message).hint(
            "add price = { input = ..., output = ... } (USD per million tokens) to the model in [[models]], or name \
             other models with --models",
        ));
    }
    let now = Timestamp::now();
    let (made, text) = keys_file::create(file, wanted, now).map_err(|error| refused(error, config))?;
    let mut out = io::stdout().lock();
    if new.json {
        let mut document = row(&made);
        document["key"] = json!(text.expose());
        writeln!(out, "{document}")?;
        return Ok(());
    }
    writeln!(out, "{}", text.expose())?;
    drop(out);
    // Beside the key, so that `uat keys new NAME > file` has the key and nothing else.
    writeln!(
        io::stderr(),
        "This is the key of {}. It is shown once: keep it now. {} has its hash.",
        made.name,
        file.display()
    )?;
    Ok(())
}

/// The first model that a budget forbids.
fn unpriced<'a>(new: &NewKey, config: &'a UatConfig) -> Option<&'a str> {
    // Its text does not matter to what it may use.
    let mut key = KeyConfig::new(&*new.name, runtime::access::KeyHash::of(b""));
    key.budget_usd_per_day = new.budget_usd_per_day;
    if !new.models.is_empty() {
        key.models.clone_from(&new.models);
    }
    config.unpriced(&key).map(|(_, model)| model)
}

fn list(args: &FileArgs, config: &UatConfig, as_json: bool) -> Result<(), Failure> {
    let rows = match file(args, config) {
        Ok(file) => keys_file::list(&file).map_err(|error| refused(error, config))?,
        Err(_) => Vec::new(),
    };
    let all = rows.iter().map(|key| (key, "file")).chain(config.keys.iter().map(|key| (key, "uat.toml")));
    let mut out = io::stdout().lock();
    if as_json {
        let keys: Vec<_> = all
            .map(|(key, from)| {
                let mut document = row(key);
                document["from"] = json!(from);
                document
            })
            .collect();
        writeln!(out, "{}", json!({ "keys": keys }))?;
        return Ok(());
    }
    let head = ["ID", "NAME", "MODELS", "RPM", "TPM", "USD/DAY", "ADMIN", "EXPIRES", "FROM"];
    let mut table = vec![head.map(str::to_owned)];
    let number = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    table.extend(all.map(|(key, from)| {
        [
            key.id.as_deref().unwrap_or("-").to_owned(),
            key.name.to_string(),
            key.models.join(","),
            number(key.rpm.map(|rpm| rpm.to_string())),
            number(key.tpm.map(|tpm| tpm.to_string())),
            number(key.budget_usd_per_day.map(|usd| usd.to_string())),
            if key.admin { "yes" } else { "-" }.to_owned(),
            number(key.expires.map(|at| at.to_string())),
            from.to_owned(),
        ]
    }));
    if table.len() == 1 {
        writeln!(out, "There are no keys: uat keys new NAME")?;
        return Ok(());
    }
    table::write(&mut out, &table)?;
    Ok(())
}

/// What of a key may be shown.
fn row(key: &KeyConfig) -> serde_json::Value {
    json!({
        "id": key.id,
        "name": key.name,
        "models": key.models,
        "rpm": key.rpm,
        "tpm": key.tpm,
        "budgetUsdPerDay": key.budget_usd_per_day,
        "admin": key.admin,
        "expires": key.expires.map(|at| at.to_string()),
        "created": key.created.map(|at| at.to_string()),
        "hash": key.hash.to_string(),
    })
}

fn refused(error: KeysFileError, config: &UatConfig) -> Failure {
    let failure = Failure::new(error.code(), error.to_string());
    match &error {
        KeysFileError::NotFound { which, .. } if config.keys.iter().any(|key| *key.name == **which) => {
            failure.hint("it stands in uat.toml, which no command changes: take it out there")
        }
        _ => failure,
    }
}

fn expiry(text: &str) -> Result<Timestamp, String> {
    super::moment(text, "a duration like 30d or a time like 2027-01-01T00:00:00Z", SystemTime::checked_add)
}
