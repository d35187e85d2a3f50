//! `uat gpu estimate`

use std::io::{self, Write};
use std::path::PathBuf;

use runtime::estimate_memory;
use runtime::memory_estimate::{Estimate, Part};
use serde_json::json;

use super::how::{How, failure, place};
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
    /// Print JSON for programs.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let file = place(&args.model)?;
    let options = args.how.on(usize::from(args.gpus));
    let (header, estimate) = estimate_memory(&file, &options).map_err(|error| failure(&error))?;
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
