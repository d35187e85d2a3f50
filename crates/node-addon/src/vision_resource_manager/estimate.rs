//! What a model takes, from the header of its file.

use std::path::Path;

use napi::Env;
use napi::bindgen_prelude::PromiseRaw;
use napi_derive::napi;
use runtime::memory_estimate::{Confidence, EstimateError, KvType, Options, Parallel, Part};

use crate::error::Crossing;

/// How a model would be run; the wrapper has filled in the defaults.
#[napi(object, object_to_js = false)]
pub struct EstimateOptions {
    /// Absent: as many as the model was trained on.
    pub context_tokens: Option<f64>,
    /// `f16`, `q8_0` or `q4_0`.
    pub kv_type: String,
    /// Tokens that are computed at a time.
    pub batch_tokens: f64,
    /// Whether attention is computed in one step.
    pub flash_attention: bool,
    /// Absent: all.
    pub gpu_layers: Option<u32>,
    /// Conversations at a time.
    pub parallel: u32,
}

/// What a model takes of a GPU. Bytes.
#[napi(object, object_from_js = false)]
pub struct MemoryEstimate {
    /// Weights.
    pub weights: f64,
    /// Keys and values.
    pub cache: f64,
    /// What computing takes beside.
    pub compute: f64,
    /// `exact`, `formula` or `calibrated`.
    pub confidence: String,
}

/// Reads the file on a thread that may wait.
pub(super) fn estimate<'env>(
    env: &'env Env,
    path: String,
    options: EstimateOptions,
) -> napi::Result<PromiseRaw<'env, MemoryEstimate>> {
    env.spawn_future(async move {
        let read = tokio::task::spawn_blocking(move || read(Path::new(&path), &options)).await;
        let read = read.map_err(|error| Crossing::internal(&format!("an estimate ended early: {error}")))?;
        Ok(read.map_err(Crossing::from)?)
    })
}

fn read(path: &Path, asked: &EstimateOptions) -> Result<MemoryEstimate, EstimateError> {
    let kv_type = match &*asked.kv_type {
        "q8_0" => KvType::Q8_0,
        "q4_0" => KvType::Q4_0,
        _ => KvType::F16,
    };
    let options = Options {
        context_tokens: asked.context_tokens.map(|tokens| tokens as u64),
        kv_type_k: kv_type,
        kv_type_v: kv_type,
        batch_tokens: asked.batch_tokens as u64,
        flash_attention: asked.flash_attention,
        gpu_layers: asked.gpu_layers,
        parallel: Parallel::Shared { rows: asked.parallel },
        devices: vec![1.0],
        ..Options::default()
    };
    let (_, estimate) = runtime::estimate_memory(path, &options)?;
    let Part { weights, cache, compute, .. } = estimate.devices.first().copied().unwrap_or_default();
    let confidence = match estimate.confidence {
        Confidence::Exact => "exact",
        Confidence::Formula => "formula",
        Confidence::Calibrated => "calibrated",
    };
    Ok(MemoryEstimate {
        weights: weights as f64,
        cache: cache as f64,
        compute: compute as f64,
        confidence: confidence.to_owned(),
    })
}
