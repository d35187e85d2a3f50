//! `uat gpu daemon`

use std::io::{self, Write};
use std::path::PathBuf;

use runtime::gpu_driver::{Choice, FakeGpu, FakeMachine, open};
use runtime::vision_resource_manager::host::{Host, HostOptions};
use runtime::vision_resource_manager::{ManagerOptions, Settings};

use super::gpus::{Gpus, gpus};
use super::place::Socket;
use crate::commands::block_on;
use crate::failure::Failure;
use crate::signals::Signals;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    socket: Socket,
    /// The folder where leases are written down; without it `uat/gpu` in XDG_STATE_HOME or ~/.local/state.
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,
    /// NVIDIA's management library; without it where drivers put it.
    #[arg(long, value_name = "FILE", conflicts_with = "fake_gpus")]
    nvml: Option<PathBuf>,
    /// GPUs that do not exist, as COUNTxMIB, to try things out: nothing runs there.
    #[arg(long, value_name = "GPUS", value_parser = gpus)]
    fake_gpus: Option<Gpus>,
    /// MiB of each GPU that are never given out: what drivers and libraries take without being asked.
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    headroom: u64,
    /// How often the driver is read, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    poll_ms: u64,
    /// How many requests may wait at once.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    max_waiting: usize,
    /// The most that one owner may lease at once on all GPUs together, as OWNER=MIB; may be given several times.
    #[arg(long, value_name = "OWNER=MIB", value_parser = quota)]
    quota: Vec<(String, u64)>,
}

/// An owner and its bytes.
fn quota(text: &str) -> Result<(String, u64), String> {
    let expected = || format!("expected a quota as OWNER=MIB, for example search=8192, got `{text}`");
    let (owner, mib) = text.rsplit_once('=').filter(|(owner, _)| !owner.is_empty()).ok_or_else(expected)?;
    let mib: u64 = mib.parse().map_err(|_| expected())?;
    Ok((owner.to_owned(), mib.checked_mul(1 << 20).ok_or_else(expected)?))
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let choice = match &args.fake_gpus {
        Some(Gpus(gpus)) => {
            Choice::Fake(FakeMachine::new(gpus.iter().map(|total| FakeGpu { name: None, total: *total })))
        }
        None => Choice::Nvml { path: args.nvml.clone() },
    };
    let driver = open(choice).map_err(|error| Failure::new(error.code(), error.to_string()))?;
    let state = args.state.clone().or_else(runtime::gpu_state).ok_or_else(|| {
        Failure::new("UAT_CONFIG", "neither XDG_STATE_HOME nor HOME says where leases are written down")
            .hint("--state FOLDER")
    })?;
    let settings = Settings {
        headroom: args.headroom.saturating_mul(1 << 20),
        max_waiting: args.max_waiting,
        quotas: args.quota.iter().map(|(owner, bytes)| (owner.as_str().into(), *bytes)).collect(),
        ..Settings::default()
    };
    let manager = ManagerOptions { settings, poll_ms: args.poll_ms, ..ManagerOptions::default() };
    let options = HostOptions { socket: args.socket.path()?, state, manager };
    block_on(async {
        let mut signals = Signals::listen()?;
        let socket = options.socket.display().to_string();
        let host = Host::open(driver, options)?;
        writeln!(io::stdout(), "listening on {socket}")?;
        host.serve(async move {
            let _ = signals.next().await;
        })
        .await?;
        Ok(())
    })
}
