//! The file of keys (`server.keys_file`): rows `[[keys]]` as in the configuration, with `id` and `created`.
//!
//! Changes are made under a lock and written whole: a reader sees the file as it was or as it is, and two who change it at once both
//! have their way. Only its owner may read it. Comments in it are lost at the next change.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::file_ledger::private;
use crate::key::{KeyConfig, KeyHash, KeyText};

/// What can go wrong with the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeysFileError {
    /// It could not be read or written.
    #[error("{}: {reason}", path.display())]
    Storage {
        /// The file.
        path: PathBuf,
        /// What happened.
        reason: String,
    },
    /// It is no file of keys.
    #[error("{}: {message}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// There is a key of this name.
    #[error("{}: there is a key {name:?} already: revoke it first, or choose another name", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// There is no such key.
    #[error("{}: there is no key with the name or id {which:?}; `uat keys list` shows those that there are", path.display())]
    NotFound {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        which: String,
    },
    /// A value of the new key cannot be.
    #[error("{field}: {message}")]
    Value {
        /// Which field.
        field: &'static str,
        /// What was expected.
        message: String,
    },
}

impl KeysFileError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Storage { .. } => "UAT_STORAGE",
            Self::Wrong { .. } => "UAT_CONFIG",
            Self::Exists { .. } => "UAT_CONFLICT",
            Self::NotFound { .. } => "UAT_NOT_FOUND",
            Self::Value { .. } => "UAT_INVALID_INPUT",
        }
    }
}

/// What a new key may do. [`Default`]: everything, without limits, for ever.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NewKey {
    /// Unique in the file.
    pub name: String,
    /// Names and patterns; empty: every model.
    pub models: Vec<String>,
    /// Requests a minute.
    pub rpm: Option<u64>,
    /// Tokens a minute.
    pub tpm: Option<u64>,
    /// USD a day.
    pub budget_usd_per_day: Option<f64>,
    /// Whether it may administrate.
    pub admin: bool,
    /// When it stops being a key.
    pub expires: Option<Timestamp>,
}

/// Makes a key: its row, which the file has now, and its text, which nobody has but the caller. Makes the file if there is none.
/// Blocks, as all of this module.
///
/// # Errors
/// [`KeysFileError`]; then nothing has changed.
pub fn create(path: &Path, new: NewKey, now: Timestamp) -> Result<(KeyConfig, KeyText), KeysFileError> {
    let random = |error: getrandom::Error| storage(path, &error.to_string());
    let text = KeyText::new().map_err(random)?;
    let id = format!("key_{:08x}", getrandom::u32().map_err(random)?);
    let NewKey { name, models, rpm, tpm, budget_usd_per_day, admin, expires } = new;
    let mut row = KeyConfig::new(name, KeyHash::of(text.expose().as_bytes()));
    if !models.is_empty() {
        row.models = models;
    }
    let row = KeyConfig {
        rpm,
        tpm,
        budget_usd_per_day,
        admin,
        expires,
        id: Some(id.into()),
        // To the second: it is for people.
        created: Timestamp::from_second(now.as_second()).ok(),
        ..row
    };
    if let Some((field, message)) = row.objections().into_iter().next() {
        return Err(KeysFileError::Value { field, message });
    }
    change(path, |rows| {
        if rows.iter().any(|other| other.name == row.name) {
            return Err(KeysFileError::Exists { path: path.to_owned(), name: row.name.to_string() });
        }
        rows.push(row.clone());
        Ok(())
    })?;
    Ok((row, text))
}

/// The rows; none where there is no file.
///
/// # Errors
/// [`KeysFileError`].
pub fn list(path: &Path) -> Result<Vec<KeyConfig>, KeysFileError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(storage(path, &error.to_string())),
    };
    parse(path, &text)
}

/// Takes a key out, by its id or its name, and says which it was. A server that watches the file ends what it began.
///
/// # Errors
/// [`KeysFileError`]; then nothing has changed.
pub fn revoke(path: &Path, which: &str) -> Result<KeyConfig, KeysFileError> {
    change(path, |rows| {
        let is_id = |row: &KeyConfig| row.id.as_deref() == Some(which);
        let at = rows.iter().position(is_id).or_else(|| rows.iter().position(|row| *row.name == *which));
        match at {
            Some(at) => Ok(rows.remove(at)),
            None => Err(KeysFileError::NotFound { path: path.to_owned(), which: which.to_owned() }),
        }
    })
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    #[serde(default)]
    keys: Vec<KeyConfig>,
}

/// What the file begins with.
const NOTICE: &str =
    "# Written by `uat keys`. The keys themselves stand nowhere: these are their SHA-256.\n\n";

fn parse(path: &Path, text: &str) -> Result<Vec<KeyConfig>, KeysFileError> {
    let wrong = |message: String| KeysFileError::Wrong { path: path.to_owned(), message };
    // Its message shows the line, in which there is no secret: a key's hash is none.
    let Contents { keys } = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let mut names = HashSet::new();
    for row in &keys {
        if let Some((field, message)) = row.objections().into_iter().next() {
            return Err(wrong(format!("the key {:?}: {field}: {message}", row.name)));
        }
        if !names.insert(&row.name) {
            return Err(wrong(format!("the key {:?}: expected each name once, got it twice", row.name)));
        }
    }
    Ok(keys)
}

