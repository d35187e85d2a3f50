//! The thread that computes one model's answers.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use llama_cpp_2::llama_backend::LlamaBackend;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};

use crate::EngineError;
use crate::batcher::{Batcher, Job, Progress};
use crate::llama::{ChatDecoder, Embedder, Model};
use crate::options::Options;
use crate::stats::Stats;
use crate::threads::{self, Monitor, Threads};
use crate::token::Token;

/// When every client is slow: how soon to look again whether one has read. Unnoticeable, and no load.
const PAUSE: Duration = Duration::from_millis(5);

/// Where a model is on its way into memory.
#[derive(Debug, Clone)]
pub enum Load {
    /// Being read.
    Loading,
    /// Answers requests.
    Ready(Loaded),
    /// Could not be loaded; the next request tries again.
    Failed(EngineError),
}

/// A model that answers.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Renders and tokenizes prompts.
    pub model: Arc<Model>,
    /// How long loading took.
    pub took: Duration,
    /// Bytes that weights, cache and buffers take together.
    pub memory_bytes: u64,
}

/// Texts that are to become vectors.
#[derive(Debug)]
pub struct EmbeddingJob {
    /// The tokens of each, at least one and at most [`Model::embedding_tokens`].
    pub texts: Vec<Vec<Token>>,
    /// Where the vectors go, in the same order. Dropping the receiver cancels the request.
    pub output: oneshot::Sender<Result<Vec<Vec<f32>>, EngineError>>,
    /// When nobody waits for them any more.
    pub deadline: Option<Instant>,
    /// The place in the bounded queue, given back when the request has ended.
    pub place: Option<OwnedSemaphorePermit>,
}

/// What a model's thread is asked for.
#[derive(Debug)]
pub enum Work {
    /// An answer.
    Chat(Box<Job>),
    /// Vectors.
    Embedding(EmbeddingJob),
}

/// What the threads of all models share.
#[derive(Debug)]
pub struct Shared {
    /// llama.cpp.
    pub backend: LlamaBackend,
    /// How models are run.
    pub options: Options,
    /// Counters.
    pub stats: Arc<Stats>,
    /// How many threads compute.
    pub threads: Mutex<Monitor>,
}

impl Shared {
    /// How many threads compute and why so many, measured anew now and then.
    pub fn threads_now(&self) -> Threads {
        let mut monitor = self.threads.lock();
        let now = Instant::now();
        if monitor.is_due(now) { monitor.measure(now, threads::used()) } else { monitor.threads() }
    }
}

/// Loads the model, then does what is asked until every sender of the inbox is gone and all answers are complete.
pub fn run(path: &Path, shared: &Shared, load: &watch::Sender<Load>, inbox: &Receiver<Work>) {
    let started = Instant::now();
    let model = match Model::load(&shared.backend, path, shared.options) {
        Ok(model) => Arc::new(model),
        Err(error) => return give_up(load, error),
    };
    let mut worker = Worker {
        model: &model,
        shared,
        threads: shared.threads_now().chosen,
        chat: None,
        embedder: None,
        embeddings: VecDeque::new(),
    };
    // Whatever the model is for must be possible, or it is not loaded.
    let memory = if model.is_encoder() { worker.open_embedder() } else { worker.open_chat() };
    let memory_bytes = match memory {
        Ok(bytes) => bytes,
        Err(error) => return give_up(load, error),
    };
    let took = started.elapsed();
    tracing::info!(path = %path.display(), load_ms = took.as_millis() as u64, threads = worker.threads, "model loaded");
    load.send_replace(Load::Ready(Loaded { model: Arc::clone(&model), took, memory_bytes }));
    worker.serve(inbox);
}

fn give_up(load: &watch::Sender<Load>, error: EngineError) {
    tracing::warn!(%error, "model not loaded");
    load.send_replace(Load::Failed(error));
}

/// The state of one model's thread.
struct Worker<'model> {
    model: &'model Model,
    shared: &'model Shared,
    threads: usize,
    chat: Option<Batcher<ChatDecoder<'model>>>,
    embedder: Option<Embedder<'model>>,
    embeddings: VecDeque<Embedding>,
}

/// An embedding request under way.
struct Embedding {
    job: EmbeddingJob,
    vectors: Vec<Vec<f32>>,
}

