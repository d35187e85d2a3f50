//! The script file: which GPUs there are, and what goes wrong with them.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::vanished::Vanished;

/// More than any machine has; handles are made for fewer than 4,095.
const MOST_DEVICES: usize = 64;
/// A minute is longer than any test waits.
const LONGEST_DELAY_MS: u64 = 60_000;
/// As many instances as one GPU can be divided into.
pub(crate) const MOST_INSTANCES: usize = 7;

/// What a script says. Bytes are bytes, powers watts, temperatures degrees Celsius. Everything but `devices` may be
/// left out; a key that is not listed here is refused by name.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// What `nvmlSystemGetDriverVersion` says.
    #[serde(default = "driver_version")]
    pub driver_version: String,
    /// What `nvmlSystemGetNVMLVersion` says.
    #[serde(default = "nvml_version")]
    pub nvml_version: String,
    /// CUDA's version as NVML counts it: 1000 times the major number and 10 times the minor one.
    #[serde(default = "cuda_version")]
    pub cuda_version: i32,
    /// Whether the driver has gone, and how that is told. A session that sees it is over: it has to be opened again.
    #[serde(default)]
    pub vanished: Vanished,
    /// Calls that fail, by the symbol's name, with the number that they return, on every device.
    #[serde(default)]
    pub errors: BTreeMap<String, u32>,
    /// Calls that take long, by the symbol's name, in milliseconds: a device that hangs.
    #[serde(default)]
    pub delays_ms: BTreeMap<String, u64>,
    /// The GPUs, in the order of their indices.
    pub devices: Vec<Device>,
    /// Pairs of devices and what lies between them; a pair that is not named meets at the processor.
    #[serde(default)]
    pub links: Vec<Link>,
    /// What has happened, oldest first; a program that waits is told of what is added.
    #[serde(default)]
    pub events: Vec<Event>,
}

/// One GPU. `null` for a sensor means that the device has none: `NOT_SUPPORTED`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// The product's name.
    #[serde(default = "name")]
    pub name: String,
    /// By default one that is made of the index.
    #[serde(default)]
    pub uuid: Option<String>,
    /// Bytes.
    pub total: u64,
    /// Bytes that are allocated, whoever did it; what is reserved is not among them.
    #[serde(default)]
    pub used: u64,
    /// Bytes that the driver keeps for itself.
    #[serde(default)]
    pub reserved: u64,
    /// Who has a context on the device.
    #[serde(default)]
    pub processes: Vec<Process>,
    /// Percent of the time that something ran.
    #[serde(default = "some_zero")]
    pub utilization: Option<u32>,
    /// Degrees Celsius.
    #[serde(default = "temperature")]
    pub temperature: Option<u32>,
    /// Watts.
    #[serde(default = "power")]
    pub power: Option<f64>,
    /// Watts.
    #[serde(default = "power_limit")]
    pub power_limit: Option<f64>,
    /// Percent.
    #[serde(default)]
    pub fan: Option<u32>,
    /// Whether it has fallen off the bus: it is counted, and every call about it gets `GPU_IS_LOST`.
    #[serde(default)]
    pub lost: bool,
    /// Whether it is divided into instances; `null` for a device that cannot be.
    #[serde(default)]
    pub mig: Option<bool>,
    /// What it is divided into, if it is.
    #[serde(default)]
    pub instances: Vec<Instance>,
    /// Calls that fail on this device alone.
    #[serde(default)]
    pub errors: BTreeMap<String, u32>,
}

/// A part of a GPU that is divided (MIG).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// As the device's name tells it.
    #[serde(default = "name")]
    pub name: String,
    /// By default one that is made of the indices.
    #[serde(default)]
    pub uuid: Option<String>,
    /// Bytes.
    pub total: u64,
    /// Bytes.
    #[serde(default)]
    pub used: u64,
}

/// Somebody who has a context on a device.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// The process.
    pub pid: u32,
    /// Bytes; `null` where the driver cannot tell.
    pub used: Option<u64>,
    /// In which lists it stands.
    #[serde(default, rename = "type")]
    pub kind: Kind,
    /// Which instance it runs on, where the device is divided.
    #[serde(default)]
    pub instance: Option<u32>,
}

/// What a process does on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// CUDA.
    #[default]
    Compute,
    /// OpenGL, Vulkan.
    Graphics,
    /// Both, with the same figure in either list.
    Both,
    /// CUDA through the multi-process service.
    Mps,
}

