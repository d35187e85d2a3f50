//! Logs as files in a folder, one for each; a turn is a lock of the file (`flock`), which the system ends with the process.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::{Kind, Log, LogName, Storage, StorageError, Tail, Turn};

/// See the module documentation. A log is `<folder>/<kind>/<percent-encoded name>.journal`.
#[derive(Debug, Clone)]
pub struct Files {
    folder: PathBuf,
}

/// What a file's name can hold everywhere, as the TypeScript backend has it.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');
const ENDING: &str = ".journal";
/// Bytes that file systems give a name.
const LONGEST_FILE_NAME: usize = 255;

impl Files {
    /// In this folder, which is made when something is kept.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Where a log lies.
    ///
    /// # Errors
    /// [`StorageError::Name`].
    pub fn path(&self, LogName { kind, name }: &LogName) -> Result<PathBuf, StorageError> {
        let file = format!("{}{ENDING}", utf8_percent_encode(name, ENCODED));
        if file.len() > LONGEST_FILE_NAME {
            let problem = format!(
                "the name of the {kind} is too long for a file when all but ASCII letters and digits take three bytes each: {} of {LONGEST_FILE_NAME}",
                file.len()
            );
            return Err(StorageError::Name { problem });
        }
        Ok(self.folder.join(kind.plural()).join(file))
    }
}

impl Storage for Files {
    fn log(&self, name: &LogName) -> Result<Box<dyn Log>, StorageError> {
        Ok(Box::new(FileLog { path: self.path(name)?, open: None }))
    }

    fn names(&self, kind: Kind) -> Result<Vec<Arc<str>>, StorageError> {
        let folder = self.folder.join(kind.plural());
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("cannot list", &folder)(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed("cannot list", &folder))?;
            let file = entry.file_name();
            let Some(name) = file.to_str().and_then(|file| file.strip_suffix(ENDING)) else { continue };
            // One that was made and not written yet is not there.
            if entry.metadata().is_ok_and(|metadata| metadata.len() > 0) {
                names.push(percent_decode_str(name).decode_utf8_lossy().into());
            }
        }
        names.sort();
        Ok(names)
    }
}

fn failed(what: &'static str, path: &Path) -> impl Fn(io::Error) -> StorageError {
    let path = path.to_owned();
    move |source| StorageError::File { what, path: path.clone(), source }
}

#[derive(Debug)]
struct FileLog {
    path: PathBuf,
    /// `None` where it has to be read from the beginning, or is not there.
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// What was read, in bytes; ends with a line.
    read: u64,
}

impl Log for FileLog {
    fn turn(&mut self) -> Result<(Tail, Box<dyn Turn + '_>), StorageError> {
        let before = self.open.take();
        let (mut open, is_whole) = match before {
            Some(open) if locked(&open.file, &self.path)? => (open, false),
            _ => match locked_anew(&self.path)? {
                Some(file) => (Open { file, read: 0 }, true),
                None => {
                    return Ok((
                        Tail { is_whole: true, bytes: Vec::new() },
                        Box::new(FileTurn { log: self }),
                    ));
                }
            },
        };
        // From here on, leaving early closes the file, and with it ends the lock.
        refuse_where_taken(&self.path)?;
        let mut bytes = Vec::new();
        let read = open.file.seek(SeekFrom::Start(open.read)).and_then(|_| open.file.read_to_end(&mut bytes));
        read.map_err(failed("cannot read", &self.path))?;
        bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
        open.read += bytes.len() as u64;
        self.open = Some(open);
        Ok((Tail { is_whole, bytes }, Box::new(FileTurn { log: self })))
    }
}

/// Waits for the lock of a file that was opened before; whether it is still the one at that place. If not, the lock has ended.
fn locked(file: &File, path: &Path) -> Result<bool, StorageError> {
    file.lock().map_err(failed("cannot lock", path))?;
    let ours = file.metadata().map_err(failed("cannot read", path))?;
    let there = match fs::metadata(path) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed("cannot read", path)(error)),
    };
    Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino()))
}

