//! `uat gpu list`

use std::io::{self, Write};
use std::path::PathBuf;

use runtime::gpu_driver::{Choice, DeviceReading, DriverError, Unreadable, open};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::table;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// NVIDIA's management library; without it where drivers put it.
    #[arg(long, value_name = "FILE")]
    nvml: Option<PathBuf>,
    /// Print JSON for programs.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut driver = open(Choice::Nvml { path: args.nvml.clone() }).map_err(failure)?;
    let devices = driver.read().map_err(failure)?;
    let mut out = io::stdout().lock();
    if args.json {
        let shown: Vec<Value> = devices.iter().map(document).collect();
        writeln!(out, "{}", json!({ "driver": driver.name(), "gpus": shown }))?;
        return Ok(());
    }
    let head = ["GPU", "NAME", "USED", "FREE", "TOTAL", "LOAD", "TEMPERATURE", "POWER", "PROCESSES"];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(devices.iter().map(row));
    table::write(&mut out, &rows)?;
    for device in &devices {
        if let Err(unreadable) = &device.memory {
            writeln!(out, "\nGPU {} cannot be read: {}", device.index, reason(unreadable))?;
        }
        if device.mig.is_some() {
            let index = device.index;
            writeln!(out, "\nGPU {index} is divided into MIG instances and is not given out as a whole")?;
        }
    }
    Ok(())
}

fn failure(error: DriverError) -> Failure {
    Failure::new(error.code(), error.to_string())
}

fn reason(unreadable: &Unreadable) -> String {
    match unreadable {
        Unreadable::Lost(_) | Unreadable::NotTold(_) => unreadable.to_string(),
    }
}

fn row(device: &DeviceReading) -> [String; 9] {
    let unknown = || "-".to_owned();
    let memory = |of: fn(&runtime::gpu_driver::Memory) -> u64| {
        device.memory.as_ref().map_or_else(|_| unknown(), |memory| format!("{} MiB", of(memory) >> 20))
    };
    [
        device.index.to_string(),
        device.name.clone().unwrap_or_else(unknown),
        memory(|memory| memory.used),
        memory(|memory| memory.free),
        memory(|memory| memory.total),
        device.utilization.map_or_else(unknown, |percent| format!("{percent} %")),
        device.temperature_c.map_or_else(unknown, |degrees| format!("{degrees} C")),
        device.power_w.map_or_else(unknown, |watts| format!("{watts:.0} W")),
        device.processes.as_ref().map_or_else(unknown, |processes| processes.len().to_string()),
    ]
}

fn document(device: &DeviceReading) -> Value {
    let memory = device.memory.as_ref().ok();
    let processes = device.processes.as_ref().map(|processes| {
        let one = |process: &runtime::gpu_driver::ProcessReading| {
            json!({ "pid": process.pid, "used_bytes": process.used })
        };
        processes.iter().map(one).collect::<Vec<Value>>()
    });
    json!({
        "index": device.index,
        "uuid": device.uuid,
        "name": device.name,
        "total_bytes": memory.map(|memory| memory.total),
        "used_bytes": memory.map(|memory| memory.used),
        "free_bytes": memory.map(|memory| memory.free),
        "reserved_bytes": memory.and_then(|memory| memory.reserved),
        "unreadable": device.memory.as_ref().err().map(reason),
        "utilization": device.utilization,
        "temperature_c": device.temperature_c,
        "power_w": device.power_w,
        "mig": device.mig.is_some(),
        "processes": processes,
    })
}
