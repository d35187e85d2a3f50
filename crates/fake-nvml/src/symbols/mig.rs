//! Devices that are divided into instances.

use std::ffi::c_uint;

use nvml_wrapper_sys::bindings::nvmlDevice_t;

use super::identity::number;
use crate::code;
use crate::handle::{Target, of_device, of_part};
use crate::passed::Out;
use crate::script::MOST_INSTANCES;

symbols! {
    fn nvmlDeviceGetMigMode(call, device: nvmlDevice_t, now: Out<c_uint>, next: Out<c_uint>) {
        let mode = c_uint::from(call.device(device)?.1.mig.ok_or(code::NOT_SUPPORTED)?);
        now.put(mode)?;
        next.put(mode)
    }

    fn nvmlDeviceGetMaxMigDeviceCount(call, device: nvmlDevice_t, count: Out<c_uint>) {
        let (_, device) = call.device(device)?;
        count.put(if device.mig.is_some() { number(MOST_INSTANCES)? } else { 0 })
    }

    fn nvmlDeviceGetMigDeviceHandleByIndex(call, device: nvmlDevice_t, index: c_uint, out: Out<nvmlDevice_t>) {
        let (parent, device) = call.device(device)?;
        let part = usize::try_from(index).map_err(|_| code::INVALID_ARGUMENT)?;
        device.mig.ok_or(code::NOT_SUPPORTED)?;
        device.instances.get(part).filter(|_| device.is_divided()).ok_or(code::NOT_FOUND)?;
        out.put(of_part(parent, part))
    }

    fn nvmlDeviceGetDeviceHandleFromMigDeviceHandle(call, part: nvmlDevice_t, out: Out<nvmlDevice_t>) {
        match call.target(part)? {
            Target::Part { parent, .. } => out.put(of_device(parent)),
            Target::Whole(..) => Err(code::INVALID_ARGUMENT),
        }
    }

    fn nvmlDeviceIsMigDeviceHandle(call, device: nvmlDevice_t, is_one: Out<c_uint>) {
        is_one.put(c_uint::from(matches!(call.target(device)?, Target::Part { .. })))
    }

    fn nvmlDeviceGetGpuInstanceId(call, device: nvmlDevice_t, id: Out<c_uint>) {
        match call.target(device)? {
            Target::Part { part, .. } => id.put(number(part)?),
            Target::Whole(..) => Err(code::NOT_SUPPORTED),
        }
    }

    fn nvmlDeviceGetComputeInstanceId(call, device: nvmlDevice_t, id: Out<c_uint>) {
        match call.target(device)? {
            Target::Part { .. } => id.put(0),
            Target::Whole(..) => Err(code::NOT_SUPPORTED),
        }
    }
}
