//! From what a driver reads to what the manager is told.

use std::collections::BTreeMap;

use gpu_driver::{DeviceReading, DriverError, Unreadable};

use crate::{DeviceIndex, DeviceState, HolderId, Used};

/// The devices by their UUIDs: a device keeps its place when another goes or comes.
#[derive(Debug, Default)]
pub(super) struct Readings {
    uuids: Vec<Option<String>>,
    /// What was read last of each.
    pub(super) last: Vec<Option<DeviceReading>>,
}

impl Readings {
    /// What the manager is told of a reading. Processes are their holders', as far as `whose` knows who those are.
    pub(super) fn take(
        &mut self,
        read: Result<Vec<DeviceReading>, DriverError>,
        whose: &impl Whose,
    ) -> Vec<DeviceState> {
        let mut here = vec![false; self.last.len()];
        for reading in read.unwrap_or_default() {
            let Some(place) = self.place(&reading) else { continue };
            here.resize(self.last.len(), false);
            here[place] = true;
            self.last[place] = Some(reading);
        }
        let all = self.last.iter().zip(here).enumerate();
        all.map(|(device, (reading, here))| state(device, reading.as_ref(), here, whose)).collect()
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

/// Whose what processes use is.
pub(super) trait Whose {
    /// The holders of the process that this one works for, in the order in which they joined.
    fn holders(&self, pid: u32) -> &[HolderId];
    /// Bytes of a device that a holder has leased.
    fn leased(&self, holder: HolderId, device: DeviceIndex) -> u64;
}

fn state(
    device: DeviceIndex,
    reading: Option<&DeviceReading>,
    here: bool,
    whose: &impl Whose,
) -> DeviceState {
    let Some(reading) = reading else {
        return DeviceState { total: 0, free: 0, used: Vec::new(), lost: true };
    };
    // A device that is divided, or does not tell, cannot be given out as one: it is as good as lost.
    let Some(memory) = reading.allocatable().filter(|_| here) else {
        let total = reading.memory.as_ref().map_or(0, |memory| memory.total);
        return DeviceState { total, free: 0, used: Vec::new(), lost: true };
    };
    let mut by_process: BTreeMap<&[HolderId], Option<u64>> = BTreeMap::new();
    for process in reading.processes.iter().flatten() {
        let holders = whose.holders(process.pid);
        let sum = by_process.entry(holders).or_insert(Some(0));
        // Of several processes of the same holders, one that does not tell makes the sum unknown.
        *sum = sum.zip(process.used).map(|(a, b)| a.saturating_add(b));
    }
    let used =
        by_process.into_iter().flat_map(|(holders, sum)| spread(device, holders, sum, whose)).collect();
    DeviceState { total: memory.total, free: memory.free, used, lost: false }
}

/// What processes use of a device, as their holders' parts: each has what it leased, the last one what is beyond that.
fn spread(device: DeviceIndex, holders: &[HolderId], sum: Option<u64>, whose: &impl Whose) -> Vec<Used> {
    let mut rest = sum;
    let part = |(place, holder): (usize, &HolderId)| {
        let most = if place + 1 == holders.len() { u64::MAX } else { whose.leased(*holder, device) };
        let bytes = rest.map(|rest| rest.min(most));
        rest = rest.zip(bytes).map(|(rest, bytes)| rest - bytes);
        Used { holder: *holder, bytes }
    };
    holders.iter().enumerate().map(part).collect()
}

/// Why a device cannot be given out, for people; `None` where it can.
pub(super) fn why_not(reading: &DeviceReading) -> Option<String> {
    match &reading.memory {
        Err(unreadable @ (Unreadable::Lost(_) | Unreadable::NotTold(_))) => Some(unreadable.to_string()),
        Ok(_) if reading.mig.is_some() => Some("it is divided into MIG instances".to_owned()),
        Ok(_) => None,
    }
}
