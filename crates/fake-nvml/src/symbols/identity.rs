//! Which devices there are, and what each is.

use std::ffi::{c_char, c_int, c_uint, c_ulonglong};

use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlPciInfo_t, nvmlReturn_t};

use crate::code;
use crate::handle::{Target, of_device, of_part, part_uuid, uuid};
use crate::library::{Answer, Call};
use crate::passed::{InText, Out, OutText};

fn count(call: &Call, count: &Out<c_uint>) -> Answer {
    count.put(number(call.script.devices.len())?)
}

fn by_index(call: &Call, index: c_uint, device: &Out<nvmlDevice_t>) -> Answer {
    let index = usize::try_from(index).map_err(|_| code::INVALID_ARGUMENT)?;
    call.nth(index)?;
    device.put(of_device(index))
}

fn by_bus_id(call: &Call, id: &InText, device: &Out<nvmlDevice_t>) -> Answer {
    let wanted = id.get()?.to_ascii_uppercase();
    let wanted =
        wanted.rsplit_once(':').map(|(front, rest)| (front.rsplit(':').next().unwrap_or_default(), rest));
    let index = (0..call.script.devices.len())
        .find(|index| wanted == Some((format!("{:02X}", bus(*index)).as_str(), "00.0")))
        .ok_or(code::NOT_FOUND)?;
    call.nth(index)?;
    device.put(of_device(index))
}

fn pci_info(call: &Call, device: nvmlDevice_t, info: &Out<nvmlPciInfo_t>) -> Answer {
    // Of an instance it is its device's.
    let index = match call.target(device)? {
        Target::Whole(index, _) => index,
        Target::Part { parent, .. } => parent,
    };
    info.put(pci(index)?)
}

/// Where the device of an index is plugged in; the first buses are the chipset's.
fn bus(index: usize) -> usize {
    index + 1
}

/// What PCI says of the device of an index.
pub(super) fn pci(index: usize) -> Result<nvmlPciInfo_t, nvmlReturn_t> {
    Ok(nvmlPciInfo_t {
        busIdLegacy: text(&format!("0000:{:02X}:00.0", bus(index))),
        domain: 0,
        bus: number(bus(index))?,
        device: 0,
        // NVIDIA's vendor number, and a device number of an A100.
        pciDeviceId: 0x20B0_10DE,
        pciSubSystemId: 0x134F_10DE,
        busId: text(&format!("00000000:{:02X}:00.0", bus(index))),
    })
}

/// A text in an array, cut to leave room for the zero.
fn text<const N: usize>(text: &str) -> [c_char; N] {
    let mut array = [0; N];
    for (to, from) in array.iter_mut().take(N.saturating_sub(1)).zip(text.bytes()) {
        *to = c_char::from_ne_bytes([from]);
    }
    array
}

pub(super) fn number(from: usize) -> Result<c_uint, nvmlReturn_t> {
    c_uint::try_from(from).map_err(|_| code::UNKNOWN)
}

