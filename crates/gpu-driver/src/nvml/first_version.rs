//! Memory as drivers before R510 tell it. The wrapper's safe interface has only the later version.
#![expect(unsafe_code, reason = "the function is called as C gives it")]

use nvml_wrapper::Device;
use nvml_wrapper::error::{NvmlError, nvml_sym, nvml_try};

use crate::Memory;

/// What is reserved counts as used here, and cannot be told from it.
pub(super) fn memory(device: &Device<'_>) -> Result<Memory, NvmlError> {
    let function = nvml_sym(device.nvml().lib().nvmlDeviceGetMemoryInfo.as_ref())?;
    // SAFETY: three integers, of which zero is a value.
    let mut info = unsafe { std::mem::zeroed() };
    // SAFETY: the function comes from the library that gave the handle, which the session keeps open; `info` has the type that
    // the header names.
    nvml_try(unsafe { function(device.handle(), &raw mut info) })?;
    Ok(Memory::told(info.total, info.used, info.free, None))
}
