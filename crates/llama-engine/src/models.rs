//! The models of this process: each is loaded once, at its first use, however many ask for it at the same time.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use llm_wire::openai::{EmbeddingInput, EmbeddingsRequest, ModelEntry};
use model_store::{ModelState, ModelStore, Purpose, StoreError};
use parking_lot::Mutex;
use tokio::sync::mpsc::Receiver;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use crate::EngineError;
use crate::batcher::{Event, Grammar, Job, Output};
use crate::llama::{self, Model};
use crate::memory::{self, DeviceMemory};
use crate::options::Options;
use crate::prepare::{Structure, count, prepare};
use crate::request::ChatJob;
use crate::sampler::Sampling;
use crate::stats::{ModelSnapshot, Stats};
use crate::token::Token;
use crate::tools::ToolCallReader;
use crate::worker::{self, EmbeddingJob, Load, Loaded, Shared, Work};

/// An answer that has begun.
#[derive(Debug)]
pub struct Answer {
    /// What the model writes, choice by choice. Dropping one cancels it.
    pub choices: Vec<Choice>,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
}

/// One of the answers to a request.
#[derive(Debug)]
pub struct Choice {
    /// What the model writes.
    pub events: Receiver<Event>,
    /// Finds calls of tools in it, where the request offers any.
    pub calls: Option<ToolCallReader>,
}

/// Vectors of texts.
#[derive(Debug)]
pub struct Embeddings {
    /// One per text, of length 1.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens of all texts.
    pub prompt_tokens: usize,
}

/// Every model that was asked for.
#[derive(Debug)]
pub struct Models {
    shared: Arc<Shared>,
    /// By file, so that a model's name and its path are one model.
    entries: Mutex<HashMap<PathBuf, Arc<Entry>>>,
    /// Held while room is made for a model, so that two do not count on the same memory.
    loading: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Entry {
    name: String,
    load: watch::Receiver<Load>,
    inbox: SyncSender<Work>,
    /// One for each request that runs or waits.
    places: Arc<Semaphore>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Bytes that the model takes, as projected.
    projected_bytes: u64,
    last_used: Mutex<Instant>,
    structure: Structure,
}

impl Models {
    /// Loads nothing yet.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, entries: Mutex::default(), loading: tokio::sync::Mutex::default() }
    }

    fn options(&self) -> Options {
        self.shared.options
    }

    fn stats(&self) -> &Stats {
        &self.shared.stats
    }

    /// Queues a request, loading its model first where needed. `now` is for templates that ask for the date.
    ///
    /// # Errors
    /// Everything that keeps an answer from beginning; see [`EngineError`].
    pub async fn answer(
        &self,
        job: ChatJob,
        deadline: Option<Instant>,
        now: jiff::Timestamp,
    ) -> Result<Answer, EngineError> {
        let (entry, mut places) = self.enter(&job.model, job.choices).await?;
        let model = entry.loaded().await?.model;
        let (stops, max_tokens, sampling, choices) =
            (job.stops.clone(), job.max_tokens, job.sampling.clone(), job.choices);
        // A long prompt takes a while; neither the sockets nor the running streams wait for it.
        let structure = entry.structure.clone();
        let prepared = blocking(move || prepare(&model, &structure, job, now)).await?;
        let prompt_tokens = prepared.prompt.len();
        let mut answer = Answer { choices: Vec::new(), prompt_tokens };
        for index in 0..choices {
            let (output, events) = Output::channel()
                .ok_or_else(|| EngineError::Internal { message: "a fresh channel is full".to_owned() })?;
            let work = Work::Chat(Box::new(Job {
                prompt: prepared.prompt.clone(),
                max_tokens,
                sampling: Sampling { seed: sampling.seed.wrapping_add(u64::from(index)), ..sampling.clone() },
                grammar: prepared.grammar.clone().map(|grammar| Box::new(grammar) as Box<dyn Grammar>),
                shown: prepared.shown.clone(),
                stops: stops.clone(),
                deadline,
                output,
                place: places.split(1),
            }));
            entry.ask(work)?;
            answer.choices.push(Choice { events, calls: prepared.reader(fastrand::Rng::new()) });
        }
        Ok(answer)
    }

