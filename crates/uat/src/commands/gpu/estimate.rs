//! `uat gpu estimate`

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use runtime::memory_estimate::{Estimate, Options, Part};
use runtime::{Runtime, estimate_memory, project_memory};
use serde_json::json;

use super::how::{How, failure, place};
use crate::commands::{ConfigArgs, block_on};
use crate::failure::Failure;
use crate::table;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A .gguf or .safetensors file, a folder or an index of several, or a name from `uat models list`.
    #[arg(value_name = "FILE|MODEL")]
    model: PathBuf,
    #[command(flatten)]
    how: How,
    /// GPUs that share the layers evenly; 0: the processor computes.
    #[arg(long, value_name = "N", default_value_t = 1)]
    gpus: u16,
    /// Ask the local engine, which has llama.cpp plan the load without allocating: for GGUF files, and for the GPUs that are there.
    #[arg(long, conflicts_with_all = ["gpus", "batch", "no_flash_attention", "own_slots", "full_windows"])]
    exact: bool,
    #[command(flatten)]
    config: ConfigArgs,
    /// Print JSON for programs.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let file = place(&args.model)?;
    let options = args.how.on(usize::from(args.gpus));
    let (header, mut estimate) = estimate_memory(&file, &options).map_err(|error| failure(&error))?;
    if args.exact {
        let asked = Options { context_tokens: Some(estimate.context_tokens), ..options };
        estimate = exact(args, &file, &asked)?;
    }
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

fn exact(args: &Args, file: &Path, options: &Options) -> Result<Estimate, Failure> {
    let runtime = Runtime::new(args.config.load()?.config, Vec::new())?;
    let engine = runtime.engine().ok_or_else(|| {
        Failure::new("UAT_CONFIG", "the local engine is switched off".to_owned())
            .hint("set engine.enabled, or leave --exact away")
    })?;
    let file = std::path::absolute(file)?;
    block_on(async {
        let told = project_memory(&engine, &file, options).await;
        runtime.close().await;
        Ok(told?)
    })
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
