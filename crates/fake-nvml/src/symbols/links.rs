//! What lies between devices.

use std::ffi::c_uint;

use nvml_wrapper_sys::bindings::{
    nvmlDevice_t, nvmlGpuLevel_enum_NVML_TOPOLOGY_HOSTBRIDGE as HOSTBRIDGE,
    nvmlGpuLevel_enum_NVML_TOPOLOGY_INTERNAL as INTERNAL,
    nvmlGpuLevel_enum_NVML_TOPOLOGY_MULTIPLE as MULTIPLE, nvmlGpuLevel_enum_NVML_TOPOLOGY_NODE as NODE,
    nvmlGpuLevel_enum_NVML_TOPOLOGY_SINGLE as SINGLE, nvmlGpuLevel_enum_NVML_TOPOLOGY_SYSTEM as SYSTEM,
    nvmlGpuP2PCapsIndex_enum_NVML_P2P_CAPS_INDEX_NVLINK as NVLINK,
    nvmlGpuP2PStatus_enum_NVML_P2P_STATUS_NOT_SUPPORTED as P2P_NOT_SUPPORTED,
    nvmlGpuP2PStatus_enum_NVML_P2P_STATUS_OK as P2P_OK, nvmlPciInfo_t,
};

use super::identity::pci;
use crate::code;
use crate::library::{Answer, Call};
use crate::passed::Out;
use crate::script::Path;

/// What the script says lies between two devices.
fn between(call: &Call, one: usize, other: usize) -> Option<Path> {
    let links = call.script.links.iter();
    links
        .filter(|link| link.devices == [one, other] || link.devices == [other, one])
        .map(|link| link.by)
        .next()
}

/// The device at the other end of one of a device's NVLinks, which are numbered in the script's order.
fn other_end(call: &Call, device: nvmlDevice_t, link: c_uint) -> Result<Option<usize>, u32> {
    let (index, _) = call.device(device)?;
    let nth = usize::try_from(link).map_err(|_| code::INVALID_ARGUMENT)?;
    let ours = call.script.links.iter().filter(|link| link.by == Path::Nvlink);
    let mut ends = ours.filter_map(|link| match link.devices {
        [one, other] if one == index => Some(other),
        [one, other] if other == index => Some(one),
        _ => None,
    });
    Ok(ends.nth(nth))
}

fn remote(call: &Call, device: nvmlDevice_t, link: c_uint, info: &Out<nvmlPciInfo_t>) -> Answer {
    info.put(pci(other_end(call, device, link)?.ok_or(code::NOT_SUPPORTED)?)?)
}

symbols! {
    fn nvmlDeviceGetP2PStatus(call, one: nvmlDevice_t, other: nvmlDevice_t, capability: c_uint, status: Out<c_uint>) {
        let path = between(call, call.device(one)?.0, call.device(other)?.0);
        let is_there = match path {
            Some(Path::Nvlink) => true,
            Some(_) => capability != NVLINK,
            None => false,
        };
        status.put(if is_there { P2P_OK } else { P2P_NOT_SUPPORTED })
    }

    fn nvmlDeviceGetTopologyCommonAncestor(call, one: nvmlDevice_t, other: nvmlDevice_t, level: Out<c_uint>) {
        let (one, other) = (call.device(one)?.0, call.device(other)?.0);
        level.put(match between(call, one, other) {
            _ if one == other => INTERNAL,
            Some(Path::Switch) => SINGLE,
            Some(Path::Switches) => MULTIPLE,
            Some(Path::HostBridge) => HOSTBRIDGE,
            Some(Path::Node) => NODE,
            // NVLinks lie beside the bus, on which such devices are as far apart as any.
            Some(Path::Nvlink) | None => SYSTEM,
        })
    }

    fn nvmlDeviceGetNvLinkState(call, device: nvmlDevice_t, link: c_uint, is_active: Out<c_uint>) {
        other_end(call, device, link)?.ok_or(code::NOT_SUPPORTED)?;
        is_active.put(1)
    }

    fn nvmlDeviceGetNvLinkRemotePciInfo(call, device: nvmlDevice_t, link: c_uint, info: Out<nvmlPciInfo_t>) {
        remote(call, device, link, &info)
    }
    fn nvmlDeviceGetNvLinkRemotePciInfo_v2(call, device: nvmlDevice_t, link: c_uint, info: Out<nvmlPciInfo_t>) {
        remote(call, device, link, &info)
    }
}
