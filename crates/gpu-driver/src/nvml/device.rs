//! One device, read.

use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};

use super::trouble::{Trouble, is_missing, readable, told};
use super::{first_version, processes};
use crate::{DeviceReading, Memory, MigReading, Unreadable};

/// Who a device is.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    uuid: Option<String>,
    name: Option<String>,
    pci_bus_id: Option<String>,
}

impl Identity {
    pub(super) fn of(reading: &DeviceReading) -> Self {
        Self {
            uuid: reading.uuid.clone(),
            name: reading.name.clone(),
            pci_bus_id: reading.pci_bus_id.clone(),
        }
    }
}

/// Reads the device of an index; fails only where the driver has gone.
pub(super) fn read(nvml: &Nvml, index: u32) -> Result<DeviceReading, Trouble> {
    let device = match readable(nvml.device_by_index(index))? {
        Ok(device) => device,
        Err(why) => return Ok(unreadable(index, why)),
    };
    let memory = readable(memory(&device))?.and_then(Memory::if_any);
    Ok(DeviceReading {
        index,
        uuid: told(device.uuid())?,
        name: told(device.name())?,
        pci_bus_id: told(device.pci_info())?.map(|pci| pci.bus_id),
        utilization: told(device.utilization_rates())?.map(|rates| rates.gpu.min(100)),
        temperature_c: told(device.temperature(TemperatureSensor::Gpu))?,
        power_w: told(device.power_usage())?.map(|milliwatts| f64::from(milliwatts) / 1000.0),
        processes: processes::read(&device, memory.as_ref().map_or(u64::MAX, |memory| memory.total))?,
        mig: instances(&device)?,
        memory,
    })
}

fn unreadable(index: u32, why: Unreadable) -> DeviceReading {
    DeviceReading {
        index,
        uuid: None,
        name: None,
        pci_bus_id: None,
        memory: Err(why),
        utilization: None,
        temperature_c: None,
        power_w: None,
        processes: None,
        mig: None,
    }
}

/// The second version, which tells what is reserved from what is used; the first where the driver is older.
fn memory(device: &Device<'_>) -> Result<Memory, NvmlError> {
    match device.memory_info() {
        Ok(info) => Ok(Memory::told(info.total, info.used, info.free, Some(info.reserved))),
        Err(error) if is_missing(&error) => first_version::memory(device),
        Err(error) => Err(error),
    }
}

/// The instances of a device that is divided. Places that no instance has are skipped: what is deleted leaves a gap.
fn instances(device: &Device<'_>) -> Result<Option<Vec<MigReading>>, Trouble> {
    if told(device.mig_mode())?.is_none_or(|mode| mode.current == 0) {
        return Ok(None);
    }
    let places = told(device.mig_device_count())?.unwrap_or(0);
    let mut found = Vec::new();
    for index in 0..places {
        if let Some(instance) = told(device.mig_device_by_index(index))? {
            found.push(MigReading {
                index,
                uuid: told(instance.uuid())?,
                name: told(instance.name())?,
                memory: readable(memory(&instance))?.and_then(Memory::if_any),
            });
        }
    }
    Ok(Some(found))
}

/// Gives lost devices the names that they had at the last reading, if the devices are still as many and nobody else has them now.
pub(super) fn name_the_lost(readings: &mut [DeviceReading], known: &[Identity]) {
    if readings.len() != known.len() {
        return;
    }
    let present: Vec<String> = readings.iter().filter_map(|reading| reading.uuid.clone()).collect();
    for (reading, known) in readings.iter_mut().zip(known) {
        let is_elsewhere = known.uuid.as_ref().is_some_and(|uuid| present.contains(uuid));
        if reading.uuid.is_none() && !is_elsewhere {
            let Identity { uuid, name, pci_bus_id } = known.clone();
            (reading.uuid, reading.name, reading.pci_bus_id) = (uuid, name, pci_bus_id);
        }
    }
}
