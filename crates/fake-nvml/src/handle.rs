//! What stands behind a handle. Handles are opaque to callers: ours are numbers that are never followed.

use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlReturn_t};

use crate::code;
use crate::script::{Device, Instance, Script};

/// Handles of instances lie above those of devices, of which there are fewer than this.
const PART: usize = 0x1000;

/// What a handle stands for.
pub(crate) enum Target<'a> {
    /// A device, by its index.
    Whole(usize, &'a Device),
    /// A part of one.
    Part { parent: usize, device: &'a Device, part: usize, instance: &'a Instance },
}

impl<'a> Target<'a> {
    pub(crate) fn device(&self) -> &'a Device {
        match self {
            Self::Whole(_, device) | Self::Part { device, .. } => device,
        }
    }

    pub(crate) fn name(&self) -> &'a str {
        match self {
            Self::Whole(_, device) => &device.name,
            Self::Part { instance, .. } => &instance.name,
        }
    }

    pub(crate) fn uuid(&self) -> String {
        match *self {
            Self::Whole(index, device) => uuid(index, device),
            Self::Part { parent, part, instance, .. } => part_uuid(parent, part, instance),
        }
    }
}

pub(crate) fn of_device(index: usize) -> nvmlDevice_t {
    std::ptr::without_provenance_mut(index + 1)
}

pub(crate) fn of_part(parent: usize, part: usize) -> nvmlDevice_t {
    std::ptr::without_provenance_mut(PART * (part + 1) + parent + 1)
}

pub(crate) fn target(script: &Script, handle: nvmlDevice_t) -> Result<Target<'_>, nvmlReturn_t> {
    let number = handle.addr();
    let parent = (number % PART).checked_sub(1).ok_or(code::INVALID_ARGUMENT)?;
    // A device that the script no longer has is one that was taken out.
    let device = script.devices.get(parent).ok_or(code::GPU_IS_LOST)?;
    let Some(part) = (number / PART).checked_sub(1) else { return Ok(Target::Whole(parent, device)) };
    let instance = device.instances.get(part).filter(|_| device.is_divided()).ok_or(code::NOT_FOUND)?;
    Ok(Target::Part { parent, device, part, instance })
}

/// A device's UUID, made of its index where the script names none.
pub(crate) fn uuid(index: usize, device: &Device) -> String {
    device.uuid.clone().unwrap_or_else(|| format!("GPU-fa4e0000-0000-4000-8000-{index:012x}"))
}

pub(crate) fn part_uuid(parent: usize, part: usize, instance: &Instance) -> String {
    instance
        .uuid
        .clone()
        .unwrap_or_else(|| format!("MIG-fa4e0000-0000-4000-8000-{:012x}", parent * 16 + part))
}
