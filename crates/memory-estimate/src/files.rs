//! Finds the files of a model and reads their headers: the edge of this crate.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use gguf::Pieces;

use crate::source::GgufParts;
use crate::{EstimateError, ModelHeader, safetensors};

/// Larger than any list of shards, in bytes: a model of 700 GB has one of 9 MB.
const MAX_INDEX_BYTES: u64 = 64 << 20;
/// Larger than any `config.json`, in bytes.
const MAX_CONFIG_BYTES: u64 = 4 << 20;

/// Reads what the header of a model says: of a GGUF file, of all files of a split one whichever is given, of a safetensors
/// file, of the `model.safetensors.index.json` of several, or of a folder that holds such files. Takes some milliseconds.
///
/// # Errors
/// See [`EstimateError`]; each names the file that is at fault.
pub fn open(path: &Path) -> Result<ModelHeader, EstimateError> {
    if path.is_dir() {
        return of_folder(path);
    }
    if path.extension().is_some_and(|extension| extension == "json") {
        return of_index(path);
    }
    let mut file = open_file(path)?;
    let mut magic = [0; 4];
    let length =
        file.read(&mut magic).map_err(|source| EstimateError::Io { path: path.to_owned(), source })?;
    if magic.get(..length) == Some(b"GGUF".as_slice()) || path.extension().is_some_and(|end| end == "gguf") {
        return of_gguf(path);
    }
    of_safetensors(path.parent().unwrap_or(Path::new("")), &[path.to_owned()])
}

fn open_file(path: &Path) -> Result<File, EstimateError> {
    File::open(path).map_err(|source| EstimateError::Io { path: path.to_owned(), source })
}

fn inside(path: &Path) -> impl Fn(EstimateError) -> EstimateError {
    |error| match error {
        EstimateError::Io { source, .. } => EstimateError::Io { path: path.to_owned(), source },
        error @ (EstimateError::In { .. } | EstimateError::Missing { .. }) => error,
        error => EstimateError::In { path: path.to_owned(), error: Box::new(error) },
    }
}

fn of_gguf(path: &Path) -> Result<ModelHeader, EstimateError> {
    let Some(siblings) = siblings(path) else {
        return ModelHeader::read_gguf(open_file(path)?).map_err(inside(path));
    };
    let mut parts = GgufParts::default();
    for sibling in &siblings {
        if !sibling.is_file() {
            return Err(EstimateError::Missing {
                path: sibling.clone(),
                needed_by: format!(
                    "the model has {} files, and {} is one of them",
                    siblings.len(),
                    path.display()
                ),
            });
        }
        let count = parts.add(open_file(sibling)?, Pieces::AnyPart).map_err(inside(sibling))?;
        if count != siblings.len() as u64 {
            let reason =
                format!("it says that the model has {count} files, its name that it has {}", siblings.len());
            return Err(inside(sibling)(EstimateError::Corrupt { offset: 0, reason }));
        }
    }
    parts.finish().map_err(inside(path))
}

/// All files of a split model, in order, if the name is one's: `NAME-00002-of-00003.gguf`.
fn siblings(path: &Path) -> Option<Vec<PathBuf>> {
    let name = path.file_name()?.to_str()?.strip_suffix(".gguf")?;
    let (rest, count) = name.rsplit_once("-of-")?;
    let (name, index) = rest.rsplit_once('-')?;
    let is_number = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(index) || !is_number(count) {
        return None;
    }
    let all: u32 = count.parse().ok()?;
    Some(
        (1..=all.max(1))
            .map(|index| path.with_file_name(format!("{name}-{index:05}-of-{count}.gguf")))
            .collect(),
    )
}

fn of_folder(folder: &Path) -> Result<ModelHeader, EstimateError> {
    let index = folder.join("model.safetensors.index.json");
    if index.is_file() {
        return of_index(&index);
    }
    let entries =
        fs::read_dir(folder).map_err(|source| EstimateError::Io { path: folder.to_owned(), source })?;
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"))
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(EstimateError::Missing {
            path: folder.join("*.safetensors"),
            needed_by: "a folder has to hold a model in safetensors files; give a GGUF file by its own path"
                .to_owned(),
        });
    }
    of_safetensors(folder, &files)
}

fn of_index(index: &Path) -> Result<ModelHeader, EstimateError> {
    let text = read_text(index, MAX_INDEX_BYTES)?;
    let corrupt = |reason: String| inside(index)(EstimateError::Corrupt { offset: 0, reason });
    let document: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| corrupt(format!("it is no JSON: {error}")))?;
    let map = document.get("weight_map").and_then(serde_json::Value::as_object);
    let map = map.ok_or_else(|| corrupt("expected an object \"weight_map\"".to_owned()))?;
    let names: BTreeSet<&str> = map.values().filter_map(serde_json::Value::as_str).collect();
    let folder = index.parent().unwrap_or(Path::new(""));
    let mut files = Vec::new();
    for name in names {
        // A name is one of a file beside the list: it leads nowhere else.
        if name.contains(['/', '\\', '\0']) || name.starts_with('.') {
            return Err(corrupt(format!("{name:?} is no name of a file beside it")));
        }
        let path = folder.join(name);
        if !path.is_file() {
            return Err(EstimateError::Missing { path, needed_by: format!("{} names it", index.display()) });
        }
        files.push(path);
    }
    of_safetensors(folder, &files)
}

fn of_safetensors(folder: &Path, files: &[PathBuf]) -> Result<ModelHeader, EstimateError> {
    let mut tables = Vec::new();
    for file in files {
        tables.push(safetensors::read(open_file(file)?).map_err(inside(file))?);
    }
    let config = folder.join("config.json");
    let text = if config.is_file() { Some(read_text(&config, MAX_CONFIG_BYTES)?) } else { None };
    ModelHeader::of_tables(&tables, text.as_deref())
        .map_err(inside(files.first().map_or(folder, PathBuf::as_path)))
}

fn read_text(path: &Path, limit: u64) -> Result<String, EstimateError> {
    let mut text = String::new();
    open_file(path)?
        .take(limit)
        .read_to_string(&mut text)
        .map_err(|source| EstimateError::Io { path: path.to_owned(), source })?;
    Ok(text)
}
