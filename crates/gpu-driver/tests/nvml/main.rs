//! The driver for NVML against a library that lies: through the dynamic linker and C, on a machine without a GPU. With
//! `UAT_TEST_NVML=real` what holds for any GPU is also checked against the driver of this machine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]

mod anything;
mod devices;
mod driver;
#[path = "../support/mod.rs"]
mod support;

use fake_nvml::Installed;
use gpu_driver::{DeviceReading, Driver, NvmlDriver};
use serde_json::{Value, json};
use support::keeps_promises;

const GIB: u64 = 1 << 30;

fn installed(script: &Value) -> Installed {
    Installed::new(script.to_string()).unwrap()
}

fn rescript(installed: &Installed, script: &Value) {
    installed.script(script.to_string()).unwrap();
}

fn opened(installed: &Installed) -> NvmlDriver {
    NvmlDriver::open(Some(installed.library())).unwrap()
}

fn read(driver: &mut NvmlDriver) -> Vec<DeviceReading> {
    let readings = driver.read().unwrap();
    keeps_promises(&readings);
    readings
}

fn two() -> Value {
    json!({"devices": [
        {"name": "NVIDIA A", "uuid": "GPU-a", "total": 24 * GIB, "used": 3 * GIB, "reserved": GIB / 2, "utilization": 97,
         "temperature": 61, "power": 284.5,
         "processes": [{"pid": 30, "used": GIB}, {"pid": 7, "used": 2 * GIB, "type": "both"}]},
        {"name": "NVIDIA B", "uuid": "GPU-b", "total": 80 * GIB},
    ]})
}

/// `script` with a change at a JSON pointer.
fn with(mut script: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    script.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(key.to_owned(), value);
    script
}

fn memory(reading: &DeviceReading) -> (u64, u64, u64, Option<u64>) {
    let memory = reading.memory.as_ref().unwrap();
    (memory.total, memory.used, memory.free, memory.reserved)
}

fn processes(reading: &DeviceReading) -> Vec<(u32, Option<u64>)> {
    reading.processes.as_ref().unwrap().iter().map(|process| (process.pid, process.used)).collect()
}
