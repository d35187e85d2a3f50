//! One pull of a model at a time, across processes: `flock` on a file that is never deleted.

use std::fs::{File, TryLockError};
use std::path::Path;

use crate::verify::{Job, POLL};
use crate::{Phase, StoreError};

/// Held until dropped; the system releases it when the process dies, so a crash blocks nobody.
pub(crate) struct ModelLock {
    _file: File,
}

/// The lock file stays when the lock is released: deleting it would let a third process lock a new file of the
/// same name while a second still holds the deleted one.
fn open(folder: &Path, name: &str) -> Result<File, StoreError> {
    let path = folder.join(format!(".{name}.lock"));
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(StoreError::io("create the lock file", &path))
}

/// Takes the lock of the job's model, waiting for another holder.
pub(crate) fn acquire(folder: &Path, job: &mut Job<'_>) -> Result<ModelLock, StoreError> {
    let file = open(folder, job.name)?;
    loop {
        job.check_cancel()?;
        match file.try_lock() {
            Ok(()) => return Ok(ModelLock { _file: file }),
            Err(TryLockError::WouldBlock) => {
                job.report(Phase::Waiting, 0, None);
                job.pause(POLL)?;
            }
            Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", folder)(error)),
        }
    }
}

/// Takes the lock or answers [`StoreError::Busy`] at once.
pub(crate) fn try_acquire(folder: &Path, name: &str) -> Result<ModelLock, StoreError> {
    let file = open(folder, name)?;
    match file.try_lock() {
        Ok(()) => Ok(ModelLock { _file: file }),
        Err(TryLockError::WouldBlock) => Err(StoreError::Busy { name: name.to_owned() }),
        Err(TryLockError::Error(error)) => Err(StoreError::io("lock", folder)(error)),
    }
}
