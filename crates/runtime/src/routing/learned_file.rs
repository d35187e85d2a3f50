//! What `uat router train` wrote, as a configuration names it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use llm_router::learned::Learned;

/// More bytes are no such file: one for a hundred models has some ten million.
const MOST_BYTES: u64 = 256 << 20;

/// A file that was read, or could not be: the decision goes on without it then.
#[derive(Debug)]
pub(crate) struct LearnedFile {
    path: PathBuf,
    /// As the file was: one that is still so is not read again, nor complained of.
    seen: Option<(SystemTime, u64)>,
    learned: Option<Arc<Learned>>,
}

impl LearnedFile {
    /// Reads the file, or goes on with what was read before. One that cannot be used is said so once, and priors are used.
    pub(crate) fn open(path: &Path, former: Option<&Arc<Self>>, models: &[&str]) -> Arc<Self> {
        let seen = fs::metadata(path).and_then(|data| Ok((data.modified()?, data.len()))).ok();
        if let Some(former) = former.filter(|former| former.path == path && former.seen == seen) {
            return Arc::clone(former);
        }
        let learned = match read(path, seen.map_or(0, |(_, bytes)| bytes)) {
            Ok(learned) => {
                told(path, &learned, models);
                Some(Arc::new(learned))
            }
            Err(reason) => {
                tracing::warn!(
                    file = %path.display(), %reason,
                    "routing.learned_file cannot be used: the quality of the configuration and feedback decide"
                );
                None
            }
        };
        Arc::new(Self { path: path.to_owned(), seen, learned })
    }

    pub(crate) fn learned(&self) -> Option<&Arc<Learned>> {
        self.learned.as_ref()
    }
}

fn read(path: &Path, bytes: u64) -> Result<Learned, String> {
    if bytes > MOST_BYTES {
        return Err(format!("it has {bytes} bytes, and such a file has at most {MOST_BYTES}"));
    }
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    Learned::from_bytes(&bytes).map_err(|error| error.to_string())
}

fn told(path: &Path, learned: &Learned, models: &[&str]) {
    if !learned.has_signal() {
        tracing::info!(file = %path.display(), "nothing was learned that helps to choose: priors are used");
    } else if !learned.models().iter().any(|model| models.contains(&&**model)) {
        tracing::warn!(
            file = %path.display(), learned = ?learned.models(),
            "routing.learned_file speaks of none of the configured models: name the table's columns as the models"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_used_leaves_the_priors_and_is_looked_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("learned.bin");
        let missing = LearnedFile::open(&path, None, &[]);
        assert!(missing.learned().is_none());
        assert!(Arc::ptr_eq(&missing, &LearnedFile::open(&path, Some(&missing), &[])));
        fs::write(&path, "UATLEARN and more").unwrap();
        let damaged = LearnedFile::open(&path, Some(&missing), &[]);
        assert!(damaged.learned().is_none() && !Arc::ptr_eq(&missing, &damaged));
        let nothing = Learned::nothing(vec!["a".to_owned()]);
        fs::write(&path, nothing.to_bytes()).unwrap();
        assert_eq!(LearnedFile::open(&path, Some(&damaged), &[]).learned(), Some(&Arc::new(nothing)));
    }
}
