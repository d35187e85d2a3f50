//! How much memory a device or an instance has.

use nvml_wrapper_sys::bindings::{nvmlBAR1Memory_t, nvmlDevice_t, nvmlMemory_t, nvmlMemory_v2_t};

use crate::handle::Target;
use crate::passed::Out;

/// Through the window on the bus a device of this kind shows 256 MiB.
const BAR1: u64 = 256 << 20;

/// Total, reserved and used bytes.
fn figures(target: &Target<'_>) -> (u64, u64, u64) {
    match target {
        Target::Whole(_, device) => (device.total, device.reserved, device.used),
        Target::Part { instance, .. } => (instance.total, 0, instance.used),
    }
}

symbols! {
    // The first version counts what is reserved as used.
    fn nvmlDeviceGetMemoryInfo(call, device: nvmlDevice_t, memory: Out<nvmlMemory_t>) {
        let (total, reserved, used) = figures(&call.target(device)?);
        let used = used.saturating_add(reserved);
        memory.put(nvmlMemory_t { total, free: total.saturating_sub(used), used })
    }

    fn nvmlDeviceGetMemoryInfo_v2(call, device: nvmlDevice_t, memory: Out<nvmlMemory_v2_t>) {
        memory.expect_version(2)?;
        let (total, reserved, used) = figures(&call.target(device)?);
        let free = total.saturating_sub(used).saturating_sub(reserved);
        memory.put(nvmlMemory_v2_t { version: memory.get()?.version, total, reserved, free, used })
    }

    fn nvmlDeviceGetBAR1MemoryInfo(call, device: nvmlDevice_t, memory: Out<nvmlBAR1Memory_t>) {
        call.target(device)?;
        memory.put(nvmlBAR1Memory_t { bar1Total: BAR1, bar1Free: BAR1, bar1Used: 0 })
    }
}
