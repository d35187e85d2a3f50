//! The models that the user has added: `models.json` in our folder.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::verify::{Partial, commit};
use crate::{ModelState, StoreError};

const FILE: &str = "models.json";
/// Of `models.json`; another one was written by another version of the product.
const VERSION: u32 = 1;
/// Longest name in bytes: it becomes part of file names, which end at 255.
const MAX_NAME: usize = 128;

/// A model that the user has added under a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedModel {
    /// The name that users and requests say.
    pub name: String,
    /// Where its file lies; absolute.
    pub path: PathBuf,
    /// Whether the file belongs to the store: then it is deleted with the model.
    pub owned: bool,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// SHA-256 of the file, lower-case hexadecimal.
    pub sha256: String,
    /// `ORG/REPO@COMMIT:FILE` on the hub, if it was downloaded from there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

impl AddedModel {
    /// Whether the file is there as it was added; only its size is looked at.
    pub fn state(&self) -> ModelState {
        match fs::metadata(&self.path) {
            Ok(meta) if meta.is_file() && meta.len() == self.bytes => {
                ModelState::Present { bytes: self.bytes }
            }
            Ok(_) => ModelState::Incomplete,
            Err(_) => ModelState::Absent,
        }
    }

    /// The file, if it still is what was added.
    ///
    /// # Errors
    /// [`StoreError::NoSuchFile`], [`StoreError::Changed`].
    pub(crate) fn file(&self) -> Result<&Path, StoreError> {
        match self.state() {
            ModelState::Present { .. } => Ok(&self.path),
            ModelState::Incomplete => Err(StoreError::Changed {
                name: self.name.clone(),
                path: self.path.clone(),
                bytes: self.bytes,
            }),
            ModelState::Absent => Err(StoreError::NoSuchFile { path: self.path.clone() }),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Document {
    version: u32,
    models: Vec<AddedModel>,
}

/// The models in `folder`, by name. A missing file means none.
pub(crate) fn read(folder: &Path) -> Result<Vec<AddedModel>, StoreError> {
    let path = folder.join(FILE);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::io("read", &path)(error)),
    };
    let unusable = |reason: String| StoreError::Registry { path: path.clone(), reason };
    let document: Document = serde_json::from_slice(&text).map_err(|error| unusable(error.to_string()))?;
    if document.version != VERSION {
        let found = document.version;
        return Err(unusable(format!("it has version {found}, expected {VERSION}")));
    }
    Ok(document.models)
}

/// Changes the list under its lock, which is held for the time of a small file's writing.
pub(crate) fn change(
    folder: &Path,
    change: impl FnOnce(&mut Vec<AddedModel>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    // No model's lock has this name: those begin with a dot.
    let lock_path = folder.join(format!("{FILE}.lock"));
    let lock = File::options().create(true).truncate(false).write(true).open(&lock_path);
    let lock = lock.map_err(StoreError::io("create the lock file", &lock_path))?;
    lock.lock().map_err(StoreError::io("lock", &lock_path))?;

    let mut models = read(folder)?;
    change(&mut models)?;
    models.sort_by(|one, other| one.name.cmp(&other.name));
    let target = folder.join(FILE);
    let text = serde_json::to_vec_pretty(&Document { version: VERSION, models })
        .map_err(|error| StoreError::Registry { path: target.clone(), reason: error.to_string() })?;
    let fresh = Partial::path_for(&target);
    let mut file = File::create(&fresh).map_err(StoreError::io("create", &fresh))?;
    file.write_all(&text).map_err(StoreError::io("write", &fresh))?;
    commit(&file, &fresh, &target)
}

/// Whether a model may be called this: it is typed in a shell, sent in requests and becomes part of file names, and it must
/// not look like a path.
pub(crate) fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    name.len() <= MAX_NAME
        && name.bytes().all(allowed)
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
        && !name.to_ascii_lowercase().ends_with(".gguf")
}

/// What a file's model is called unless the user says otherwise: the file's name in lower case, without its ending.
pub(crate) fn default_name(file_name: &str) -> String {
    let name = file_name.to_ascii_lowercase();
    let name = name.strip_suffix(".gguf").unwrap_or(&name);
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    let name: String = name.chars().map(|letter| if allowed(letter) { letter } else { '-' }).collect();
    name.trim_start_matches(['-', '_', '.']).chars().take(MAX_NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_word_and_no_path() {
        for name in ["a", "llama3:8b", "SmolLM2-135M-Instruct.Q4_1"] {
            assert!(is_name(name), "{name}");
        }
        let long = "n".repeat(129);
        for name in ["", ".hidden", "a/b", "a b", "model.gguf", "model.GGUF", "ü", "-x", long.as_str()] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn a_file_gives_its_model_a_name() {
        assert_eq!(default_name("SmolLM2-135M-Instruct.Q4_1.gguf"), "smollm2-135m-instruct.q4_1");
        assert_eq!(default_name("..my model (1).GGUF"), "my-model--1-");
        assert!(is_name(&default_name("..my model (1).GGUF")));
    }
}
