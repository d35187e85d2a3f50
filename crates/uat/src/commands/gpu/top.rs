//! `uat gpu top`

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use runtime::vision_resource_manager::host::{Gpu, Gpus, Leases};
use serde_json::json;

use super::leases;
use super::place::Socket;
use crate::commands::block_on;
use crate::failure::Failure;
use crate::signals::Signals;
use crate::table;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    socket: Socket,
    /// How often it is looked.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = humantime::parse_duration)]
    every: Duration,
    /// Look once, as it is done too where the output is no terminal.
    #[arg(long)]
    once: bool,
    /// Print a line of JSON at each look.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let client = args.socket.client()?;
    let live = !args.once && (args.json || io::stdout().is_terminal());
    block_on(async {
        let mut signals = Signals::listen()?;
        loop {
            let (gpus, leases) = (client.gpus().await?, client.leases().await?);
            let mut shown = Vec::new();
            if args.json {
                let line = json!({ "gpus": gpus.gpus, "why_none": gpus.why_none, "leases": leases.leases, "waiting_for": leases.waiting_for });
                writeln!(shown, "{line}")?;
            } else {
                if live {
                    // From the top of the screen, and without what stood there.
                    shown.extend_from_slice(b"\x1b[H\x1b[J");
                }
                write(&mut shown, &gpus, &leases)?;
            }
            io::stdout().lock().write_all(&shown)?;
            if !live {
                return Ok(());
            }
            tokio::select! {
                () = tokio::time::sleep(args.every.max(Duration::from_millis(50))) => {}
                _ = signals.next() => return Ok(()),
            }
        }
    })
}

fn write(out: &mut impl Write, gpus: &Gpus, leases: &Leases) -> io::Result<()> {
    if let Some(why) = &gpus.why_none {
        writeln!(out, "There is no GPU: {why}\n")?;
    } else {
        let head = ["GPU", "NAME", "", "LEASED", "OTHERS", "FREE", "TOTAL", "LOAD", "TEMPERATURE", "POWER"];
        let mut rows = vec![head.map(str::to_owned)];
        rows.extend(gpus.gpus.iter().map(row));
        table::write(out, &rows)?;
        writeln!(out)?;
        for gpu in &gpus.gpus {
            if let Some(closed) = &gpu.closed {
                writeln!(out, "Nothing is given out on GPU {}: {closed}\n", gpu.index)?;
            }
        }
    }
    leases::write(out, leases)
}

fn row(gpu: &Gpu) -> [String; 10] {
    let none = || "-".to_owned();
    let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
    [
        gpu.index.to_string(),
        gpu.name.clone().unwrap_or_else(none),
        bar(gpu),
        mib(gpu.leased_bytes),
        mib(gpu.external_bytes),
        mib(gpu.free_bytes),
        mib(gpu.total_bytes),
        gpu.utilization.map_or_else(none, |percent| format!("{percent} %")),
        gpu.temperature_c.map_or_else(none, |degrees| format!("{degrees} C")),
        gpu.power_w.map_or_else(none, |watts| format!("{watts:.0} W")),
    ]
}

/// Twenty cells: what leases have, what others use, what is free.
fn bar(gpu: &Gpu) -> String {
    const CELLS: u64 = 20;
    let total = gpu.total_bytes.max(1);
    let cells =
        |bytes: u64| (bytes.min(total) as u128 * u128::from(CELLS)).div_ceil(u128::from(total)) as usize;
    let leased = cells(gpu.leased_bytes);
    let others = cells(gpu.external_bytes).min(CELLS as usize - leased);
    let free = CELLS as usize - leased - others;
    format!("[{}{}{}]", "#".repeat(leased), "x".repeat(others), ".".repeat(free))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_never_has_more_than_its_cells() {
        let gpu = |leased, external| Gpu {
            index: 0,
            uuid: None,
            name: None,
            total_bytes: 100,
            used_bytes: 0,
            leased_bytes: leased,
            external_bytes: external,
            free_bytes: 0,
            utilization: None,
            temperature_c: None,
            power_w: None,
            processes: Vec::new(),
            closed: None,
        };
        assert_eq!(bar(&gpu(0, 0)), "[....................]");
        assert_eq!(bar(&gpu(50, 1)), "[##########x.........]");
        assert_eq!(bar(&gpu(200, 70)), "[####################]");
    }
}
