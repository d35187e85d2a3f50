//! Who has a context on a device.

use std::ffi::{c_uint, c_ulonglong};

use nvml_wrapper_sys::bindings::{
    nvmlConfComputeMemSizeInfo_t, nvmlDevice_t, nvmlProcessDetailList_t, nvmlProcessInfo_v1_t,
    nvmlProcessInfo_v2_t, nvmlProcessUtilizationSample_t,
};

use crate::code;
use crate::handle::Target;
use crate::library::{Answer, Call};
use crate::passed::{Out, OutList};
use crate::script::{Kind, Process};

/// What a driver says that cannot tell: every bit set.
const NOT_AVAILABLE: u64 = u64::MAX;
/// The instance of a process on a device that is not divided.
const NO_INSTANCE: c_uint = c_uint::MAX;

const COMPUTE: &[Kind] = &[Kind::Compute, Kind::Both];
const GRAPHICS: &[Kind] = &[Kind::Graphics, Kind::Both];
const MPS: &[Kind] = &[Kind::Mps];

/// The processes of `kinds` on a device, or on an instance alone.
fn those(call: &Call, device: nvmlDevice_t, kinds: &[Kind]) -> Result<Vec<Process>, u32> {
    let target = call.target(device)?;
    let on = |process: &&Process| match target {
        Target::Whole(..) => true,
        Target::Part { part, .. } => process.instance.and_then(|on| usize::try_from(on).ok()) == Some(part),
    };
    let all = target.device().processes.iter();
    Ok(all.filter(|process| kinds.contains(&process.kind)).filter(on).cloned().collect())
}

fn first(
    call: &Call,
    device: nvmlDevice_t,
    kinds: &[Kind],
    count: &Out<c_uint>,
    list: &OutList<nvmlProcessInfo_v1_t>,
) -> Answer {
    let processes = those(call, device, kinds)?;
    let infos: Vec<_> = processes
        .into_iter()
        .map(|process| nvmlProcessInfo_v1_t {
            pid: process.pid,
            usedGpuMemory: process.used.unwrap_or(NOT_AVAILABLE),
        })
        .collect();
    list.put(count, &infos)
}

fn later(
    call: &Call,
    device: nvmlDevice_t,
    kinds: &[Kind],
    count: &Out<c_uint>,
    list: &OutList<nvmlProcessInfo_v2_t>,
) -> Answer {
    let processes = those(call, device, kinds)?;
    let infos: Vec<_> = processes
        .into_iter()
        .map(|process| nvmlProcessInfo_v2_t {
            pid: process.pid,
            usedGpuMemory: process.used.unwrap_or(NOT_AVAILABLE),
            gpuInstanceId: process.instance.unwrap_or(NO_INSTANCE),
            computeInstanceId: process.instance.map_or(NO_INSTANCE, |_| 0),
        })
        .collect();
    list.put(count, &infos)
}

type One = OutList<nvmlProcessInfo_v1_t>;
type Two = OutList<nvmlProcessInfo_v2_t>;

symbols! {
    fn nvmlDeviceGetComputeRunningProcesses(call, device: nvmlDevice_t, count: Out<c_uint>, list: One) {
        first(call, device, COMPUTE, &count, &list)
    }
    fn nvmlDeviceGetComputeRunningProcesses_v2(call, device: nvmlDevice_t, count: Out<c_uint>, list: Two) {
        later(call, device, COMPUTE, &count, &list)
    }
    fn nvmlDeviceGetComputeRunningProcesses_v3(call, device: nvmlDevice_t, count: Out<c_uint>, list: Two) {
        later(call, device, COMPUTE, &count, &list)
    }

    fn nvmlDeviceGetGraphicsRunningProcesses(call, device: nvmlDevice_t, count: Out<c_uint>, list: One) {
        first(call, device, GRAPHICS, &count, &list)
    }
    fn nvmlDeviceGetGraphicsRunningProcesses_v2(call, device: nvmlDevice_t, count: Out<c_uint>, list: Two) {
        later(call, device, GRAPHICS, &count, &list)
    }
    fn nvmlDeviceGetGraphicsRunningProcesses_v3(call, device: nvmlDevice_t, count: Out<c_uint>, list: Two) {
        later(call, device, GRAPHICS, &count, &list)
    }

    fn nvmlDeviceGetMPSComputeRunningProcesses(call, device: nvmlDevice_t, count: Out<c_uint>, list: One) {
        first(call, device, MPS, &count, &list)
    }
    fn nvmlDeviceGetMPSComputeRunningProcesses_v2(call, device: nvmlDevice_t, count: Out<c_uint>, list: Two) {
        later(call, device, MPS, &count, &list)
    }
    fn nvmlDeviceGetMPSComputeRunningProcesses_v3(call, device: nvmlDevice_t, count: Out<c_uint>, list: Two) {
        later(call, device, MPS, &count, &list)
    }

    // They are here because callers know by them in which shape the lists above are.
    fn nvmlDeviceGetConfComputeMemSizeInfo(call, device: nvmlDevice_t, _info: Out<nvmlConfComputeMemSizeInfo_t>) {
        call.device(device)?;
        Err(code::NOT_SUPPORTED)
    }
    fn nvmlDeviceGetRunningProcessDetailList(call, device: nvmlDevice_t, _list: Out<nvmlProcessDetailList_t>) {
        call.device(device)?;
        Err(code::NOT_SUPPORTED)
    }

    // One sample a process, with the device's utilisation; none has been taken since a time that was asked for.
    fn nvmlDeviceGetProcessUtilization(
        call,
        device: nvmlDevice_t,
        list: OutList<nvmlProcessUtilizationSample_t>,
        count: Out<c_uint>,
        since: c_ulonglong,
    ) {
        let busy = call.device(device)?.1.utilization.ok_or(code::NOT_SUPPORTED)?;
        let samples: Vec<_> = those(call, device, COMPUTE)?
            .into_iter()
            .map(|process| nvmlProcessUtilizationSample_t {
                pid: process.pid,
                timeStamp: since,
                smUtil: busy,
                memUtil: 0,
                encUtil: 0,
                decUtil: 0,
            })
            .collect();
        list.put(&count, &samples)
    }
}
