//! What lies between each two devices.

use nvml_wrapper::enum_wrappers::device::{P2pCapabilitiesIndex, P2pStatus, TopologyLevel};
use nvml_wrapper::{Device, Nvml};

use super::trouble::{Trouble, told};
use crate::{Link, LinkKind};

/// Two calls for each pair; pairs of which nothing is told are left out.
pub(super) fn read(nvml: &Nvml) -> Result<Vec<Link>, Trouble> {
    let count = nvml.device_count()?;
    let mut devices = Vec::new();
    for index in 0..count {
        if let Some(device) = told(nvml.device_by_index(index))? {
            devices.push((index, device));
        }
    }
    let mut links = Vec::new();
    for (at, (one, first)) in devices.iter().enumerate() {
        for (other, second) in devices.iter().skip(at + 1) {
            if let Some(kind) = between(nvml, first, second)? {
                links.push(Link { devices: [*one, *other], kind });
            }
        }
    }
    Ok(links)
}

fn between(nvml: &Nvml, one: &Device<'_>, other: &Device<'_>) -> Result<Option<LinkKind>, Trouble> {
    if told(one.p2p_status(other, P2pCapabilitiesIndex::NvLink))? == Some(P2pStatus::Ok) {
        return Ok(Some(LinkKind::NvLink));
    }
    Ok(told(nvml.topology_common_ancestor(one, other))?.map(|level| match level {
        TopologyLevel::Internal => LinkKind::Board,
        TopologyLevel::Single => LinkKind::Switch,
        TopologyLevel::Multiple => LinkKind::Switches,
        TopologyLevel::HostBridge => LinkKind::HostBridge,
        TopologyLevel::Node => LinkKind::Node,
        TopologyLevel::System => LinkKind::System,
    }))
}