    /// The tokens of a request's prompt, loading its model first where needed. `now` is for templates that ask for the date.
    ///
    /// # Errors
    /// Everything that keeps it from being counted; see [`EngineError`].
    pub async fn count(&self, job: ChatJob, now: jiff::Timestamp) -> Result<usize, EngineError> {
        let (entry, _place) = self.enter(&job.model, 1).await?;
        let model = entry.loaded().await?.model;
        let structure = entry.structure.clone();
        blocking(move || count(&model, &structure, job, now)).await
    }

    /// Makes vectors, loading the model first where needed.
    ///
    /// # Errors
    /// Everything that keeps it from doing so; see [`EngineError`].
    pub async fn embed(
        &self,
        request: &EmbeddingsRequest,
        deadline: Option<Instant>,
    ) -> Result<Embeddings, EngineError> {
        let inputs = request.input()?;
        let (entry, place) = self.enter(request.model(), 1).await?;
        let model = entry.loaded().await?.model;
        let dimensions = request.dimensions().and_then(|dimensions| usize::try_from(dimensions).ok());
        if let Some(wanted) = dimensions.filter(|wanted| *wanted > model.dimensions()) {
            return Err(EngineError::invalid(
                "dimensions",
                format!("dimensions: expected at most {} for this model, got {wanted}", model.dimensions()),
            ));
        }
        let texts = blocking(move || tokens_of(&model, inputs)).await?;
        let prompt_tokens = texts.iter().map(Vec::len).sum();
        let (output, answer) = oneshot::channel();
        entry.ask(Work::Embedding(EmbeddingJob { texts, output, deadline, place: Some(place) }))?;
        let mut vectors = answer.await.map_err(|_| ended_early())??;
        if let Some(dimensions) = dimensions {
            for vector in &mut vectors {
                vector.truncate(dimensions);
                llama::normalise(vector);
            }
        }
        Ok(Embeddings { vectors, prompt_tokens })
    }

    /// What a model would take with these options, device by device. Loads nothing.
    ///
    /// # Errors
    /// Those of [`Model::project`].
    pub async fn project(&self, name: &str, options: Options) -> Result<Vec<DeviceMemory>, EngineError> {
        let path = resolve(name)?;
        let shared = Arc::clone(&self.shared);
        blocking(move || Model::project(&shared.backend, &path, options)).await
    }

    /// Names of the models in memory.
    pub fn names(&self) -> Vec<String> {
        self.loaded(Instant::now()).into_iter().map(|model| model.name).collect()
    }

    /// The models in memory.
    pub fn loaded(&self, now: Instant) -> Vec<ModelSnapshot> {
        let entries = self.entries.lock();
        let unload_after = self.options().unload_after;
        let snapshot = |entry: &Arc<Entry>| match &*entry.load.borrow() {
            Load::Ready(Loaded { model, took, .. }) => Some(ModelSnapshot {
                name: entry.name.clone(),
                load_ms: millis(*took),
                context_tokens: model.context_tokens(),
                bytes: model.bytes(),
                memory_bytes: entry.memory_bytes(),
                expires_ms: unload_after.map(|after| millis(after.saturating_sub(entry.idle_for(now)))),
            }),
            _ => None,
        };
        let mut models: Vec<_> = entries.values().filter_map(snapshot).collect();
        models.sort_by(|one, other| one.name.cmp(&other.name));
        models
    }

    /// The models that a request may name: those of the catalogue that are here, those that the user has added, and those
    /// in memory.
    pub fn available(&self) -> Vec<ModelEntry> {
        let mut names = self.names();
        if let Ok(store) = ModelStore::open() {
            let here = store.list().into_iter();
            let here = here.filter(|model| matches!(model.state, ModelState::Present { .. }));
            let here = here.filter(|model| model.entry.purpose == Purpose::Chat);
            names.extend(here.map(|model| model.entry.name.to_owned()));
            names.extend(store.added().unwrap_or_default().into_iter().map(|model| model.name));
        }
        names.sort();
        names.dedup();
        let entry = |id| ModelEntry { id, created: 0, owned_by: "uat".to_owned() };
        names.into_iter().map(entry).collect()
    }

