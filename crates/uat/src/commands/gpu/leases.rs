//! `uat gpu leases`

use std::io::{self, Write};

use runtime::vision_resource_manager::host::{Held, HeldState, Leases};

use super::place::Socket;
use crate::commands::block_on;
use crate::failure::Failure;
use crate::table;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    socket: Socket,
    /// Print JSON for programs.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let client = args.socket.client()?;
    let leases = block_on(async { Ok(client.leases().await?) })?;
    let mut out = io::stdout().lock();
    if args.json {
        let document = serde_json::to_string(&leases).map_err(io::Error::from)?;
        writeln!(out, "{document}")?;
        return Ok(());
    }
    write(&mut out, &leases)?;
    Ok(())
}

/// For people.
pub(super) fn write(out: &mut impl Write, leases: &Leases) -> io::Result<()> {
    if !leases.waiting_for.is_empty() {
        let pids: Vec<String> = leases.waiting_for.iter().map(ToString::to_string).collect();
        writeln!(
            out,
            "The daemon was started again: nothing is given out until process {} is heard of, has ended, or its leases have.\n",
            pids.join(", ")
        )?;
    }
    if leases.leases.is_empty() {
        return writeln!(out, "Nobody has a lease, and nobody waits for one.");
    }
    let head =
        ["LEASE", "STATE", "PID", "OWNER", "MODEL", "PRIORITY", "MEMORY", "GPU", "EXPECTED IN", "ENDS IN"];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(leases.leases.iter().map(row));
    table::write(out, &rows)
}

fn row(held: &Held) -> [String; 10] {
    let none = || "-".to_owned();
    let gpus: Vec<String> = held.gpus.iter().map(|gpu| gpu.index.to_string()).collect();
    let state = match held.state {
        HeldState::Active if held.restored => "unheard",
        HeldState::Active => "active",
        HeldState::Grace => "grace",
        HeldState::Lost => "lost",
        HeldState::Queued => "queued",
    };
    [
        held.lease.map_or_else(none, |lease| lease.to_string()),
        state.to_owned(),
        held.pid.to_string(),
        held.owner.to_string(),
        held.model.as_deref().map_or_else(none, ToOwned::to_owned),
        held.priority.as_str().to_owned(),
        format!("{} MiB", held.bytes >> 20),
        if gpus.is_empty() { none() } else { gpus.join(",") },
        held.expected_wait_ms.map_or_else(none, seconds),
        held.expires_in_ms.map_or_else(none, seconds),
    ]
}

fn seconds(ms: u64) -> String {
    format!("{:.1} s", ms as f64 / 1e3)
}