impl Worker<'_> {
    fn serve(&mut self, inbox: &Receiver<Work>) {
        loop {
            self.follow_threads();
            let embeds = self.embed();
            let progress = match &mut self.chat {
                Some(chat) => chat.step(),
                None => Progress::Idle,
            };
            let progress = if embeds { Progress::Busy } else { progress };
            let next = match progress {
                Progress::Busy => inbox.try_recv().map_err(|error| error == TryRecvError::Disconnected),
                Progress::Paused => {
                    inbox.recv_timeout(PAUSE).map_err(|error| error == RecvTimeoutError::Disconnected)
                }
                Progress::Idle => inbox.recv().map_err(|_| true),
            };
            match next {
                Ok(work) => {
                    self.take(work);
                    while let Ok(work) = inbox.try_recv() {
                        self.take(work);
                    }
                }
                Err(true) if progress == Progress::Idle => return,
                // Nobody sends any more, but some still read.
                Err(true) if progress == Progress::Paused => std::thread::sleep(PAUSE),
                Err(_) => {}
            }
        }
    }

    fn take(&mut self, work: Work) {
        match work {
            Work::Embedding(job) => self.embeddings.push_back(Embedding { job, vectors: Vec::new() }),
            Work::Chat(job) => match self.open_chat() {
                Ok(_) => {
                    if let Some(chat) = &mut self.chat {
                        chat.add(*job);
                    }
                }
                Err(error) => job.output.fail(error),
            },
        }
    }

    /// The load of the machine may have changed.
    fn follow_threads(&mut self) {
        let threads = self.shared.threads_now().chosen;
        if threads == self.threads {
            return;
        }
        tracing::debug!(threads, "threads follow the free cores");
        self.threads = threads;
        if let Some(chat) = &mut self.chat {
            chat.decoder().set_threads(threads);
        }
        if let Some(embedder) = &mut self.embedder {
            embedder.set_threads(threads);
        }
    }

    /// Makes what chats need, if it is not there. Returns the bytes that it takes, weights included.
    fn open_chat(&mut self) -> Result<u64, EngineError> {
        if let Some(chat) = &mut self.chat {
            return Ok(chat.decoder().memory_bytes());
        }
        let (decoder, sizes) = self.model.chat(self.shared.options, self.threads)?;
        let memory = decoder.memory_bytes();
        self.chat = Some(Batcher::new(decoder, sizes, Arc::clone(&self.shared.stats), Instant::now));
        Ok(memory)
    }

    /// Makes what vectors need, if it is not there. Returns the bytes that it takes, weights included.
    fn open_embedder(&mut self) -> Result<u64, EngineError> {
        if self.embedder.is_none() {
            self.embedder = Some(self.model.embedder(self.threads)?);
        }
        Ok(self.embedder.as_ref().map_or(0, Embedder::memory_bytes))
    }

    /// Computes one batch of vectors, if any are wanted. Returns whether more are.
    fn embed(&mut self) -> bool {
        let now = Instant::now();
        let Some(mut request) = self.embeddings.pop_front() else { return false };
        if request.job.output.is_closed() {
            self.shared.stats.cancelled.fetch_add(1, Ordering::Relaxed);
        } else if request.job.deadline.is_some_and(|deadline| deadline <= now) {
            self.shared.stats.late.fetch_add(1, Ordering::Relaxed);
            let queued = request.vectors.is_empty();
            request.job.answer(Err(EngineError::DeadlineExceeded { queued }));
        } else {
            match self.embed_some(&request) {
                Ok(vectors) => {
                    request.vectors.extend(vectors);
                    if request.vectors.len() == request.job.texts.len() {
                        self.shared.stats.embedded.fetch_add(request.vectors.len() as u64, Ordering::Relaxed);
                        request.job.answer(Ok(request.vectors));
                    } else {
                        // Behind the others: a long list holds nobody up.
                        self.embeddings.push_back(request);
                    }
                }
                Err(error) => request.job.answer(Err(error)),
            }
        }
        !self.embeddings.is_empty()
    }

    fn embed_some(&mut self, request: &Embedding) -> Result<Vec<Vec<f32>>, EngineError> {
        self.open_embedder()?;
        let Some(embedder) = &mut self.embedder else { return Ok(Vec::new()) };
        let rest = request.job.texts.get(request.vectors.len()..).unwrap_or_default();
        let texts = &rest[..embedder.fitting(rest).max(1).min(rest.len())];
        embedder.embed(texts, &|| request.job.output.is_closed())
    }
}

impl EmbeddingJob {
    fn answer(self, answer: Result<Vec<Vec<f32>>, EngineError>) {
        // Fails only if the client has left.
        let _ = self.output.send(answer);
    }
}
