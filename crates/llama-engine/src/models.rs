//! The models of this process: each is loaded once, at its first use, however many ask for it at the same time.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use llama_cpp_2::llama_backend::LlamaBackend;
use llm_wire::openai::ModelEntry;
use model_store::{ModelState, ModelStore, StoreError};
use parking_lot::Mutex;
use tokio::sync::mpsc::Receiver;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::EngineError;
use crate::batcher::{Event, Job, Output};
use crate::request::ChatJob;
use crate::stats::{ModelSnapshot, Stats};
use crate::worker::{self, Load, Loaded, Options};

/// An answer that has begun.
#[derive(Debug)]
pub struct Answer {
    /// What the model writes. Dropping it cancels the request.
    pub events: Receiver<Event>,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
}

/// Every model that was asked for.
#[derive(Debug)]
pub struct Models {
    backend: Arc<LlamaBackend>,
    options: Options,
    stats: Arc<Stats>,
    /// By file, so that a model's name and its path are one model.
    entries: Mutex<HashMap<PathBuf, Arc<Entry>>>,
}

#[derive(Debug)]
struct Entry {
    name: String,
    load: watch::Receiver<Load>,
    inbox: SyncSender<Job>,
    places: Arc<Semaphore>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Models {
    /// Loads nothing yet.
    pub fn new(backend: LlamaBackend, options: Options, stats: Arc<Stats>) -> Self {
        Self { backend: Arc::new(backend), options, stats, entries: Mutex::default() }
    }

    /// Queues a request, loading its model first where needed. `now` is for templates that ask for the date.
    ///
    /// # Errors
    /// Everything that keeps an answer from beginning; see [`EngineError`].
    pub async fn answer(&self, job: ChatJob, now: jiff::Timestamp) -> Result<Answer, EngineError> {
        let path = resolve(&job.model)?;
        let entry = self.entry(&job.model, path)?;
        let place = self.place(&entry)?;
        let model = entry.loaded().await?.model;
        let ChatJob { messages, sampling, stops, max_tokens, .. } = job;
        // A long prompt takes a while; neither the sockets nor the running streams wait for it.
        let prepared = tokio::task::spawn_blocking(move || {
            let prompt = model.tokenize(&model.template()?.render(&messages, None, now)?);
            let context = model.context_tokens();
            if prompt.len() < context {
                Ok(prompt)
            } else {
                Err(EngineError::ContextLengthExceeded { prompt: prompt.len(), context })
            }
        });
        let prompt =
            prepared.await.map_err(|error| EngineError::Internal { message: error.to_string() })??;
        if prompt.is_empty() {
            return Err(EngineError::invalid(
                "messages",
                "messages: expected some text, but the prompt is empty",
            ));
        }
        let prompt_tokens = prompt.len();
        let (output, events) = Output::channel()
            .ok_or_else(|| EngineError::Internal { message: "a fresh channel is full".to_owned() })?;
        let job = Job { prompt, max_tokens, sampling, stops, output, place: Some(place) };
        // As many jobs fit as there are places, so only a thread that has died refuses one.
        entry.inbox.try_send(job).map_err(|_| EngineError::Internal {
            message: "the model's thread has ended; the next request loads the model again".to_owned(),
        })?;
        Ok(Answer { events, prompt_tokens })
    }

    /// Names of the models in memory.
    pub fn names(&self) -> Vec<String> {
        self.loaded().into_iter().map(|model| model.name).collect()
    }

    /// The models in memory.
    pub fn loaded(&self) -> Vec<ModelSnapshot> {
        let entries = self.entries.lock();
        let snapshot = |entry: &Arc<Entry>| match &*entry.load.borrow() {
            Load::Ready(Loaded { model, took }) => Some(ModelSnapshot {
                name: entry.name.clone(),
                load_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                context_tokens: model.context_tokens(),
                bytes: model.bytes(),
            }),
            _ => None,
        };
        let mut models: Vec<_> = entries.values().filter_map(snapshot).collect();
        models.sort_by(|one, other| one.name.cmp(&other.name));
        models
    }

    /// The models that a request may name: those of the catalogue that are here, and those in memory.
    pub fn available(&self) -> Vec<ModelEntry> {
        let here = ModelStore::open().map(|store| store.list()).unwrap_or_default();
        let here = here.into_iter().filter(|model| matches!(model.state, ModelState::Present { .. }));
        let mut names: Vec<String> =
            here.map(|model| model.entry.name.to_owned()).chain(self.names()).collect();
        names.sort();
        names.dedup();
        let entry = |id| ModelEntry { id, created: 0, owned_by: "uat".to_owned() };
        names.into_iter().map(entry).collect()
    }

    /// Takes no more requests; returns when every running answer has ended or lost its reader. Blocks.
    pub fn finish(&self) {
        let entries: Vec<_> = self.entries.lock().drain().map(|(_, entry)| entry).collect();
        let threads: Vec<_> = entries.iter().filter_map(|entry| entry.thread.lock().take()).collect();
        drop(entries);
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a model's thread had panicked");
            }
        }
    }

    fn place(&self, entry: &Entry) -> Result<OwnedSemaphorePermit, EngineError> {
        Arc::clone(&entry.places)
            .try_acquire_owned()
            .map_err(|_| EngineError::Overloaded { waiting: self.options.lanes + self.options.queue })
    }

    fn entry(&self, name: &str, path: PathBuf) -> Result<Arc<Entry>, EngineError> {
        let mut entries = self.entries.lock();
        if let Some(entry) = entries.get(&path).filter(|entry| entry.is_usable()) {
            return Ok(Arc::clone(entry));
        }
        // Failed loads are not kept: their files may have been repaired or removed.
        entries.retain(|_, entry| entry.is_usable());
        let entry = Arc::new(self.spawn(name, path.clone())?);
        entries.insert(path, Arc::clone(&entry));
        Ok(entry)
    }

    fn spawn(&self, name: &str, path: PathBuf) -> Result<Entry, EngineError> {
        let places = self.options.lanes + self.options.queue;
        let (load_sender, load) = watch::channel(Load::Loading);
        let (inbox, jobs) = sync_channel(places);
        let (backend, options, stats) = (Arc::clone(&self.backend), self.options, Arc::clone(&self.stats));
        let thread = std::thread::Builder::new()
            .name("model".to_owned())
            .spawn(move || worker::run(&path, &backend, options, stats, &load_sender, &jobs))
            .map_err(|error| EngineError::Internal { message: format!("cannot start a thread: {error}") })?;
        let places = Arc::new(Semaphore::new(places));
        Ok(Entry { name: name.to_owned(), load, inbox, places, thread: Mutex::new(Some(thread)) })
    }
}

