//! `uat gpu simulate`

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::ValueEnum;
use indicatif::ProgressBar;
use runtime::vision_resource_manager::Settings;
use runtime::vision_resource_manager::simulate::{Outcome, Policy, Scenario, Trace, TraceError, simulate};
use serde_json::json;

use super::super::{cancellable, opened, unpacked};
use super::gpus::{Gpus, gpus};
use crate::failure::Failure;
use crate::table;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A CSV, or one that gzip compressed, with the columns arrival_ms, model, exec_ms, vram_mb, load_ms and perhaps
    /// priority; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    trace: PathBuf,
    /// The GPUs, as COUNTxMIB: `4x24576`, or `2x24576,1x81920`.
    #[arg(long, value_name = "GPUS", value_parser = gpus)]
    gpus: Gpus,
    /// Who gives memory out; several, with commas between, are put side by side.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [PolicyName::Ours])]
    policy: Vec<PolicyName>,
    /// Requests come so many times as fast.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = speedup)]
    speedup: f64,
    /// Models that may be loading at once on one GPU, of ours; without it any number, for a load takes as long as it
    /// says.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    loads_per_gpu: Option<u32>,
    /// Two instances of a model never share a GPU, of ours; without it they may, for they do not slow each other.
    #[arg(long)]
    replicas_elsewhere: bool,
    /// Print JSON for programs.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PolicyName {
    /// What `uat` does.
    Ours,
    /// First come, first served; the model that was used longest ago goes.
    FifoLru,
    /// Ollama's scheduler, as read from its source.
    Ollama,
}

impl PolicyName {
    fn policy(self) -> Policy {
        match self {
            Self::Ours => Policy::Ours,
            Self::FifoLru => Policy::FifoLru,
            Self::Ollama => Policy::Ollama,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::FifoLru => "fifo-lru",
            Self::Ollama => "ollama",
        }
    }
}

fn speedup(text: &str) -> Result<f64, String> {
    let factor: Option<f64> = text.parse().ok();
    factor
        .filter(|factor| factor.is_finite() && *factor > 0.0)
        .ok_or_else(|| format!("expected a number above 0, got `{text}`"))
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let trace = read(&args.trace)?;
    let settings = Settings {
        headroom: 0,
        loads_per_device: args.loads_per_gpu.unwrap_or(u32::MAX),
        replicas_share_device: !args.replicas_elsewhere,
        ..Settings::default()
    };
    let scenario = Scenario { devices: args.gpus.0.clone(), speedup: args.speedup, settings };
    let (requests, models) = (trace.requests.len(), trace.models.len());
    let policies = args.policy.clone();
    let outcomes = cancellable("the simulation", move |cancelled| {
        let mut outcomes = Vec::new();
        for policy in policies {
            let bar = ProgressBar::new(requests as u64).with_message(policy.name());
            bar.enable_steady_tick(Duration::from_millis(200));
            let mut progress = |begun: usize| {
                bar.set_position(begun as u64);
                !cancelled.load(Ordering::Relaxed)
            };
            let outcome = simulate(&trace, policy.policy(), &scenario, &mut progress);
            bar.finish_and_clear();
            match outcome {
                Ok(Some(outcome)) => outcomes.push((policy, outcome)),
                Ok(None) => return Err(Failure::Interrupted),
                Err(error) => return Err(failure(&error)),
            }
        }
        Ok(outcomes)
    })??;
    if args.json {
        let policies: serde_json::Map<String, serde_json::Value> =
            outcomes.iter().map(|(policy, outcome)| (policy.name().to_owned(), json!(outcome))).collect();
        let mib: Vec<u64> = args.gpus.0.iter().map(|bytes| bytes >> 20).collect();
        let shown =
            json!({ "gpus_mb": mib, "speedup": args.speedup, "models": models, "policies": policies });
        writeln!(io::stdout().lock(), "{shown}")?;
        return Ok(());
    }
    show(requests, models, &outcomes)
}

fn show(requests: usize, models: usize, outcomes: &[(PolicyName, Outcome)]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{requests} requests for {models} models; times from arrival to the start of execution\n")?;
    let seconds = |ms: f64| format!("{:.1} s", ms / 1_000.0);
    let head = ["POLICY", "MEAN", "P50", "P99", "LONGEST", "WITHIN 30 S", "LOADS"];
    let mut rows = vec![head.map(str::to_owned)];
    for (policy, outcome) in outcomes {
        let within = format!("{:.1} %", 100.0 * outcome.within_30_s);
        let loads = outcome.loads.to_string();
        let row = |name: String, mean, p50: String, p99, longest, within: String, loads: String| {
            [name, seconds(mean), p50, seconds(p99), seconds(longest), within, loads]
        };
        let p50 = seconds(outcome.p50_wait_ms);
        let name = policy.name().to_owned();
        rows.push(row(
            name,
            outcome.mean_wait_ms,
            p50,
            outcome.p99_wait_ms,
            outcome.max_wait_ms,
            within,
            loads,
        ));
        for of in &outcome.by_priority {
            let name = format!("  {:?}", of.priority).to_lowercase();
            let none = String::new;
            rows.push(row(name, of.mean_wait_ms, none(), of.p99_wait_ms, of.max_wait_ms, none(), none()));
        }
    }
    table::write(&mut out, &rows)?;
    Ok(())
}

fn read(file: &Path) -> Result<Trace, Failure> {
    let source = match file == Path::new("-") {
        true => unpacked(file, io::stdin().lock())?,
        false => unpacked(file, opened(file)?)?,
    };
    Trace::read(source).map_err(|error| Failure::new(error.code(), format!("{}: {error}", file.display())))
}

fn failure(error: &TraceError) -> Failure {
    Failure::new(error.code(), error.to_string())
}