/// Opens a file and waits for its lock; `None` where there is none.
fn locked_anew(path: &Path) -> Result<Option<File>, StorageError> {
    loop {
        match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) if locked(&file, path)? => return Ok(Some(file)),
            // Replaced or removed while we waited.
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("cannot open", path)(error)),
        }
    }
}

/// The TypeScript backend, which has no locks that end with a process, leaves its number beside a journal that it has for itself.
fn refuse_where_taken(path: &Path) -> Result<(), StorageError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let Ok(pid) = fs::read_to_string(PathBuf::from(beside)) else {
        return Ok(());
    };
    match pid.trim().parse().ok().and_then(rustix::process::Pid::from_raw) {
        Some(pid) if rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH) => {
            Err(StorageError::Taken { path: path.to_owned(), pid: pid.as_raw_nonzero().get().unsigned_abs() })
        }
        _ => Ok(()),
    }
}

struct FileTurn<'a> {
    log: &'a mut FileLog,
}

impl FileTurn<'_> {
    /// Creates the log.
    fn create(&self) -> Result<Open, StorageError> {
        let path = &self.log.path;
        let folder = folder(path);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed("cannot create", folder))?;
        refuse_where_taken(path)?;
        let made =
            OpenOptions::new().read(true).write(true).create(true).mode(0o600).truncate(false).open(path);
        let file = made.map_err(failed("cannot create", path))?;
        let is_ours =
            locked(&file, path)? && file.metadata().map_err(failed("cannot read", path))?.len() == 0;
        is_ours.then_some(Open { file, read: 0 }).ok_or(StorageError::Overtaken)
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

/// That a file is there outlives a loss of power only after this.
fn sync_folder(path: &Path) -> Result<(), StorageError> {
    let folder = folder(path);
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("cannot write to", folder))
}

fn write(Open { file, read }: &mut Open, lines: &[u8]) -> io::Result<()> {
    // Cuts what was torn.
    file.set_len(*read)?;
    file.seek(SeekFrom::Start(*read))?;
    file.write_all(lines)?;
    file.sync_data()?;
    *read += lines.len() as u64;
    Ok(())
}

impl Turn for FileTurn<'_> {
    fn append(&mut self, lines: &[u8]) -> Result<(), StorageError> {
        let before = self.log.open.take();
        let is_new = before.is_none();
        let mut open = match before {
            Some(open) => open,
            None => self.create()?,
        };
        if let Err(error) = write(&mut open, lines) {
            // If this fails as well, what was written of a line has no end; of whole lines, nobody was told that they are kept.
            let _ = open.file.set_len(open.read);
            return Err(failed("cannot append to", &self.log.path)(error));
        }
        if is_new {
            sync_folder(&self.log.path)?;
        }
        self.log.open = Some(open);
        Ok(())
    }

    fn replace(&mut self, lines: &[u8]) -> Result<(), StorageError> {
        let path = &self.log.path;
        let beside = path.with_extension("journal.new");
        let made =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&beside);
        let mut open = Open { file: made.map_err(failed("cannot create", &beside))?, read: 0 };
        // Locked before it is in place, so that nobody appends to it in our turn.
        open.file.lock().map_err(failed("cannot lock", &beside))?;
        write(&mut open, lines).map_err(failed("cannot write", &beside))?;
        fs::rename(&beside, path).map_err(failed("cannot replace", path))?;
        sync_folder(path)?;
        self.log.open = Some(open);
        Ok(())
    }

    fn remove(&mut self) -> Result<(), StorageError> {
        let path = &self.log.path;
        if self.log.open.take().is_some() {
            fs::remove_file(path).map_err(failed("cannot remove", path))?;
            sync_folder(path)?;
        }
        Ok(())
    }
}

impl Drop for FileTurn<'_> {
    fn drop(&mut self) {
        // A lock that does not end by itself ends with its file.
        if self.log.open.as_ref().is_some_and(|open| open.file.unlock().is_err()) {
            self.log.open = None;
        }
    }
}