impl Entry {
    /// False once loading has failed or the thread has ended: the next request starts over.
    fn is_usable(&self) -> bool {
        self.load.has_changed().is_ok() && !matches!(*self.load.borrow(), Load::Failed(_))
    }

    async fn loaded(&self) -> Result<Loaded, EngineError> {
        let mut load = self.load.clone();
        let arrived = load.wait_for(|load| !matches!(load, Load::Loading)).await.map(|load| load.clone());
        match arrived {
            Ok(Load::Ready(loaded)) => Ok(loaded),
            Ok(Load::Failed(error)) => Err(error),
            Ok(Load::Loading) | Err(_) => Err(EngineError::Internal {
                message: "the model's thread ended while it loaded; the next request tries again".to_owned(),
            }),
        }
    }
}

/// The file of a model. A relative path would mean another file wherever the engine happened to be started.
fn resolve(name: &str) -> Result<PathBuf, EngineError> {
    let not_found = |message| EngineError::ModelNotFound { message };
    let is_path = name.contains('/');
    if is_path && !Path::new(name).is_absolute() {
        return Err(not_found(format!(
            "model \"{name}\" is a relative path: give the absolute path of the .gguf file, or a name of `uat models list`"
        )));
    }
    let path = ModelStore::open().and_then(|store| store.resolve(name)).map_err(|error| match error {
        StoreError::Unknown { .. } | StoreError::NotPulled { .. } | StoreError::NoSuchFile { .. } => {
            not_found(error.to_string())
        }
        error => EngineError::Storage { message: error.to_string() },
    })?;
    // One file under two names is loaded once.
    path.canonicalize()
        .map_err(|error| EngineError::Storage { message: format!("cannot read {}: {error}", path.display()) })
}
