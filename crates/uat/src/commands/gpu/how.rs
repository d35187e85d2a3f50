//! How a model would be run, for estimates of its memory.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use model_store::ModelStore;
use runtime::memory_estimate::{EstimateError, KvType, Options, Parallel};

use crate::failure::Failure;

#[derive(Debug, clap::Args)]
pub(crate) struct How {
    /// Tokens that the cache holds; without it as many as the model was trained on.
    #[arg(long, value_name = "TOKENS")]
    context: Option<u64>,
    /// How keys and values are kept.
    #[arg(long, value_enum, default_value_t = KvName::F16)]
    kv_type: KvName,
    /// Tokens that are computed at a time.
    #[arg(long, value_name = "TOKENS", default_value_t = 512)]
    batch: u64,
    /// Attention with a table of all scores, as where a GPU cannot do without.
    #[arg(long)]
    no_flash_attention: bool,
    /// Layers that the GPUs compute, the output counted as one; without it all.
    #[arg(long, value_name = "N")]
    gpu_layers: Option<u32>,
    /// Conversations at a time.
    #[arg(long, value_name = "N", default_value_t = 1)]
    parallel: u32,
    /// Each conversation has its part of the cache, as with llama-server; without it all share it, as with uat-engine.
    #[arg(long)]
    own_slots: bool,
    /// Layers that look back over a window keep all tokens, as with uat-engine; without it only the window's, as with llama-server.
    #[arg(long)]
    full_windows: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KvName {
    F32,
    F16,
    Bf16,
    #[value(name = "q8_0")]
    Q8,
    #[value(name = "q4_0")]
    Q4,
}

impl KvName {
    fn kind(self) -> KvType {
        match self {
            Self::F32 => KvType::F32,
            Self::F16 => KvType::F16,
            Self::Bf16 => KvType::Bf16,
            Self::Q8 => KvType::Q8_0,
            Self::Q4 => KvType::Q4_0,
        }
    }
}

impl How {
    /// On so many GPUs that share the layers evenly.
    pub(crate) fn on(&self, gpus: usize) -> Options {
        let rows = self.parallel;
        Options {
            context_tokens: self.context,
            kv_type_k: self.kv_type.kind(),
            kv_type_v: self.kv_type.kind(),
            batch_tokens: self.batch,
            flash_attention: !self.no_flash_attention,
            full_windows: self.full_windows,
            gpu_layers: self.gpu_layers,
            parallel: if self.own_slots { Parallel::Own { rows } } else { Parallel::Shared { rows } },
            devices: vec![1.0; gpus],
            ..Options::default()
        }
    }
}

/// The file that is meant: a path, or what the store knows by this name.
pub(crate) fn place(model: &Path) -> Result<PathBuf, Failure> {
    if model.exists() {
        return Ok(model.to_owned());
    }
    match model.to_str().filter(|name| !name.contains('/') && !name.contains('.')) {
        Some(name) => Ok(ModelStore::open()?.resolve(name)?),
        None => Err(Failure::new("UAT_NOT_FOUND", format!("there is no file {}", model.display()))
            .hint("give the path of a .gguf or .safetensors file, or a name from `uat models list`")),
    }
}

pub(crate) fn failure(error: &EstimateError) -> Failure {
    Failure::new(error.code(), error.to_string())
}