    /// Unloads the models that nobody has asked for a while. To be called now and then.
    pub async fn unload_idle(&self, now: Instant) {
        let Some(after) = self.options().unload_after else { return };
        let idle = {
            let mut entries = self.entries.lock();
            let is_idle = |_: &PathBuf, entry: &mut Arc<Entry>| entry.idle_for(now) >= after;
            entries.extract_if(is_idle).map(|(_, entry)| entry).collect::<Vec<_>>()
        };
        for entry in idle {
            unload(entry, "nobody asked it").await;
        }
    }

    /// Unloads a model whose memory somebody needs, unless it is being asked; says whether it is not in memory.
    ///
    /// # Errors
    /// As for any model that cannot be found.
    pub async fn unload(&self, name: &str) -> Result<bool, EngineError> {
        let path = resolve(name)?;
        let entry = {
            let mut entries = self.entries.lock();
            match entries.get(&path) {
                None => return Ok(true),
                Some(entry) if !entry.is_idle() => return Ok(false),
                Some(_) => entries.remove(&path),
            }
        };
        if let Some(entry) = entry {
            unload(entry, "its memory is asked back").await;
        }
        Ok(true)
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

    /// A model and `choices` places in its queue.
    async fn enter(
        &self,
        name: &str,
        choices: u32,
    ) -> Result<(Arc<Entry>, OwnedSemaphorePermit), EngineError> {
        let entry = self.entry(name, resolve(name)?).await?;
        let all = self.options().places();
        let places = Arc::clone(&entry.places).try_acquire_many_owned(choices).map_err(|_| {
            let waiting = all - entry.places.available_permits();
            EngineError::Overloaded { waiting, wait: self.stats().wait(waiting, self.options().lanes) }
        })?;
        *entry.last_used.lock() = Instant::now();
        Ok((entry, places))
    }

    async fn entry(&self, name: &str, path: PathBuf) -> Result<Arc<Entry>, EngineError> {
        if let Some(entry) = self.usable(&path) {
            return Ok(entry);
        }
        let _loading = self.loading.lock().await;
        if let Some(entry) = self.usable(&path) {
            return Ok(entry);
        }
        let needed = self.make_room(&path).await?;
        let entry = Arc::new(self.spawn(name, path.clone(), needed)?);
        self.entries.lock().insert(path, Arc::clone(&entry));
        Ok(entry)
    }

    fn usable(&self, path: &Path) -> Option<Arc<Entry>> {
        let mut entries = self.entries.lock();
        // Failed loads are not kept: their files may have been repaired or removed.
        entries.retain(|_, entry| entry.is_usable());
        entries.get(path).cloned()
    }

    /// Unloads models that nobody uses until this one fits, those used longest ago first. Returns what it needs, in bytes.
    async fn make_room(&self, path: &Path) -> Result<u64, EngineError> {
        let (shared, file) = (Arc::clone(&self.shared), path.to_owned());
        let devices = blocking(move || Model::project(&shared.backend, &file, shared.options)).await?;
        let needed = llama::host_total(&devices);
        loop {
            let (limit, taken, idle) = {
                let entries = self.entries.lock();
                let taken: u64 = entries.values().map(|entry| entry.memory_bytes()).sum();
                let weights: u64 = entries.values().map(|entry| entry.weights()).sum();
                let limit = memory::limit(self.options().memory_budget, memory::available(), weights, taken);
                let now = Instant::now();
                let idle = entries.iter().filter(|(_, entry)| entry.is_idle());
                let idle = idle.max_by_key(|(_, entry)| entry.idle_for(now)).map(|(path, _)| path.clone());
                (limit, taken, idle)
            };
            if taken.saturating_add(needed) <= limit.bytes {
                return Ok(needed);
            }
            let entry = idle.and_then(|path| self.entries.lock().remove(&path));
            let Some(entry) = entry else {
                return Err(EngineError::NotEnoughMemory {
                    model: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                    needed,
                    available: limit.bytes.saturating_sub(taken),
                    limit: limit.set_by,
                });
            };
            unload(entry, "another model needs its memory").await;
        }
    }

    fn spawn(&self, name: &str, path: PathBuf, needed: u64) -> Result<Entry, EngineError> {
        let places = self.options().places();
        let (load_sender, load) = watch::channel(Load::Loading);
        let (inbox, work) = sync_channel(places);
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new()
            .name("model".to_owned())
            .spawn(move || worker::run(&path, &shared, &load_sender, &work))
            .map_err(|error| EngineError::Internal { message: format!("cannot start a thread: {error}") })?;
        Ok(Entry {
            name: name.to_owned(),
            load,
            inbox,
            places: Arc::new(Semaphore::new(places)),
            thread: Mutex::new(Some(thread)),
            projected_bytes: needed,
            last_used: Mutex::new(Instant::now()),
            structure: Structure::default(),
        })
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

    /// As many jobs fit as there are places, so only a thread that has died refuses one.
    fn ask(&self, work: Work) -> Result<(), EngineError> {
        self.inbox.try_send(work).map_err(|_| ended_early())
    }

    /// What the model takes, as projected until it is seen.
    fn memory_bytes(&self) -> u64 {
        match &*self.load.borrow() {
            Load::Ready(loaded) => loaded.memory_bytes,
            _ => self.projected_bytes,
        }
    }

    fn weights(&self) -> u64 {
        match &*self.load.borrow() {
            Load::Ready(loaded) => loaded.model.bytes(),
            _ => 0,
        }
    }

    /// Nothing runs or waits.
    fn is_idle(&self) -> bool {
        Arc::strong_count(&self.places) == 1 && !matches!(*self.load.borrow(), Load::Loading)
    }

    /// How long nobody has used it.
    fn idle_for(&self, now: Instant) -> Duration {
        let mut last_used = self.last_used.lock();
        if !self.is_idle() {
            *last_used = now;
        }
        now.saturating_duration_since(*last_used)
    }
}

/// Frees a model's memory; returns when it is free.
async fn unload(entry: Arc<Entry>, why: &'static str) {
    tracing::info!(model = entry.name, why, "model unloaded");
    let thread = entry.thread.lock().take();
    drop(entry);
    if let Some(thread) = thread
        && !matches!(tokio::task::spawn_blocking(move || thread.join()).await, Ok(Ok(())))
    {
        tracing::error!("a model's thread had panicked");
    }
}

fn ended_early() -> EngineError {
    EngineError::Internal {
        message: "the model's thread has ended; the next request loads the model again".to_owned(),
    }
}

/// The tokens of each text, at least one and no more than fit.
fn tokens_of(model: &Model, texts: Vec<EmbeddingInput>) -> Result<Vec<Vec<Token>>, EngineError> {
    let vocabulary = model.vocabulary_size();
    let tokens = |(index, text): (usize, EmbeddingInput)| {
        let param = format!("input[{index}]");
        let tokens = match text {
            EmbeddingInput::Text(text) => model.tokenize_text(&text),
            EmbeddingInput::Tokens(tokens) => {
                let known =
                    |token: u32| Token::try_from(token).ok().filter(|_| (token as usize) < vocabulary);
                let unknown = |token| {
                    let message = format!("{param}: expected token numbers below {vocabulary}, got {token}");
                    EngineError::invalid(param.clone(), message)
                };
                tokens
                    .into_iter()
                    .map(|token| known(token).ok_or_else(|| unknown(token)))
                    .collect::<Result<_, _>>()?
            }
        };
        match tokens.len() {
            0 => {
                Err(EngineError::invalid(param.clone(), format!("{param}: expected some text, got no token")))
            }
            length if length > model.embedding_tokens() => {
                Err(EngineError::InputTooLong { index, tokens: length, limit: model.embedding_tokens() })
            }
            _ => Ok(tokens),
        }
    };
    texts.into_iter().enumerate().map(tokens).collect()
}

/// Runs what takes a while beside the sockets.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EngineError> + Send + 'static,
) -> Result<T, EngineError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| EngineError::Internal { message: error.to_string() })?
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
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