/// Reads, changes and writes under a lock.
fn change<T>(
    path: &Path,
    act: impl FnOnce(&mut Vec<KeyConfig>) -> Result<T, KeysFileError>,
) -> Result<T, KeysFileError> {
    let failed = |error: io::Error| storage(path, &error.to_string());
    // Where it is a link, the file that it leads to is replaced and not the link.
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let _lock = lock(&real).map_err(failed)?;
    let mut rows = list(&real)?;
    let done = act(&mut rows)?;
    let contents =
        toml::to_string(&Contents { keys: rows }).map_err(|error| storage(path, &error.to_string()))?;
    write_whole(&real, &format!("{NOTICE}{contents}")).map_err(failed)?;
    Ok(done)
}

/// A lock beside the file, which itself is replaced at each change.
fn lock(path: &Path) -> io::Result<File> {
    let file =
        private(OpenOptions::new().write(true).create(true).truncate(false)).open(beside(path, "lock"))?;
    file.lock()?;
    Ok(file)
}

/// Puts a new file in the place of the old one, at once and for this user only.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let new = beside(path, "new");
    // What one left behind that was killed here; nobody else writes under the lock.
    std::fs::remove_file(&new).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })?;
    let mut file = private(OpenOptions::new().write(true).create_new(true)).open(&new)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.and_then(|()| std::fs::rename(&new, path)).inspect_err(|_| {
        // The error that counts is the first.
        let _ = std::fs::remove_file(&new);
    })?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// `keys.toml` and `lock`: `.keys.toml.lock`.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    path.with_file_name(format!(".{name}.{ending}"))
}

fn storage(path: &Path, reason: &str) -> KeysFileError {
    KeysFileError::Storage { path: path.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::keyring::Keyring;

    fn now() -> Timestamp {
        "2026-11-26T12:00:00.5Z".parse().unwrap()
    }

    fn named(name: &str) -> NewKey {
        NewKey { name: name.to_owned(), ..NewKey::default() }
    }

    fn names(path: &Path) -> Vec<String> {
        list(path).unwrap().iter().map(|row| row.name.to_string()).collect()
    }

    #[test]
    fn a_key_is_made_listed_used_and_revoked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        assert_eq!(list(&path), Ok(Vec::new()));
        let new = NewKey {
            models: vec!["gpt-*".to_owned()],
            rpm: Some(5),
            budget_usd_per_day: Some(2.5),
            expires: Some("2027-01-01T00:00:00Z".parse().unwrap()),
            ..named("alice")
        };
        let (row, text) = create(&path, new, now()).unwrap();
        create(&path, NewKey { admin: true, ..named("bob") }, now()).unwrap();
        assert_eq!(list(&path).unwrap()[0], row);
        assert_eq!(row.created.unwrap().to_string(), "2026-11-26T12:00:00Z");
        let written = std::fs::read_to_string(&path).unwrap();
        assert!(!written.contains(&text.expose()[4..]), "the key itself stands nowhere");
        let keyring = Keyring::new(list(&path).unwrap()).unwrap();
        let key = keyring.authenticate_at(text.expose().as_bytes(), now()).unwrap();
        assert!(&**key.name() == "alice" && key.may_use("gpt-5") && !key.may_use("claude"));
        assert_eq!(revoke(&path, row.id.as_deref().unwrap()).unwrap(), row);
        assert_eq!(names(&path), ["bob"]);
        assert!(revoke(&path, "bob").unwrap().admin);
        assert!(matches!(revoke(&path, "bob"), Err(KeysFileError::NotFound { .. })));
    }

    #[test]
    fn only_its_owner_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        create(&path, named("a"), now()).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_is_refused_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        create(&path, named("a"), now()).unwrap();
        let before = std::fs::read(&path).unwrap();
        let code = |new| create(&path, new, now()).unwrap_err().code();
        assert_eq!(code(named("a")), "UAT_CONFLICT");
        assert_eq!(code(named("")), "UAT_INVALID_INPUT");
        assert_eq!(code(NewKey { rpm: Some(0), ..named("b") }), "UAT_INVALID_INPUT");
        assert_eq!(std::fs::read(&path).unwrap(), before);
        std::fs::write(&path, "[[keys]]\nname = 1\n").unwrap();
        let error = create(&path, named("b"), now()).unwrap_err();
        assert_eq!(error.code(), "UAT_CONFIG");
        assert!(error.to_string().contains("keys.toml"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "[[keys]]\nname = 1\n");
    }

    #[test]
    fn keys_that_are_made_at_once_are_all_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        std::thread::scope(|scope| {
            for number in 0..8 {
                let path = &path;
                scope.spawn(move || create(path, named(&format!("key{number}")), now()).unwrap());
            }
        });
        let mut found = names(&path);
        found.sort();
        assert_eq!(found, (0..8).map(|number| format!("key{number}")).collect::<Vec<_>>());
    }

    #[test]
    fn what_a_killed_writer_left_behind_is_in_nobodys_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        std::fs::write(folder.path().join(".keys.toml.new"), "half a fi").unwrap();
        create(&path, named("a"), now()).unwrap();
        assert_eq!(names(&path), ["a"]);
        assert!(!folder.path().join(".keys.toml.new").exists());
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real.toml"), folder.path().join("keys.toml"));
        create(&real, named("a"), now()).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        create(&link, named("b"), now()).unwrap();
        assert_eq!(names(&real), ["a", "b"]);
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    }
}
