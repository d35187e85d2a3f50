//! Reading and writing a model file with its SHA-256 taken on the way.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::resumable::Resumable;
use crate::{Phase, Progress, StoreError};

/// Large enough that hashing and not system calls takes the time, small enough to notice a cancel at once.
pub(crate) const BUFFER_BYTES: usize = 1 << 20;
/// How often something that is waited for is looked after: smooth for a progress bar, and a cancel is felt as immediate.
pub(crate) const POLL: Duration = Duration::from_millis(50);

/// What a file has to be; what is absent may be anything.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Expected<'a> {
    /// In bytes.
    pub(crate) size: Option<u64>,
    /// Lower-case hexadecimal.
    pub(crate) sha256: Option<&'a str>,
}

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    /// In bytes.
    pub(crate) size: u64,
    /// Lower-case hexadecimal.
    pub(crate) sha256: String,
}

impl Content {
    /// # Errors
    /// [`StoreError::Corrupt`] with both sizes and hashes if this is something else.
    pub(crate) fn require(&self, what: &str, expected: Expected<'_>) -> Result<(), StoreError> {
        let size_differs = expected.size.is_some_and(|size| size != self.size);
        let hash_differs = expected.sha256.is_some_and(|sha256| sha256 != self.sha256);
        if !size_differs && !hash_differs {
            return Ok(());
        }
        let mut wanted = Vec::new();
        let mut got = Vec::new();
        if let Some(size) = expected.size.filter(|_| size_differs) {
            wanted.push(format!("{size} bytes"));
            got.push(format!("{} bytes", self.size));
        }
        if let Some(sha256) = expected.sha256 {
            wanted.push(format!("sha256 {sha256}"));
            got.push(format!("sha256 {}", self.sha256));
        }
        Err(StoreError::Corrupt { what: what.to_owned(), expected: wanted.join(", "), got: got.join(", ") })
    }
}

/// One running operation on one model: whom to tell, and whether to stop.
pub(crate) struct Job<'a> {
    pub(crate) name: &'a str,
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
            return Err(StoreError::Cancelled { name: self.name.to_owned() });
        }
        Ok(())
    }

    /// Waits, and hears a cancel meanwhile.
    pub(crate) fn pause(&self, pause: Duration) -> Result<(), StoreError> {
        let mut left = pause;
        while !left.is_zero() {
            self.check_cancel()?;
            let step = left.min(POLL);
            thread::sleep(step);
            left -= step;
        }
        self.check_cancel()
    }

    /// Reads `path` whole and compares it with what is expected.
    pub(crate) fn verify(&mut self, path: &Path, expected: Expected<'_>) -> Result<Content, StoreError> {
        let mut file = File::open(path).map_err(StoreError::io("open", path))?;
        let total = file.metadata().ok().map(|meta| meta.len());
        let what = path.display().to_string();
        self.hash(Phase::Verifying, &what, path, &mut file, expected, total, &mut |_| Ok(()))
    }

    /// Copies `from` into a partial file, verified; the caller commits it. `what` names the origin in errors.
    pub(crate) fn copy(
        &mut self,
        phase: Phase,
        what: &str,
        from: &mut dyn Read,
        expected: Expected<'_>,
        partial: &mut Partial,
    ) -> Result<Content, StoreError> {
        let Partial { file, path, .. } = partial;
        let target = path.clone();
        self.hash(phase, what, &target, from, expected, expected.size, &mut |bytes| {
            file.write_all(bytes).map_err(StoreError::io("write", &target))
        })
    }

    /// Streams `from` through the hash and `sink`. Never reads more than one buffer past the expected size, so
    /// that a hostile archive cannot fill the disk.
    #[expect(clippy::too_many_arguments, reason = "the two callers above are its only ones")]
    fn hash(
        &mut self,
        phase: Phase,
        what: &str,
        path: &Path,
        from: &mut dyn Read,
        expected: Expected<'_>,
        total: Option<u64>,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<Content, StoreError> {
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut hasher = Sha256::new();
        let mut size = 0u64;
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
            size += count as u64;
            refuse_beyond(expected.size, size, what)?;
            hasher.update(&buffer[..count]);
            sink(&buffer[..count])?;
            self.report(phase, size, total);
        }
        let content = Content { size, sha256: hex(&hasher.finalize()) };
        content.require(what, expected)?;
        Ok(content)
    }
}

/// An error once more has come than there should be.
pub(crate) fn refuse_beyond(expected: Option<u64>, size: u64, what: &str) -> Result<(), StoreError> {
    match expected {
        Some(expected) if size > expected => Err(StoreError::Corrupt {
            what: what.to_owned(),
            expected: format!("{expected} bytes"),
            got: format!("more than {expected}"),
        }),
        _ => Ok(()),
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
        // What a download left may be continued no more.
        remove_if_there(&Resumable::tag_path(target))?;
        let file = File::create(&path).map_err(StoreError::io("create", &path))?;
        Ok(Self { file, path, committed: false })
    }

    /// Makes the content durable, then visible under its name: after a power cut the file is whole or absent.
    pub(crate) fn commit(mut self, target: &Path) -> Result<(), StoreError> {
        commit(&self.file, &self.path, target)?;
        self.committed = true;
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

/// Makes the file `from` durable, then gives it the name `to`.
pub(crate) fn commit(file: &File, from: &Path, to: &Path) -> Result<(), StoreError> {
    file.sync_all().map_err(StoreError::io("write", from))?;
    std::fs::rename(from, to).map_err(StoreError::io("rename a finished file to", to))?;
    if let Some(folder) = to.parent() {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(StoreError::io("write", folder))?;
    }
    Ok(())
}

/// Bytes freed, 0 if there was no such file.
pub(crate) fn remove_if_there(path: &Path) -> Result<u64, StoreError> {
    let size = match std::fs::symlink_metadata(path) {
        Ok(meta) => meta.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(StoreError::io("read", path)(error)),
    };
    std::fs::remove_file(path).map_err(StoreError::io("remove", path))?;
    Ok(size)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