symbols! {
    fn nvmlDeviceGetCount(call, out: Out<c_uint>) { count(call, &out) }
    fn nvmlDeviceGetCount_v2(call, out: Out<c_uint>) { count(call, &out) }

    fn nvmlDeviceGetHandleByIndex(call, index: c_uint, device: Out<nvmlDevice_t>) { by_index(call, index, &device) }
    fn nvmlDeviceGetHandleByIndex_v2(call, index: c_uint, device: Out<nvmlDevice_t>) {
        by_index(call, index, &device)
    }

    fn nvmlDeviceGetHandleByUUID(call, id: InText, out: Out<nvmlDevice_t>) {
        let wanted = id.get()?;
        for (index, device) in call.script.devices.iter().enumerate() {
            if uuid(index, device) == wanted {
                call.nth(index)?;
                return out.put(of_device(index));
            }
            let mut parts = device.instances.iter().enumerate().filter(|_| device.is_divided());
            if let Some((part, _)) = parts.find(|(part, instance)| part_uuid(index, *part, instance) == wanted) {
                call.nth(index)?;
                return out.put(of_part(index, part));
            }
        }
        Err(code::NOT_FOUND)
    }

    fn nvmlDeviceGetHandleByPciBusId(call, id: InText, device: Out<nvmlDevice_t>) { by_bus_id(call, &id, &device) }
    fn nvmlDeviceGetHandleByPciBusId_v2(call, id: InText, device: Out<nvmlDevice_t>) { by_bus_id(call, &id, &device) }

    fn nvmlDeviceGetName(call, device: nvmlDevice_t, name: OutText, length: c_uint) {
        name.put(call.target(device)?.name(), length)
    }

    fn nvmlDeviceGetUUID(call, device: nvmlDevice_t, id: OutText, length: c_uint) {
        id.put(&call.target(device)?.uuid(), length)
    }

    fn nvmlDeviceGetIndex(call, device: nvmlDevice_t, index: Out<c_uint>) {
        index.put(number(match call.target(device)? {
            Target::Whole(index, _) | Target::Part { part: index, .. } => index,
        })?)
    }

    fn nvmlDeviceGetMinorNumber(call, device: nvmlDevice_t, minor: Out<c_uint>) {
        minor.put(number(call.device(device)?.0)?)
    }

    fn nvmlDeviceGetSerial(call, device: nvmlDevice_t, serial: OutText, length: c_uint) {
        serial.put(&format!("{:013}", call.device(device)?.0), length)
    }

    fn nvmlDeviceGetBrand(call, device: nvmlDevice_t, brand: Out<c_uint>) {
        call.target(device)?;
        brand.put(nvml_wrapper_sys::bindings::nvmlBrandType_enum_NVML_BRAND_NVIDIA)
    }

    fn nvmlDeviceGetPciInfo(call, device: nvmlDevice_t, info: Out<nvmlPciInfo_t>) { pci_info(call, device, &info) }
    fn nvmlDeviceGetPciInfo_v2(call, device: nvmlDevice_t, info: Out<nvmlPciInfo_t>) { pci_info(call, device, &info) }
    fn nvmlDeviceGetPciInfo_v3(call, device: nvmlDevice_t, info: Out<nvmlPciInfo_t>) { pci_info(call, device, &info) }

    fn nvmlDeviceGetCudaComputeCapability(call, device: nvmlDevice_t, major: Out<c_int>, minor: Out<c_int>) {
        call.target(device)?;
        major.put(8)?;
        minor.put(0)
    }

    fn nvmlDeviceGetArchitecture(call, device: nvmlDevice_t, architecture: Out<c_uint>) {
        call.target(device)?;
        architecture.put(nvml_wrapper_sys::bindings::NVML_DEVICE_ARCH_AMPERE)
    }

    fn nvmlDeviceGetVbiosVersion(call, device: nvmlDevice_t, version: OutText, length: c_uint) {
        call.device(device)?;
        version.put("92.00.45.00.00", length)
    }

    fn nvmlDeviceGetPersistenceMode(call, device: nvmlDevice_t, mode: Out<c_uint>) {
        call.device(device)?;
        mode.put(1)
    }

    fn nvmlDeviceGetComputeMode(call, device: nvmlDevice_t, mode: Out<c_uint>) {
        call.target(device)?;
        mode.put(0)
    }

    fn nvmlDeviceGetDisplayMode(call, device: nvmlDevice_t, mode: Out<c_uint>) {
        call.device(device)?;
        mode.put(0)
    }

    fn nvmlDeviceGetDisplayActive(call, device: nvmlDevice_t, active: Out<c_uint>) {
        call.device(device)?;
        active.put(0)
    }

    // Windows has driver models.
    fn nvmlDeviceGetDriverModel(_call, _device: nvmlDevice_t, _now: Out<c_uint>, _next: Out<c_uint>) {
        Err(code::NOT_SUPPORTED)
    }
    fn nvmlDeviceGetDriverModel_v2(_call, _device: nvmlDevice_t, _now: Out<c_uint>, _next: Out<c_uint>) {
        Err(code::NOT_SUPPORTED)
    }

    fn nvmlDeviceGetEccMode(call, device: nvmlDevice_t, now: Out<c_uint>, next: Out<c_uint>) {
        call.device(device)?;
        now.put(1)?;
        next.put(1)
    }

    fn nvmlDeviceGetTotalEccErrors(call, device: nvmlDevice_t, _type: c_uint, _counter: c_uint, errors: Out<c_ulonglong>) {
        call.device(device)?;
        errors.put(0)
    }
}
