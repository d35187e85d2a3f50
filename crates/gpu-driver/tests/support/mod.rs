//! What every driver promises of every reading.

use std::collections::BTreeSet;

use gpu_driver::{DeviceReading, Memory};

/// Fails where a reading breaks a promise of the crate's documentation.
pub(crate) fn keeps_promises(readings: &[DeviceReading]) {
    for (at, reading) in readings.iter().enumerate() {
        assert_eq!(usize::try_from(reading.index).unwrap(), at, "indices count from 0 without a gap");
        let instances = reading.mig.iter().flatten();
        let memories =
            instances.filter_map(|part| part.memory.as_ref().ok()).chain(reading.memory.as_ref().ok());
        memories.for_each(adds_up);
        assert!(reading.utilization.is_none_or(|percent| percent <= 100), "{reading:?}");
        assert!(reading.power_w.is_none_or(|watts| watts.is_finite() && watts >= 0.0), "{reading:?}");
        let pids: Vec<u32> = reading.processes.iter().flatten().map(|process| process.pid).collect();
        assert!(pids.is_sorted_by(|one, other| one < other), "each pid once, in order: {pids:?}");
        assert_eq!(reading.is_lost(), reading.is_lost() && reading.allocatable().is_none());
        assert!(reading.mig.is_none() || reading.allocatable().is_none(), "{reading:?}");
        if let Ok(memory) = &reading.memory {
            let most = reading.processes.iter().flatten().filter_map(|process| process.used).max();
            assert!(most.is_none_or(|most| most <= memory.total), "{reading:?}");
        }
    }
    let uuids: Vec<&String> = readings.iter().filter_map(|reading| reading.uuid.as_ref()).collect();
    assert_eq!(
        uuids.iter().collect::<BTreeSet<_>>().len(),
        uuids.len(),
        "no two devices share a UUID: {uuids:?}"
    );
}

fn adds_up(memory: &Memory) {
    let taken = u128::from(memory.used) + u128::from(memory.reserved.unwrap_or(0)) + u128::from(memory.free);
    assert!(memory.total > 0 && taken <= u128::from(memory.total), "{memory:?}");
}
