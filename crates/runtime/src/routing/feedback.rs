//! Judgements of answers: what is learnt of them, and where they are kept.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use access::LedgerError;
use llm_router::{Judgement, Judgements};
use parking_lot::RwLock;
use tokio::sync::Mutex;

use crate::blocking;
use crate::errors::RuntimeError;

/// A file of more bytes is put aside, in place of the one before: some 30,000 judgements are kept at least.
const MOST_BYTES: u64 = 64 << 20;

/// What is learnt of how good answers are; it outlives configurations.
#[derive(Debug, Default)]
pub(crate) struct Feedback {
    judgements: RwLock<Judgements>,
    /// Held while a judgement is written.
    file: Mutex<Option<PathBuf>>,
    is_kept: AtomicBool,
}

impl Feedback {
    /// Goes on with what the file says, and keeps there what comes. A file that is not there yet is empty.
    pub(crate) async fn keep_in(&self, path: PathBuf) -> Result<(), RuntimeError> {
        let mut file = self.file.lock().await;
        if file.as_ref() == Some(&path) {
            return Ok(());
        }
        let from = path.clone();
        let found = blocking(move || read(&from)).await?.map_err(|error| storage(&path, &error))?;
        let mut judgements = Judgements::default();
        for judgement in &found {
            judgements.take(judgement);
        }
        *self.judgements.write() = judgements;
        self.is_kept.store(true, Ordering::Release);
        *file = Some(path);
        Ok(())
    }

    /// Whether judgements are kept for a later training, which needs to know what was asked.
    pub(crate) fn is_kept(&self) -> bool {
        self.is_kept.load(Ordering::Acquire)
    }

    /// Takes a judgement in; when it returns, it is on the disk if it is kept at all.
    pub(crate) async fn take(&self, judgement: Judgement) -> Result<(), RuntimeError> {
        let file = self.file.lock().await;
        let judgement = Arc::new(judgement);
        if let Some(path) = file.clone() {
            let written = Arc::clone(&judgement);
            let to = path.clone();
            blocking(move || append(&to, &written)).await?.map_err(|error| storage(&path, &error))?;
        }
        self.judgements.write().take(&judgement);
        Ok(())
    }

    /// What is learnt so far.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Judgements) -> T) -> T {
        look(&self.judgements.read())
    }
}

/// Where a full file is put aside.
fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".old");
    name.into()
}

/// The judgements that are kept at a place, the oldest first. A line that was torn costs itself only, and that is said.
///
/// # Errors
/// It is there and cannot be read.
pub fn read(path: &Path) -> io::Result<Vec<Judgement>> {
    let mut found = Vec::new();
    for path in [aside(path), path.to_owned()] {
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let mut torn = 0u64;
        for line in BufReader::new(file).split(b'\n') {
            let line = line?;
            match serde_json::from_slice::<Judgement>(&line) {
                Ok(judgement) if (0.0..=1.0).contains(&judgement.score) => found.push(judgement),
                _ if line.is_empty() => {}
                _ => torn += 1,
            }
        }
        if torn > 0 {
            tracing::warn!(file = %path.display(), lines = torn, "lines of feedback cannot be read and are left out");
        }
    }
    Ok(found)
}

fn append(path: &Path, judgement: &Judgement) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    // A process that was killed may have left half a line, and this one must not be lost with it.
    let mut line = b"\n".to_vec();
    serde_json::to_writer(&mut line, judgement)?;
    line.push(b'\n');
    let open = || OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    let mut file = open()?;
    if file.metadata()?.len() > MOST_BYTES {
        fs::rename(path, aside(path))?;
        file = open()?;
    }
    file.write_all(&line)?;
    file.sync_data()
}

fn storage(path: &Path, error: &io::Error) -> RuntimeError {
    LedgerError::Storage { reason: format!("the feedback in {}: {error}", path.display()) }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judgement(score: f64) -> Judgement {
        Judgement { at_ms: 1, model: "m".into(), score, expected: None, features: None }
    }

    #[tokio::test]
    async fn what_was_taken_in_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/feedback.jsonl");
        let feedback = Feedback::default();
        feedback.take(judgement(0.0)).await.unwrap();
        feedback.keep_in(path.clone()).await.unwrap();
        for score in [1.0, 0.5] {
            feedback.take(judgement(score)).await.unwrap();
        }
        let again = Feedback::default();
        again.keep_in(path.clone()).await.unwrap();
        assert_eq!(again.read(|known| known.samples("m")), 2);
        assert_eq!(read(&path).unwrap(), [judgement(1.0), judgement(0.5)]);
    }

    #[tokio::test]
    async fn half_a_line_costs_itself_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("feedback.jsonl");
        append(&path, &judgement(1.0)).unwrap();
        let whole = fs::read(&path).unwrap();
        fs::write(
            &path,
            [&whole[..], &whole[..20], b"\xff\n{\"at_ms\":1,\"model\":\"m\",\"score\":7}\n{"].concat(),
        )
        .unwrap();
        append(&path, &judgement(0.0)).unwrap();
        assert_eq!(read(&path).unwrap(), [judgement(1.0), judgement(0.0)]);
    }

    #[tokio::test]
    async fn what_cannot_be_kept_is_not_taken_in() {
        let folder = tempfile::tempdir().unwrap();
        let feedback = Feedback::default();
        let path = folder.path().join("feedback.jsonl");
        feedback.keep_in(path.clone()).await.unwrap();
        fs::create_dir(&path).unwrap();
        let error = feedback.take(judgement(1.0)).await.unwrap_err();
        assert_eq!(error.code(), "UAT_STORAGE");
        assert_eq!(feedback.read(|known| known.samples("m")), 0);
    }

    #[test]
    fn a_full_file_is_put_aside_and_still_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("feedback.jsonl");
        append(&path, &judgement(1.0)).unwrap();
        File::options().write(true).open(&path).unwrap().set_len(MOST_BYTES + 1).unwrap();
        append(&path, &judgement(0.5)).unwrap();
        assert!(fs::metadata(&path).unwrap().len() < 1_000);
        let first = b"\n{\"at_ms\":1,\"model\":\"m\",\"score\":1.0}\n";
        assert!(fs::read(aside(&path)).unwrap().starts_with(first));
        fs::write(aside(&path), first).unwrap();
        assert_eq!(read(&path).unwrap(), [judgement(1.0), judgement(0.5)]);
    }
}
