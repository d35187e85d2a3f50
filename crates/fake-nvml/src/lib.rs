//! For tests: a `libnvidia-ml.so` whose GPUs stand in a script file, so that whatever asks NVIDIA's management library for GPUs
//! is tested on its real way, through the dynamic linker and C, on a machine that has none. No product contains it.
//!
//! The script is JSON, named by `FAKE_NVML_SCRIPT` when the library is opened, else `fake_nvml.json` beside the library. A
//! changed file holds from the next call on. All sizes are bytes; everything but `devices` and a device's `total` may be left
//! out:
//!
//! ```json
//! {
//!   "driver_version": "570.86.15",
//!   "devices": [
//!     {"name": "NVIDIA A100-SXM4-40GB", "uuid": "GPU-1", "total": 42949672960, "used": 8589934592, "reserved": 536870912,
//!      "processes": [{"pid": 4711, "used": 8589934592, "type": "compute"},
//!                    {"pid": 4712, "used": null, "type": "both"}],
//!      "utilization": 97, "temperature": 61, "power": 284.5, "power_limit": 400, "fan": null, "mig": false},
//!     {"total": 42949672960, "mig": true, "instances": [{"name": "NVIDIA A100 MIG 3g.20gb", "total": 21474836480}]},
//!     {"total": 42949672960, "lost": true},
//!     {"total": 42949672960, "errors": {"nvmlDeviceGetPowerUsage": 3}}
//!   ],
//!   "links": [{"devices": [0, 1], "by": "nvlink"}],
//!   "events": [{"device": 0, "type": 8, "data": 79}],
//!   "errors": {"nvmlDeviceGetMemoryInfo_v2": 999},
//!   "delays_ms": {"nvmlDeviceGetPowerUsage": 200},
//!   "vanished": false
//! }
//! ```
//!
//! [`Script`] says what each key means. A script that is broken, has a key that is not listed or contradicts itself makes every
//! call return `UNKNOWN` (999); since a library may not print, the reason stands in a file beside the script, `.log` appended.
//! Without a script there is no driver: `DRIVER_NOT_LOADED`. A driver that has vanished, or whose script was deleted, ends the
//! open session; when it returns, the session has to be opened again, as with the real one.
//!
//! # What is there
//! - `nvmlInit`, `_v2`, `WithFlags`, `nvmlShutdown`, `nvmlErrorString`; versions of driver, NVML and CUDA; names of processes.
//! - Count, handles by index, UUID and PCI bus (first and second versions); name, UUID, index, minor number, serial number,
//!   brand, PCI (three versions), compute capability, architecture, VBIOS, persistence, compute mode, display, driver model, ECC.
//! - Memory (both versions; in the first what is reserved counts as used), BAR1; processes for compute, graphics and MPS (three
//!   versions each), their utilisation. Two more are there to be found and answer `NOT_SUPPORTED`: confidential computing's sizes
//!   and `nvmlDeviceGetRunningProcessDetailList`.
//! - Utilisation, encoder and decoder, temperature (both ways, and thresholds), power and its limits, fans, clocks, performance
//!   state, PCIe throughput, generation and width, energy; `nvmlDeviceGetFieldValues`, whose every field is unsupported.
//! - MIG: mode, instances and their handles, ids. P2P status, common ancestor, NVLinks and their other ends. Event sets.
//!
//! Everything else is missing, as it is from an older driver: whatever sets something, units, vGPUs, accounting, GPM, samples.
//! What the script has no key for is always the same.
//!
//! # In a Rust test
//! [`Installed`] puts a copy of the library beside a script. A test's `[dev-dependencies]` make cargo build the library:
//!
//! ```no_run
//! # fn main() -> Result<(), std::io::Error> {
//! let gpus = fake_nvml::Installed::new(r#"{"devices": [{"total": 8589934592}]}"#)?;
//! // Open `gpus.library()`, or start a program with `gpus.folder()` as its LD_LIBRARY_PATH.
//! gpus.script(r#"{"devices": [{"total": 8589934592, "used": 1073741824}]}"#)?;
//! # Ok(())
//! # }
//! ```

mod code;
mod handle;
mod installed;
mod library;
mod passed;
mod script;
mod symbols;
mod vanished;

pub use installed::Installed;
pub use script::{Device, Event, Instance, Kind, Link, Path, Process, Script, ScriptError};
pub use vanished::Vanished;
