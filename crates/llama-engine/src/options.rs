//! How the engine was asked to run its models.

use std::time::Duration;

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
    /// Requests that may run or wait, per model.
    pub fn places(&self) -> usize {
        self.lanes + self.queue
    }
}

/// How keys and values of the context are kept: smaller types hold more tokens per MiB, less exactly. With 16 bits the
/// values are also added up in 16 bits, in the order in which they lie in memory, so that the greedy answer to the same
/// question may differ with what else the engine was asked; with 32 it seldom does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[value(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum KvType {
    /// 32 bits each.
    F32,
    /// 16 bits each.
    #[default]
    F16,
    /// 8.5 bits each.
    Q8_0,
    /// 4.5 bits each.
    Q4_0,
}
