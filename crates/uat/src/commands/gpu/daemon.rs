//! `uat gpu daemon`

use std::io::{self, Write};
use std::path::PathBuf;

use runtime::GpuConfig;
use runtime::gpu_driver::open;
use runtime::vision_resource_manager::host::Host;

use super::gpus::{Gpus, gpus};
use super::place::Socket;
use crate::commands::{ConfigArgs, block_on};
use crate::failure::Failure;
use crate::signals::Signals;

/// What is given here counts more than the section `[gpu]` of the configuration.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    socket: Socket,
    #[command(flatten)]
    config: ConfigArgs,
    /// The folder where leases are written down; without it `uat/gpu` in XDG_STATE_HOME or ~/.local/state.
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,
    /// NVIDIA's management library; without it where drivers put it.
    #[arg(long, value_name = "FILE", conflicts_with = "fake_gpus")]
    nvml: Option<PathBuf>,
    /// GPUs that do not exist, as COUNTxMIB, to try things out: nothing runs there.
    #[arg(long, value_name = "GPUS", value_parser = gpus)]
    fake_gpus: Option<Gpus>,
    /// MiB of each GPU that are never given out: what drivers and libraries take without being asked. 256 by default.
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(..=1 << 30))]
    headroom: Option<u64>,
    /// How often the driver is read, in milliseconds; 500 by default.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=60_000))]
    poll_ms: Option<u64>,
    /// How many requests may wait at once; 1,000 by default.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=1_000_000))]
    max_waiting: Option<u64>,
    /// The most that one owner may lease at once on all GPUs together, as OWNER=MIB; may be given several times.
    #[arg(long, value_name = "OWNER=MIB", value_parser = quota)]
    quota: Vec<(String, u64)>,
}

/// An owner and its MiB.
fn quota(text: &str) -> Result<(String, u64), String> {
    let expected = || format!("expected a quota as OWNER=MIB, for example search=8192, got `{text}`");
    let (owner, mib) = text.rsplit_once('=').filter(|(owner, _)| !owner.is_empty()).ok_or_else(expected)?;
    let mib: u64 = mib.parse().map_err(|_| expected())?;
    if mib > 1 << 30 { Err(expected()) } else { Ok((owner.to_owned(), mib)) }
}

impl Args {
    fn config(&self) -> Result<GpuConfig, Failure> {
        let mut gpu = self.config.load()?.config.gpu.unwrap_or_default();
        gpu.socket = self.socket.given().or(gpu.socket);
        gpu.state_dir = self.state.clone().or(gpu.state_dir);
        if let Some(nvml) = &self.nvml {
            gpu.nvml_path = Some(nvml.clone());
            gpu.fake_gpus_mb.clear();
        }
        if let Some(Gpus(gpus)) = &self.fake_gpus {
            gpu.fake_gpus_mb = gpus.iter().map(|bytes| bytes >> 20).collect();
        }
        gpu.headroom_mb = self.headroom.unwrap_or(gpu.headroom_mb);
        gpu.poll_ms = self.poll_ms.unwrap_or(gpu.poll_ms);
        gpu.max_waiting = self.max_waiting.unwrap_or(gpu.max_waiting);
        gpu.quotas_mb.extend(self.quota.iter().cloned());
        Ok(gpu)
    }
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let config = args.config()?;
    let driver = open(config.driver(true)).map_err(|error| Failure::new(error.code(), error.to_string()))?;
    let options = config.host_options()?;
    block_on(async {
        let mut signals = Signals::listen()?;
        let socket = options.socket.display().to_string();
        let host = Host::open(driver, options)?;
        writeln!(io::stdout(), "listening on {socket}")?;
        let stop = async move {
            let _ = signals.next().await;
        };
        Ok(host.serve(stop).await?)
    })
}
