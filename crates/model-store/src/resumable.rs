//! A download that goes on where an earlier one stopped.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::verify::{BUFFER_BYTES, Content, Job, Partial, commit, hex, remove_if_there};
use crate::{Phase, StoreError};

/// `FILE.incomplete`, with the tag of the content that it is a part of beside it in `FILE.incomplete.tag`. Unlike a
/// [`Partial`] it stays when it is dropped. The caller holds the model's lock.
pub(crate) struct Resumable {
    file: File,
    path: PathBuf,
    tag_path: PathBuf,
    tag: Option<String>,
    length: u64,
    hasher: Sha256,
    /// Bytes at the front that an earlier process wrote: a power cut may have damaged them.
    inherited: u64,
}

impl Resumable {
    pub(crate) fn tag_path(target: &Path) -> PathBuf {
        let mut path = Partial::path_for(target).into_os_string();
        path.push(".tag");
        path.into()
    }

    /// Opens what is there and hashes it. Without a tag it is unknown what it is a part of, and it starts anew.
    pub(crate) fn open(target: &Path, job: &mut Job<'_>) -> Result<Self, StoreError> {
        let path = Partial::path_for(target);
        let mut options = File::options();
        let file = options.create(true).truncate(false).read(true).write(true).open(&path);
        let file = file.map_err(StoreError::io("create", &path))?;
        let tag_path = Self::tag_path(target);
        let tag = fs::read_to_string(&tag_path).ok();
        let mut resumable =
            Self { file, path, tag_path, tag, length: 0, hasher: Sha256::new(), inherited: 0 };
        match resumable.tag {
            Some(_) => resumable.read_what_is_there(job)?,
            None => resumable.empty()?,
        }
        Ok(resumable)
    }

    fn read_what_is_there(&mut self, job: &mut Job<'_>) -> Result<(), StoreError> {
        let total = self.file.metadata().map_err(StoreError::io("read", &self.path))?.len();
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            job.check_cancel()?;
            let count = match self.file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(StoreError::io("read", &self.path)(error)),
            };
            self.hasher.update(&buffer[..count]);
            self.length += count as u64;
            job.report(Phase::Verifying, self.length, Some(total));
        }
        self.inherited = self.length;
        Ok(())
    }

    /// Bytes that are there.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Whether some of it was written by an earlier process.
    pub(crate) fn is_inherited(&self) -> bool {
        self.inherited > 0
    }

    /// Whether it is a part of the content with this tag.
    pub(crate) fn is_of(&self, tag: &str) -> bool {
        self.tag.as_deref() == Some(tag)
    }

    /// Empties it; what is written from now on is of the content with this tag.
    pub(crate) fn restart(&mut self, tag: &str) -> Result<(), StoreError> {
        self.empty()?;
        fs::write(&self.tag_path, tag).map_err(StoreError::io("write", &self.tag_path))?;
        self.tag = Some(tag.to_owned());
        Ok(())
    }

    /// Throws away what is there.
    pub(crate) fn empty(&mut self) -> Result<(), StoreError> {
        self.file
            .set_len(0)
            .and_then(|()| self.file.rewind())
            .map_err(StoreError::io("empty", &self.path))?;
        (self.length, self.inherited) = (0, 0);
        self.hasher = Sha256::new();
        Ok(())
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all(bytes).map_err(StoreError::io("write", &self.path))?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// What is there now.
    pub(crate) fn content(&self) -> Content {
        Content { size: self.length, sha256: hex(&self.hasher.clone().finalize()) }
    }

    /// Removes it: nothing of it is of use.
    pub(crate) fn discard(self) -> Result<(), StoreError> {
        remove_if_there(&self.tag_path)?;
        remove_if_there(&self.path)?;
        Ok(())
    }

    /// Makes the content durable, then visible under its name.
    pub(crate) fn commit(self, target: &Path) -> Result<(), StoreError> {
        commit(&self.file, &self.path, target)?;
        remove_if_there(&self.tag_path)?;
        Ok(())
    }
}
