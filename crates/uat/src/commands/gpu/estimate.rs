//! `uat gpu estimate`

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use model_store::ModelStore;
use runtime::memory_estimate::{Estimate, EstimateError, KvType, Options, Parallel, Part, estimate, open};
use serde_json::json;

use crate::failure::Failure;
use crate::table;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A .gguf or .safetensors file, a folder or an index of several, or a name from `uat models list`.
    #[arg(value_name = "FILE|MODEL")]
    model: PathBuf,
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
    /// GPUs that share the layers evenly; 0: the processor computes.
    #[arg(long, value_name = "N", default_value_t = 1)]
    gpus: u16,
    /// Conversations at a time.
    #[arg(long, value_name = "N", default_value_t = 1)]
    parallel: u32,
    /// Each conversation has its part of the cache, as with llama-server; without it all share it, as with uat-engine.
    #[arg(long)]
    own_slots: bool,
    /// Print JSON for programs.
    #[arg(long)]
    json: bool,
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

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let file = place(&args.model)?;
    let header = open(&file).map_err(|error| failure(&error))?;
    let options = Options {
        context_tokens: args.context,
        kv_type_k: args.kv_type.kind(),
        kv_type_v: args.kv_type.kind(),
        batch_tokens: args.batch,
        flash_attention: !args.no_flash_attention,
        gpu_layers: args.gpu_layers,
        parallel: if args.own_slots {
            Parallel::Own { rows: args.parallel }
        } else {
            Parallel::Shared { rows: args.parallel }
        },
        devices: vec![1.0; usize::from(args.gpus)],
        ..Options::default()
    };
    let estimate = estimate(&header, &options).map_err(|error| failure(&error))?;
    let mut out = io::stdout().lock();
    if args.json {
        let sum = estimate.sum();
        let shown = json!({
            "file": file,
            "architecture": header.architecture(),
            "context_tokens": estimate.context_tokens,
            "confidence": estimate.confidence,
            "weights_bytes": sum.weights,
            "cache_bytes": sum.cache,
            "compute_bytes": sum.compute,
            "total_bytes": sum.total(),
            "host": estimate.host,
            "devices": estimate.devices,
            "notes": estimate.notes,
        });
        writeln!(out, "{shown}")?;
        return Ok(());
    }
    show(&mut out, header.architecture(), &estimate)
}

/// The file that is meant: a path, or what the store knows by this name.
fn place(model: &Path) -> Result<PathBuf, Failure> {
    if model.exists() {
        return Ok(model.to_owned());
    }
    match model.to_str().filter(|name| !name.contains('/') && !name.contains('.')) {
        Some(name) => Ok(ModelStore::open()?.resolve(name)?),
        None => Err(Failure::new("UAT_NOT_FOUND", format!("there is no file {}", model.display()))
            .hint("give the path of a .gguf or .safetensors file, or a name from `uat models list`")),
    }
}

fn show(out: &mut impl Write, architecture: &str, estimate: &Estimate) -> Result<(), Failure> {
    writeln!(out, "{architecture}, a context of {} tokens\n", estimate.context_tokens)?;
    let row = |name: String, part: &Part| {
        [name, mib(part.weights), mib(part.cache), mib(part.compute), mib(part.total())]
    };
    let mut rows = vec![["", "WEIGHTS", "CACHE", "COMPUTE", "TOTAL"].map(str::to_owned)];
    for (index, part) in estimate.devices.iter().enumerate() {
        rows.push(row(format!("GPU {index}"), part));
    }
    rows.push(row("machine".to_owned(), &estimate.host));
    table::write(out, &rows)?;
    for note in &estimate.notes {
        writeln!(out, "\n{note}")?;
    }
    Ok(())
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

fn failure(error: &EstimateError) -> Failure {
    Failure::new(error.code(), error.to_string())
}
