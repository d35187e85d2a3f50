//! The thread that computes one model's answers.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use llama_cpp_2::llama_backend::LlamaBackend;
use tokio::sync::watch;

use crate::EngineError;
use crate::batcher::{Batcher, Decoder, Job, Progress};
use crate::llama::{BATCH_TOKENS, Model};
use crate::schedule::Limits;
use crate::stats::Stats;

/// When every client is slow: how soon to look again whether one has read. Unnoticeable, and no load.
const PAUSE: Duration = Duration::from_millis(5);

/// Prompt tokens in a batch beside running streams. 64 tokens delay a stream by about a quarter of a second on two slow
/// cores with a small model; fewer would read prompts at the price of streams' weights once more.
const PROMPT_BESIDE_GENERATION: usize = 64;

/// How models are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Threads that compute; absent: as many as cores are really free.
    pub threads: Option<usize>,
    /// Most tokens of one conversation.
    pub context_tokens: usize,
    /// Requests that run at a time, per model.
    pub lanes: usize,
    /// Requests that may wait beside those that run, per model.
    pub queue: usize,
    /// How keys and values of the context are kept.
    pub kv_type: KvType,
    /// Layers that a GPU computes where a plug-in for one is there; absent: all.
    pub gpu_layers: Option<u32>,
    /// How long a model stays in memory that nobody asks; absent: always.
    pub unload_after: Option<Duration>,
    /// Bytes that all models together may take; absent: what the machine has available.
    pub memory_budget: Option<u64>,
}

impl Options {
    /// Threads that compute: those that were asked for, else one per available core.
    pub fn threads_now(&self) -> usize {
        self.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
    }
}

/// How keys and values of the context are kept: smaller types hold more tokens per MiB, less exactly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum KvType {
    /// 16 bits each.
    #[default]
    F16,
    /// 8.5 bits each.
    Q8_0,
    /// 4.5 bits each.
    Q4_0,
}

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
}

/// Loads the model, then answers jobs until every sender of the inbox is gone and all answers are complete.
pub fn run(
    path: &Path,
    backend: &LlamaBackend,
    options: Options,
    stats: Arc<Stats>,
    load: &watch::Sender<Load>,
    inbox: &Receiver<Job>,
) {
    let started = Instant::now();
    let model = match Model::load(backend, path, options) {
        Ok(model) => Arc::new(model),
        Err(error) => return give_up(load, error),
    };
    let context = match model.context(backend, options) {
        Ok(context) => context,
        Err(error) => return give_up(load, error),
    };
    let took = started.elapsed();
    tracing::info!(path = %path.display(), load_ms = took.as_millis() as u64, "model loaded");
    let limits = Limits {
        batch: BATCH_TOKENS.min(model.context_tokens()),
        prompt_beside_generation: PROMPT_BESIDE_GENERATION,
        cells: model.context_tokens(),
    };
    load.send_replace(Load::Ready(Loaded { model: Arc::clone(&model), took }));
    serve(Batcher::new(context, options.lanes, limits, stats), inbox);
}

fn give_up(load: &watch::Sender<Load>, error: EngineError) {
    tracing::warn!(%error, "model not loaded");
    load.send_replace(Load::Failed(error));
}

fn serve<D: Decoder>(mut batcher: Batcher<D>, inbox: &Receiver<Job>) {
    loop {
        let progress = batcher.step();
        let next = match progress {
            Progress::Busy => inbox.try_recv().map_err(|error| error == TryRecvError::Disconnected),
            Progress::Paused => {
                inbox.recv_timeout(PAUSE).map_err(|error| error == RecvTimeoutError::Disconnected)
            }
            Progress::Idle => inbox.recv().map_err(|_| true),
        };
        match next {
            Ok(job) => {
                batcher.add(job);
                while let Ok(job) = inbox.try_recv() {
                    batcher.add(job);
                }
            }
            Err(true) if progress == Progress::Idle => return,
            // Nobody sends any more, but some still read.
            Err(true) if progress == Progress::Paused => std::thread::sleep(PAUSE),
            Err(_) => {}
        }
    }
}
