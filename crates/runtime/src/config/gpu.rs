use std::collections::BTreeMap;
use std::path::PathBuf;

use gpu_driver::{Choice, FakeGpu, FakeMachine};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vision_resource_manager::host::HostOptions;
use vision_resource_manager::{ManagerOptions, Settings};

use super::UatConfig;
use super::check::out_of_range;
use super::finding::Finding;
use super::keys::state_home;
use crate::RuntimeError;

/// `[gpu]`: a server with this section gives memory of this machine's GPUs out to the programs of its user, as `uat gpu daemon` does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GpuConfig {
    /// The Unix socket; absent: `gpu.sock` in this user's private folder for such things.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket: Option<PathBuf>,
    /// The folder where leases are written down; absent: `uat/gpu` in `XDG_STATE_HOME`, else in `~/.local/state`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_dir: Option<PathBuf>,
    /// NVIDIA's management library; absent: where drivers put it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nvml_path: Option<PathBuf>,
    /// GPUs that do not exist, MiB each, in place of the machine's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fake_gpus_mb: Vec<u64>,
    /// MiB of each GPU that are never given out.
    #[schemars(range(max = 1_073_741_824_u64))]
    pub headroom_mb: u64,
    /// How often the driver is read, in ms.
    #[schemars(range(min = 1, max = 60_000))]
    pub poll_ms: u64,
    /// Requests that may wait at once.
    #[schemars(range(max = 1_000_000))]
    pub max_waiting: u64,
    /// MiB that an owner may lease at once on all GPUs together.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub quotas_mb: BTreeMap<String, u64>,
}

impl Default for GpuConfig {
    fn default() -> Self {
        let ManagerOptions { settings, poll_ms, .. } = ManagerOptions::default();
        Self {
            socket: None,
            state_dir: None,
            nvml_path: None,
            fake_gpus_mb: Vec::new(),
            headroom_mb: settings.headroom >> 20,
            poll_ms,
            max_waiting: settings.max_waiting as u64,
            quotas_mb: BTreeMap::new(),
        }
    }
}

/// No GPU has so much; what is beyond is a slip of the keyboard.
pub(super) const MOST_MB: u64 = 1 << 30;

impl GpuConfig {
    /// Whose GPUs are given out. Without a driver a server lives on and says so to whoever asks, where `must_exist` is not set.
    pub fn driver(&self, must_exist: bool) -> Choice {
        let path = self.nvml_path.clone();
        match (&self.fake_gpus_mb[..], must_exist) {
            ([], true) => Choice::Nvml { path },
            ([], false) => Choice::Auto { path },
            (gpus, _) => {
                Choice::Fake(FakeMachine::new(gpus.iter().map(|mb| FakeGpu { name: None, total: mb << 20 })))
            }
        }
    }

    /// How the daemon is made.
    ///
    /// # Errors
    /// [`RuntimeError::Engine`] where the folder of sockets is not private; [`RuntimeError::NoStateFolder`].
    pub fn host_options(&self) -> Result<HostOptions, RuntimeError> {
        let state = self.state_dir.clone().or_else(|| Some(state_home()?.join("uat/gpu")));
        let settings = Settings {
            headroom: self.headroom_mb << 20,
            max_waiting: usize::try_from(self.max_waiting).unwrap_or(usize::MAX),
            quotas: self.quotas_mb.iter().map(|(owner, mb)| (owner.as_str().into(), mb << 20)).collect(),
            ..Settings::default()
        };
        Ok(HostOptions {
            socket: self.socket.clone().map_or_else(crate::gpu_socket, Ok)?,
            state: state.ok_or(RuntimeError::NoStateFolder)?,
            manager: ManagerOptions { settings, poll_ms: self.poll_ms, ..ManagerOptions::default() },
        })
    }
}

/// What is wrong with the section.
pub(super) fn findings(config: &UatConfig) -> Vec<Finding> {
    let Some(gpu) = &config.gpu else { return Vec::new() };
    let mut found = Vec::new();
    found.extend(out_of_range("gpu.headroom_mb", gpu.headroom_mb, 0..=MOST_MB));
    found.extend(out_of_range("gpu.poll_ms", gpu.poll_ms, 1..=60_000));
    found.extend(out_of_range("gpu.max_waiting", gpu.max_waiting, 0..=1_000_000));
    for (index, mb) in gpu.fake_gpus_mb.iter().enumerate() {
        found.extend(out_of_range(format!("gpu.fake_gpus_mb[{index}]"), *mb, 1..=MOST_MB));
    }
    for (owner, mb) in &gpu.quotas_mb {
        found.extend(out_of_range(format!("gpu.quotas_mb.{owner}"), *mb, 0..=MOST_MB));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn megabytes_become_bytes_and_owners_keep_their_names() {
        let gpu = GpuConfig {
            socket: Some("/s".into()),
            state_dir: Some("/d".into()),
            quotas_mb: BTreeMap::from([("search".to_owned(), 2)]),
            ..GpuConfig::default()
        };
        let options = gpu.host_options().unwrap();
        assert_eq!(options.manager.settings.headroom, 256 << 20);
        assert_eq!(options.manager.settings.quotas["search"], 2 << 20);
    }

    #[test]
    fn what_no_gpu_has_is_refused() {
        let gpu =
            GpuConfig { poll_ms: 0, fake_gpus_mb: vec![1, 0], headroom_mb: u64::MAX, ..GpuConfig::default() };
        let found = findings(&UatConfig { gpu: Some(gpu), ..UatConfig::default() });
        let said = format!("{found:?}");
        assert!(found.len() == 3 && said.contains("gpu.fake_gpus_mb[1]"), "{said}");
    }
}
