//! The file of a journal: a header, then records. One process has it, by a lock that ends with the process.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::record::Record;
use crate::sessions::id::{hex, new_id};

/// What a journal begins with; the number is the version of the format.
const MAGIC: &[u8; 8] = b"UATJRNL1";

/// Random bytes after it, by which Redis knows what this journal has written.
const NAME_BYTES: usize = 16;

const HEADER: usize = MAGIC.len() + NAME_BYTES;

/// A file that this process has.
pub(crate) struct Disk {
    file: File,
    path: PathBuf,
    /// Where the last whole record ends.
    good: u64,
    /// Why nothing can be relied upon any more.
    broken: Option<String>,
}

/// A file and what was in it.
pub(crate) struct Opened {
    pub(crate) disk: Disk,
    /// Hex digits, the same for as long as the file lives.
    pub(crate) name: String,
    pub(crate) records: Vec<Record>,
}

impl Disk {
    /// A new file of these `purpose`s in the folder.
    pub(crate) fn create(folder: &Path, purpose: &str) -> io::Result<Opened> {
        let unique = new_id().map_err(io::Error::other)?;
        let path = folder.join(format!("{purpose}-{unique}.journal"));
        let file = OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(&path)?;
        file.try_lock()?;
        let opened = Self::take(file, path)?;
        File::open(folder)?.sync_all()?;
        opened.ok_or_else(|| io::Error::other("a new journal is not empty"))
    }

    /// Journals of the same purpose whose processes have ended.
    pub(crate) fn orphans(folder: &Path, purpose: &str) -> io::Result<Vec<Opened>> {
        let mut orphans = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if !name.starts_with(&format!("{purpose}-")) || !name.ends_with(".journal") {
                continue;
            }
            let file = match OpenOptions::new().read(true).append(true).open(&path) {
                Ok(file) => file,
                // Its process has ended well and deleted it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            // Locked: its process lives. Without a link: deleted between opening and locking.
            if file.try_lock().is_err() || file.metadata()?.nlink() == 0 {
                continue;
            }
            match Self::take(file, path.clone())? {
                Some(opened) => orphans.push(opened),
                None => {
                    tracing::warn!(path = %path.display(), "not a journal of sessions that this version knows; left alone");
                }
            }
        }
        Ok(orphans)
    }

    /// Makes the folder, for this user only.
    pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
    }

    /// Reads a file that is locked, and cuts off what is torn; `None` if it is of another version.
    fn take(mut file: File, path: PathBuf) -> io::Result<Option<Opened>> {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (name, records, good) = match bytes.split_at_checked(HEADER) {
            Some((header, body)) => {
                let Some(name) = header.strip_prefix(MAGIC) else {
                    return Ok(None);
                };
                let (records, good) = Record::decode_all(body);
                (hex(name), records, HEADER + good)
            }
            None => (String::new(), Vec::new(), 0),
        };
        if records.is_empty() {
            // Their numbers begin anew, and so must the name be a new one. Before that nothing was acknowledged.
            file.set_len(0)?;
            let random = new_id().map_err(io::Error::other)?;
            let name: Vec<u8> = random.bytes().take(NAME_BYTES).collect();
            file.write_all(&[&MAGIC[..], &name].concat())?;
            file.sync_all()?;
            let disk = Self { file, path, good: HEADER as u64, broken: None };
            return Ok(Some(Opened { disk, name: hex(&name), records }));
        }
        if good < bytes.len() {
            tracing::warn!(
                path = %path.display(), torn = bytes.len() - good, kept = records.len(),
                "the last write of a journal was not finished, and was never acknowledged"
            );
            file.set_len(good as u64)?;
            file.sync_all()?;
        }
        Ok(Some(Opened { disk: Self { file, path, good: good as u64, broken: None }, name, records }))
    }

    /// Appends records; when this returns they survive a loss of power.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(broken) = &self.broken {
            return Err(io::Error::other(broken.clone()));
        }
        if let Err(error) = self.file.write_all(bytes) {
            // No room: what was written of it must go, or the next record would follow a torn one.
            if let Err(error) = self.file.set_len(self.good) {
                self.broken = Some(format!("the journal could not be mended: {error}"));
            }
            return Err(error);
        }
        if let Err(error) = self.file.sync_data() {
            // The kernel may have dropped what it could not write, and will not say so again.
            self.broken = Some(format!("the journal could not be written to disk: {error}"));
            return Err(error);
        }
        self.good += bytes.len() as u64;
        Ok(())
    }

    /// Bytes of all records.
    pub(crate) fn bytes(&self) -> usize {
        usize::try_from(self.good).unwrap_or(usize::MAX).saturating_sub(HEADER)
    }

    /// Forgets all records.
    pub(crate) fn empty(&mut self) -> io::Result<()> {
        self.good = HEADER as u64;
        let emptied = self.file.set_len(self.good).and_then(|()| self.file.sync_data());
        self.broken =
            emptied.as_ref().err().map(|error| format!("the journal could not be emptied: {error}"));
        emptied
    }

    /// Deletes the file.
    pub(crate) fn remove(&self) -> io::Result<()> {
        std::fs::remove_file(&self.path)
    }
}
