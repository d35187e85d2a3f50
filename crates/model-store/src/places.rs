//! Where model files lie: our own folder, and the caches of other programs that may hold the same file.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::{CatalogueEntry, StoreError};

/// The folders of one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places {
    /// Written to, and searched first: what lies here was verified when it was pulled.
    pub(crate) own: PathBuf,
    /// Only read, in this order.
    pub(crate) others: Vec<PathBuf>,
}

impl Places {
    /// Ours is `UAT_MODELS`, else `$XDG_CACHE_HOME/uat/models`, else `~/.cache/uat/models`. Read beside it:
    /// `LLAMA_CACHE`, `HF_HUB_CACHE`, `$HF_HOME/hub`, and the defaults that `UAT_MODELS` put aside. An empty
    /// variable counts as unset, and so does a relative `XDG_CACHE_HOME`, as its specification demands.
    pub(crate) fn from_env(env: &dyn Fn(&str) -> Option<OsString>) -> Result<Self, StoreError> {
        let folder = |name: &str| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let xdg =
            folder("XDG_CACHE_HOME").filter(|path| path.is_absolute()).map(|path| path.join("uat/models"));
        let home = folder("HOME").map(|path| path.join(".cache/uat/models"));

        let mut ours = [folder("UAT_MODELS"), xdg, home].into_iter().flatten();
        let own = absolute(ours.next().ok_or(StoreError::NoFolder)?)?;
        let borrowed =
            [folder("LLAMA_CACHE"), folder("HF_HUB_CACHE"), folder("HF_HOME").map(|path| path.join("hub"))];
        let mut others: Vec<PathBuf> = Vec::new();
        for path in borrowed.into_iter().flatten().chain(ours) {
            let path = absolute(path)?;
            if path != own && !others.contains(&path) {
                others.push(path);
            }
        }
        Ok(Self { own, others })
    }

    /// Files with the entry's exact name and size, best place first. The size is all that is checked here: it
    /// costs nothing, and catches what a crash or a full disk leaves behind.
    pub(crate) fn candidates(&self, entry: &CatalogueEntry) -> Vec<PathBuf> {
        let own = std::iter::once(self.own.join(entry.file_name));
        let others = self.others.iter().flat_map(|folder| {
            let mut paths = vec![folder.join(entry.file_name)];
            paths.extend(hub_snapshots(folder).into_iter().map(|snapshot| snapshot.join(entry.file_name)));
            paths
        });
        own.chain(others).filter(|path| has_size(path, entry.size)).collect()
    }

    /// Every folder that a search looks into.
    pub(crate) fn all(&self) -> Vec<PathBuf> {
        std::iter::once(&self.own).chain(&self.others).cloned().collect()
    }
}

/// The snapshot folders of a Hugging Face hub cache: `models--ORG--REPO/snapshots/REVISION`. Only files at the
/// top of a snapshot are looked at, where single-file models lie.
fn hub_snapshots(hub: &Path) -> Vec<PathBuf> {
    let mut snapshots = Vec::new();
    for repository in subfolders(hub) {
        if repository.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"models--")) {
            snapshots.extend(subfolders(&repository.join("snapshots")));
        }
    }
    snapshots.sort();
    snapshots
}

/// A folder that does not exist or cannot be read holds nothing for us: it belongs to another program.
fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// Whether `path` is a file (or a link to one, as in the hub's snapshots) of exactly `size` bytes.
pub(crate) fn has_size(path: &Path, size: u64) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() == size)
}

fn absolute(path: PathBuf) -> Result<PathBuf, StoreError> {
    std::path::absolute(&path).map_err(StoreError::io("make absolute", &path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(vars: &[(&str, &str)]) -> Result<Places, StoreError> {
        Places::from_env(&|name| {
            vars.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        })
    }

    fn check(vars: &[(&str, &str)], own: &str, others: &[&str]) {
        let found = places(vars).unwrap();
        assert_eq!(found.own, Path::new(own), "{vars:?}");
        assert_eq!(found.others, others.iter().map(PathBuf::from).collect::<Vec<_>>(), "{vars:?}");
    }

    #[test]
    fn the_environment_decides_where_models_lie() {
        check(&[("HOME", "/h")], "/h/.cache/uat/models", &[]);
        check(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")], "/x/uat/models", &["/h/.cache/uat/models"]);
        check(&[("HOME", "/h"), ("UAT_MODELS", "/m")], "/m", &["/h/.cache/uat/models"]);
        check(
            &[("UAT_MODELS", "/m"), ("LLAMA_CACHE", "/l"), ("HF_HUB_CACHE", "/hub"), ("HF_HOME", "/hf")],
            "/m",
            &["/l", "/hub", "/hf/hub"],
        );
    }

    #[test]
    fn an_empty_variable_and_a_relative_cache_home_count_as_unset() {
        check(&[("HOME", "/h"), ("UAT_MODELS", ""), ("XDG_CACHE_HOME", "x")], "/h/.cache/uat/models", &[]);
    }

    #[test]
    fn the_same_folder_is_searched_once() {
        check(&[("UAT_MODELS", "/m"), ("LLAMA_CACHE", "/m"), ("HF_HUB_CACHE", "/m")], "/m", &[]);
    }

    #[test]
    fn an_environment_without_a_home_says_what_to_set() {
        let error = places(&[]).unwrap_err();
        assert_eq!(error.code(), "UAT_STORAGE");
        assert!(error.to_string().contains("UAT_MODELS"), "{error}");
    }
}
