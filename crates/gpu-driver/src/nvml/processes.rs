//! Who has a context on a device, merged from the driver's lists.

use std::collections::BTreeMap;

use nvml_wrapper::Device;
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::struct_wrappers::device::ProcessInfo;

use super::trouble::{Trouble, is_missing, told};
use crate::ProcessReading;

/// A list can grow between the call that counts and the call that lists; so often in a row it does not.
const TRIES: usize = 3;

type List = Result<Vec<ProcessInfo>, NvmlError>;

/// The processes of a device with `total` bytes; `None` where neither those that compute nor those that draw are told.
pub(super) fn read(device: &Device<'_>, total: u64) -> Result<Option<Vec<ProcessReading>>, Trouble> {
    let is_wide = lists_are_wide(device);
    let computing = if is_wide {
        device_list(device, Device::running_compute_processes_v2)?
    } else {
        device_list(device, |device| {
            or_earlier(device.running_compute_processes(), || device.running_compute_processes_v2())
        })?
    };
    let drawing = if is_wide {
        device_list(device, Device::running_graphics_processes_v2)?
    } else {
        device_list(device, |device| {
            or_earlier(device.running_graphics_processes(), || device.running_graphics_processes_v2())
        })?
    };
    if computing.is_none() && drawing.is_none() {
        return Ok(None);
    }
    let shared = if is_wide { None } else { device_list(device, Device::mps_running_compute_processes)? };
    let lists = [computing, drawing, shared].into_iter().flatten();
    let lists = lists.map(|list| list.into_iter().map(|process| (process.pid, bytes(&process))).collect());
    Ok(Some(merged(lists, total)))
}

/// Early drivers of R535 filled the third version's list with entries of 32 bytes in place of 24, and would write beyond ours. They
/// are known by having confidential computing and not the list that later took the additional field (as nvitop knows them).
fn lists_are_wide(device: &Device<'_>) -> bool {
    let library = device.nvml().lib();
    library.nvmlDeviceGetConfComputeMemSizeInfo.is_ok()
        && library.nvmlDeviceGetRunningProcessDetailList.is_err()
}

/// Asks until the list fits; `None` where the driver does not tell it.
fn device_list<'nvml>(
    device: &Device<'nvml>,
    ask: impl Fn(&Device<'nvml>) -> List,
) -> Result<Option<Vec<ProcessInfo>>, Trouble> {
    let mut outcome = ask(device);
    for _ in 1..TRIES {
        if !matches!(outcome, Err(NvmlError::InsufficientSize(_))) {
            break;
        }
        outcome = ask(device);
    }
    told(outcome)
}

/// What a driver says that does not know the later version.
fn or_earlier(later: List, earlier: impl FnOnce() -> List) -> List {
    later.or_else(|error| if is_missing(&error) { earlier() } else { Err(error) })
}

fn bytes(process: &ProcessInfo) -> Option<u64> {
    match process.used_gpu_memory {
        UsedGpuMemory::Used(bytes) => Some(bytes),
        UsedGpuMemory::Unavailable => None,
    }
}

/// Each pid once. Within a list entries are of different instances and add up, unknown if one of them is, or if they come to more
/// than the `total` of the device, which is no figure; between lists the larger one counts, since drivers tell the same memory in
/// each.
fn merged(lists: impl Iterator<Item = Vec<(u32, Option<u64>)>>, total: u64) -> Vec<ProcessReading> {
    let mut all: BTreeMap<u32, Option<u64>> = BTreeMap::new();
    for list in lists {
        let mut sums: BTreeMap<u32, Option<u64>> = BTreeMap::new();
        for (pid, used) in list {
            let sum = sums.entry(pid).or_insert(Some(0));
            *sum = sum.zip(used).map(|(sum, used)| sum.saturating_add(used));
        }
        for (pid, used) in sums {
            let most = all.entry(pid).or_default();
            *most = (*most).max(used.filter(|used| *used <= total));
        }
    }
    all.into_iter().map(|(pid, used)| ProcessReading { pid, used }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lists: &[&[(u32, Option<u64>)]], expected: &[(u32, Option<u64>)]) {
        let merged = merged(lists.iter().map(|list| list.to_vec()), 1000);
        let merged: Vec<_> = merged.into_iter().map(|process| (process.pid, process.used)).collect();
        assert_eq!(merged, expected, "{lists:?}");
    }

    #[test]
    fn a_process_in_two_lists_counts_once() {
        check(&[&[(7, Some(300))], &[(7, Some(300)), (3, Some(10))]], &[(3, Some(10)), (7, Some(300))]);
        check(&[&[(7, None)], &[(7, Some(300))]], &[(7, Some(300))]);
    }

    #[test]
    fn a_process_on_two_instances_counts_with_both() {
        check(&[&[(7, Some(100)), (7, Some(200))]], &[(7, Some(300))]);
    }

    #[test]
    fn more_than_the_device_has_is_no_figure() {
        check(&[&[(7, Some(1001))], &[(7, Some(300))]], &[(7, Some(300))]);
        check(&[&[(7, Some(600)), (7, Some(600)), (8, Some(1000))]], &[(7, None), (8, Some(1000))]);
        check(&[&[(7, Some(u64::MAX)), (7, Some(200))]], &[(7, None)]);
    }

    #[test]
    fn what_is_unknown_stays_unknown_and_is_not_zero() {
        check(&[&[(7, None)]], &[(7, None)]);
        check(&[&[(7, None), (7, Some(200))]], &[(7, None)]);
        check(&[&[(7, Some(0))]], &[(7, Some(0))]);
    }
}
