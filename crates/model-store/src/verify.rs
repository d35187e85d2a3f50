//! Reading and writing a model file with its SHA-256 taken on the way.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest, Sha256};

use crate::{CatalogueEntry, Phase, Progress, StoreError};

/// Large enough that hashing and not system calls takes the time, small enough to notice a cancel at once.
const BUFFER_BYTES: usize = 1 << 20;

/// One running operation on one model: whom to tell, and whether to stop.
pub(crate) struct Job<'a> {
    pub(crate) entry: &'a CatalogueEntry,
    pub(crate) progress: &'a mut dyn FnMut(Progress),
    pub(crate) cancel: &'a AtomicBool,
}

impl Job<'_> {
    pub(crate) fn report(&mut self, phase: Phase, bytes: u64, total: Option<u64>) {
        (self.progress)(Progress { phase, bytes, total });
    }

    /// # Errors
    /// [`StoreError::Cancelled`] once the caller has raised the flag.
    pub(crate) fn check_cancel(&self) -> Result<(), StoreError> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(StoreError::Cancelled { name: self.entry.name.to_owned() });
        }
        Ok(())
    }

    /// Reads `path` and compares it with the catalogue.
    pub(crate) fn verify(&mut self, path: &Path) -> Result<(), StoreError> {
        let mut file = File::open(path).map_err(StoreError::io("open", path))?;
        self.hash(Phase::Verifying, &path.display().to_string(), path, &mut file, &mut |_| Ok(()))
    }

    /// Copies `from` into a partial file, verified; the caller commits it. `what` names the origin in errors.
    pub(crate) fn copy(
        &mut self,
        phase: Phase,
        what: &str,
        from: &mut dyn Read,
        partial: &mut Partial,
    ) -> Result<(), StoreError> {
        let Partial { file, path, .. } = partial;
        let target = path.clone();
        self.hash(phase, what, &target, from, &mut |bytes| {
            file.write_all(bytes).map_err(StoreError::io("write", &target))
        })
    }

    /// Streams `from` through the hash and `sink`. Never reads more than one buffer past the expected size, so
    /// that a hostile archive cannot fill the disk.
    fn hash(
        &mut self,
        phase: Phase,
        what: &str,
        path: &Path,
        from: &mut dyn Read,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let expected = self.entry.size;
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut hasher = Sha256::new();
        let mut read = 0u64;
        loop {
            self.check_cancel()?;
            let count = match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) if phase == Phase::Extracting => {
                    return Err(StoreError::Archive { archive: what.into(), reason: error.to_string() });
                }
                Err(error) => return Err(StoreError::io("read", path)(error)),
            };
            read += count as u64;
            if read > expected {
                return Err(self.corrupt(what, format!("{expected} bytes"), format!("more than {expected}")));
            }
            hasher.update(&buffer[..count]);
            sink(&buffer[..count])?;
            self.report(phase, read, Some(expected));
        }
        let got = hex(&hasher.finalize());
        if read != expected {
            return Err(self.corrupt(
                what,
                format!("{expected} bytes, sha256 {}", self.entry.sha256),
                format!("{read} bytes, sha256 {got}"),
            ));
        }
        if got != self.entry.sha256 {
            return Err(self.corrupt(what, format!("sha256 {}", self.entry.sha256), format!("sha256 {got}")));
        }
        Ok(())
    }

    fn corrupt(&self, what: &str, expected: String, got: String) -> StoreError {
        StoreError::Corrupt { what: what.to_owned(), expected, got }
    }
}

/// `FILE.incomplete`: becomes `FILE` when committed, and disappears when dropped before that.
pub(crate) struct Partial {
    file: File,
    path: PathBuf,
    committed: bool,
}

impl Partial {
    pub(crate) fn path_for(target: &Path) -> PathBuf {
        let mut path = target.as_os_str().to_owned();
        path.push(".incomplete");
        path.into()
    }

    /// Replaces what a crash may have left: the caller holds the model's lock.
    pub(crate) fn create(target: &Path) -> Result<Self, StoreError> {
        let path = Self::path_for(target);
        let file = File::create(&path).map_err(StoreError::io("create", &path))?;
        Ok(Self { file, path, committed: false })
    }

    /// Makes the content durable, then visible under its name: after a power cut the file is whole or absent.
    pub(crate) fn commit(mut self, target: &Path) -> Result<(), StoreError> {
        self.file.sync_all().map_err(StoreError::io("write", &self.path))?;
        std::fs::rename(&self.path, target)
            .map_err(StoreError::io("rename a finished download to", target))?;
        self.committed = true;
        if let Some(folder) = target.parent() {
            File::open(folder)
                .and_then(|folder| folder.sync_all())
                .map_err(StoreError::io("write", folder))?;
        }
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.committed {
            // A leftover is harmless: it is never taken for a model, and the next pull overwrites it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