/// What lies between two devices.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Their indices.
    pub devices: [usize; 2],
    /// What connects them.
    pub by: Path,
}

/// Ways from one device to another, nearest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Path {
    /// NVLink.
    Nvlink,
    /// One PCIe switch.
    Switch,
    /// Several PCIe switches.
    Switches,
    /// The same host bridge.
    HostBridge,
    /// The same NUMA node.
    Node,
}

/// Something that a program can wait for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// The device's index.
    pub device: usize,
    /// NVML's bit for it: 8 is a critical error (Xid).
    #[serde(rename = "type")]
    pub kind: u64,
    /// The Xid.
    #[serde(default)]
    pub data: u64,
}

/// Why a script is not one.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// It is no JSON, or has a key or a type that it should not have.
    #[error("the script is not what fake-nvml reads: {0}")]
    Shape(#[from] serde_json::Error),
    /// It contradicts itself.
    #[error("the script contradicts itself: {0}")]
    Sense(String),
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// [`ScriptError::Shape`] with line and column; [`ScriptError::Sense`] for memory that does not fit into a device, too
    /// many devices or instances, and links or events of devices that are not there.
    pub fn parse(bytes: &[u8]) -> Result<Self, ScriptError> {
        let script: Self = serde_json::from_slice(bytes)?;
        script.contradiction().map_or(Ok(script), |what| Err(ScriptError::Sense(what)))
    }

    fn contradiction(&self) -> Option<String> {
        let count = self.devices.len();
        if count > MOST_DEVICES {
            return Some(format!("{count} devices, of at most {MOST_DEVICES}"));
        }
        let errors = self.errors.iter().chain(self.devices.iter().flat_map(|device| &device.errors));
        if let Some((symbol, _)) = errors.into_iter().find(|(_, code)| **code == 0) {
            return Some(format!("{symbol} fails with 0, which is success"));
        }
        if let Some((symbol, ms)) = self.delays_ms.iter().find(|(_, ms)| **ms > LONGEST_DELAY_MS) {
            return Some(format!("{symbol} takes {ms} ms, of at most {LONGEST_DELAY_MS}"));
        }
        let strange = |index: &usize| *index >= count;
        if let Some(link) = self.links.iter().find(|link| link.devices.iter().any(strange)) {
            return Some(format!("a link of {:?}, of {count} devices", link.devices));
        }
        if let Some(event) = self.events.iter().find(|event| strange(&event.device)) {
            return Some(format!("an event of device {}, of {count}", event.device));
        }
        self.devices
            .iter()
            .enumerate()
            .find_map(|(index, device)| device.contradiction().map(|what| format!("device {index}: {what}")))
    }
}

impl Device {
    fn contradiction(&self) -> Option<String> {
        let Self { total, used, reserved, instances, .. } = self;
        if used.checked_add(*reserved).is_none_or(|taken| taken > *total) {
            return Some(format!("used {used} and reserved {reserved} are more than its total {total}"));
        }
        if instances.len() > MOST_INSTANCES {
            return Some(format!("{} instances, of at most {MOST_INSTANCES}", instances.len()));
        }
        if let Some(instance) = instances.iter().find(|instance| instance.used > instance.total) {
            return Some(format!("an instance uses {} of {}", instance.used, instance.total));
        }
        [self.power, self.power_limit]
            .into_iter()
            .flatten()
            .find(|watts| !(0.0..=1e6).contains(watts))
            .map(|watts| format!("{watts} W"))
    }

    pub(crate) fn is_divided(&self) -> bool {
        self.mig == Some(true)
    }
}

fn driver_version() -> String {
    "570.86.15".to_owned()
}

fn nvml_version() -> String {
    "12.570.86.15".to_owned()
}

fn cuda_version() -> i32 {
    12_080
}

fn name() -> String {
    "NVIDIA Fake GPU".to_owned()
}

#[expect(clippy::unnecessary_wraps, reason = "serde wants the field's type")]
fn some_zero() -> Option<u32> {
    Some(0)
}

#[expect(clippy::unnecessary_wraps, reason = "serde wants the field's type")]
fn temperature() -> Option<u32> {
    Some(40)
}

#[expect(clippy::unnecessary_wraps, reason = "serde wants the field's type")]
fn power() -> Option<f64> {
    Some(60.0)
}

#[expect(clippy::unnecessary_wraps, reason = "serde wants the field's type")]
fn power_limit() -> Option<f64> {
    Some(300.0)
}
