//! From what a driver reads to what the manager is told.

use gpu_driver::{DeviceReading, DriverError, Unreadable};

use crate::{DeviceState, HolderId, Used};

/// The devices by their UUIDs: a device keeps its place when another goes or comes.
#[derive(Debug, Default)]
pub(super) struct Readings {
    uuids: Vec<Option<String>>,
    /// What was read last of each.
    pub(super) last: Vec<Option<DeviceReading>>,
}

impl Readings {
    /// What the manager is told of a reading. Processes are their holders', as far as `holder_of` knows whose they are.
    pub(super) fn take(
        &mut self,
        read: Result<Vec<DeviceReading>, DriverError>,
        holder_of: impl Fn(u32) -> Option<HolderId>,
    ) -> Vec<DeviceState> {
        let mut here = vec![false; self.last.len()];
        for reading in read.unwrap_or_default() {
            let Some(place) = self.place(&reading) else { continue };
            here.resize(self.last.len(), false);
            here[place] = true;
            self.last[place] = Some(reading);
        }
        self.last.iter().zip(here).map(|(reading, here)| state(reading.as_ref(), here, &holder_of)).collect()
    }

    /// The place of the device of this name.
    pub(super) fn device(&self, uuid: &str) -> Option<usize> {
        self.uuids.iter().position(|known| known.as_deref() == Some(uuid))
    }

    /// The name of the device at this place.
    pub(super) fn uuid(&self, device: usize) -> Option<&str> {
        self.uuids.get(device)?.as_deref()
    }

    fn place(&mut self, reading: &DeviceReading) -> Option<usize> {
        match &reading.uuid {
            Some(uuid) => {
                let known = self.uuids.iter().position(|known| known.as_ref() == Some(uuid));
                Some(known.unwrap_or_else(|| {
                    self.uuids.push(Some(uuid.clone()));
                    self.last.push(None);
                    self.last.len() - 1
                }))
            }
            // It was lost before it was ever read: by its index it is nobody that is known.
            None => {
                let index = usize::try_from(reading.index).ok()?;
                (index == self.last.len()).then(|| {
                    self.uuids.push(None);
                    self.last.push(None);
                    index
                })
            }
        }
    }
}

fn state(
    reading: Option<&DeviceReading>,
    here: bool,
    holder_of: &impl Fn(u32) -> Option<HolderId>,
) -> DeviceState {
    let Some(reading) = reading else {
        return DeviceState { total: 0, free: 0, used: Vec::new(), lost: true };
    };
    // A device that is divided, or does not tell, cannot be given out as one: it is as good as lost.
    let Some(memory) = reading.allocatable().filter(|_| here) else {
        let total = reading.memory.as_ref().map_or(0, |memory| memory.total);
        return DeviceState { total, free: 0, used: Vec::new(), lost: true };
    };
    let mut used: Vec<Used> = Vec::new();
    for process in reading.processes.iter().flatten() {
        let Some(holder) = holder_of(process.pid) else { continue };
        match used.iter_mut().find(|known| known.holder == holder) {
            // Of several processes of a holder, one that does not tell makes the sum unknown.
            Some(known) => known.bytes = known.bytes.zip(process.used).map(|(a, b)| a.saturating_add(b)),
            None => used.push(Used { holder, bytes: process.used }),
        }
    }
    DeviceState { total: memory.total, free: memory.free, used, lost: false }
}

/// Why a device cannot be given out, for people; `None` where it can.
pub(super) fn why_not(reading: &DeviceReading) -> Option<String> {
    match &reading.memory {
        Err(unreadable @ (Unreadable::Lost(_) | Unreadable::NotTold(_))) => Some(unreadable.to_string()),
        Ok(_) if reading.mig.is_some() => Some("it is divided into MIG instances".to_owned()),
        Ok(_) => None,
    }
}
