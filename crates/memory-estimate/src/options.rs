//! How a model would be run.

use serde::{Deserialize, Serialize};

use crate::EstimateError;

/// Most devices that a model is split over: llama.cpp's `GGML_SCHED_MAX_BACKENDS`, less the processor.
const MOST_DEVICES: usize = 15;
/// llama.cpp's `LLAMA_MAX_SEQ`.
const MOST_ROWS: u32 = 256;
/// Far above any context, and low enough that sizes of one layer fit into 64 bits.
const MOST_TOKENS: u64 = 1 << 32;

/// How a model would be run. Counts are in tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// Tokens that the cache holds. [`Parallel::Shared`] conversations have them together, [`Parallel::Own`] share them out
    /// evenly. `None`: as many as the model was trained on.
    pub context_tokens: Option<u64>,
    /// How keys are kept.
    pub kv_type_k: KvType,
    /// How values are kept. llama.cpp quantizes them with flash attention only.
    pub kv_type_v: KvType,
    /// Tokens that are computed at a time: llama.cpp's `n_ubatch`.
    pub batch_tokens: u64,
    /// Whether attention is computed in one step, without a table of all scores.
    pub flash_attention: bool,
    /// Whether layers that look back over a window keep all tokens nevertheless, so that a conversation can be taken up
    /// anywhere: llama.cpp's `swa_full`, which its library has on and its programs off. `uat-engine` leaves it on.
    pub full_windows: bool,
    /// Layers that GPUs compute, the last ones first, the output counted as one; `None`: all. Without [`devices`](Self::devices)
    /// it means nothing.
    pub gpu_layers: Option<u32>,
    /// Conversations at a time, and how they share the cache.
    pub parallel: Parallel,
    /// What part of the layers each GPU takes, in any unit, for example its free memory. Empty: the processor computes.
    pub devices: Vec<f64>,
    /// Whether the devices compute asynchronously, as CUDA's do and Vulkan's not. Several then work on several batches at a
    /// time, and each keeps its inputs four times.
    pub pipelined: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            context_tokens: None,
            kv_type_k: KvType::F16,
            kv_type_v: KvType::F16,
            batch_tokens: 512,
            flash_attention: true,
            full_windows: false,
            gpu_layers: None,
            parallel: Parallel::Shared { rows: 1 },
            devices: Vec::new(),
            pipelined: true,
        }
    }
}

/// How conversations share the cache: llama.cpp's `n_seq_max` and `kv_unified`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parallel {
    /// All of them use the same cells, so that one may have nearly all and its prefix is kept once. It is what `uat-engine`
    /// does, with eight rows more than it has lanes (they keep what earlier conversations read).
    Shared {
        /// Conversations, kept ones counted.
        rows: u32,
    },
    /// Each has its part of the cells: `context_tokens / rows`, rounded up to 256. It is what `llama-server -np` does.
    Own {
        /// Conversations.
        rows: u32,
    },
}

impl Parallel {
    /// Conversations.
    pub fn rows(self) -> u32 {
        match self {
            Self::Shared { rows } | Self::Own { rows } => rows,
        }
    }
}

/// How keys or values are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KvType {
    /// 32 bits each.
    F32,
    /// 16 bits each.
    #[default]
    F16,
    /// 16 bits each, with the range of 32.
    Bf16,
    /// 8.5 bits each.
    Q8_0,
    /// 4.5 bits each.
    Q4_0,
}

impl KvType {
    /// Bytes of a row; `None` if it does not fit into 64 bits. Rows are padded to whole blocks, as ggml requires.
    pub(crate) fn row_bytes(self, numbers: u64) -> Option<u64> {
        match self {
            Self::F32 => numbers.checked_mul(4),
            Self::F16 | Self::Bf16 => numbers.checked_mul(2),
            Self::Q8_0 => numbers.div_ceil(32).checked_mul(34),
            Self::Q4_0 => numbers.div_ceil(32).checked_mul(18),
        }
    }

    pub(crate) fn is_quantized(self) -> bool {
        matches!(self, Self::Q8_0 | Self::Q4_0)
    }
}

impl Options {
    /// # Errors
    /// [`EstimateError::Option`] names the first option that makes no sense.
    pub(crate) fn check(&self) -> Result<(), EstimateError> {
        if let Some(tokens) = self.context_tokens.filter(|tokens| !(1..=MOST_TOKENS).contains(tokens)) {
            return Err(EstimateError::option(
                "context_tokens",
                format!("expected 1 to {MOST_TOKENS}, got {tokens}"),
            ));
        }
        if !(1..=MOST_TOKENS).contains(&self.batch_tokens) {
            return Err(EstimateError::option(
                "batch_tokens",
                format!("expected 1 to {MOST_TOKENS}, got {}", self.batch_tokens),
            ));
        }
        let rows = self.parallel.rows();
        if !(1..=MOST_ROWS).contains(&rows) {
            return Err(EstimateError::option("parallel", format!("expected 1 to {MOST_ROWS}, got {rows}")));
        }
        if self.kv_type_v.is_quantized() && !self.flash_attention {
            return Err(EstimateError::option(
                "kv_type_v",
                "llama.cpp quantizes values with flash attention only: switch it on, or take f16",
            ));
        }
        if self.devices.len() > MOST_DEVICES {
            return Err(EstimateError::option(
                "devices",
                format!("expected at most {MOST_DEVICES}, got {}", self.devices.len()),
            ));
        }
        let sum: f64 = self.devices.iter().sum();
        let sound = self.devices.iter().all(|part| part.is_finite() && *part >= 0.0);
        if !(self.devices.is_empty() || (sound && sum.is_finite() && sum > 0.0)) {
            return Err(EstimateError::option(
                "devices",
                format!("expected parts that are not negative, one above 0, got {:?}", self.devices),
            ));
        }
        Ok(())
    }

    /// Whether a GPU computes any of it.
    pub(crate) fn offloads(&self) -> bool {
        !self.devices.is_empty() && self.gpu_layers != Some(0)
    }
}
