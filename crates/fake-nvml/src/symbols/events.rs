//! Waiting for what happens on a device.

use std::collections::BTreeMap;
use std::ffi::{c_uint, c_ulonglong};
use std::time::{Duration, Instant};

use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlEventData_t, nvmlEventSet_t, nvmlReturn_t};
use parking_lot::Mutex;

use crate::handle::of_device;
use crate::library::{Answer, answer};
use crate::passed::Out;
use crate::script::{Event, Script};
use crate::{code, library};

/// How often the script is looked at while somebody waits.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// The kinds of events that a device says it can tell: errors of ECC, changes of the performance state, Xids, clocks.
const SUPPORTED: u64 = 0x1F;

static SETS: Mutex<Sets> = Mutex::new(Sets { last: 0, open: BTreeMap::new() });

/// The event sets that are open, by their handles, which count from 1.
struct Sets {
    last: usize,
    open: BTreeMap<usize, Set>,
}

/// What somebody waits for: kinds by device, and how many of the script's events have been told or were there before.
#[derive(Default)]
struct Set {
    wanted: BTreeMap<usize, u64>,
    seen: usize,
}

impl Set {
    /// The next event that is waited for.
    fn next(&mut self, script: &Script) -> Option<Event> {
        let new = script.events.get(self.seen..).unwrap_or_default();
        let at = new
            .iter()
            .position(|event| self.wanted.get(&event.device).is_some_and(|kinds| kinds & event.kind != 0));
        self.seen = self.seen.saturating_add(at.map_or(new.len(), |at| at + 1)).min(script.events.len());
        at.and_then(|at| new.get(at)).cloned()
    }
}

fn wait(
    symbol: &'static str,
    set: nvmlEventSet_t,
    data: &Out<nvmlEventData_t>,
    timeout_ms: c_uint,
) -> nvmlReturn_t {
    let until = Instant::now() + Duration::from_millis(u64::from(timeout_ms));
    loop {
        let code = answer(symbol, |call| {
            let event =
                SETS.lock().open.get_mut(&set.addr()).ok_or(code::INVALID_ARGUMENT)?.next(&call.script);
            tell(event.ok_or(code::TIMEOUT)?, data)
        });
        if code != code::TIMEOUT || Instant::now() >= until {
            return code;
        }
        std::thread::sleep(LOOK_EVERY.min(until.saturating_duration_since(Instant::now())));
    }
}

fn tell(event: Event, data: &Out<nvmlEventData_t>) -> Answer {
    data.put(nvmlEventData_t {
        device: of_device(event.device),
        eventType: event.kind,
        eventData: event.data,
        gpuInstanceId: c_uint::MAX,
        computeInstanceId: c_uint::MAX,
    })
}

// SAFETY: nothing else of this name is linked beside it.
#[unsafe(no_mangle)]
extern "C" fn nvmlEventSetWait(
    set: nvmlEventSet_t,
    data: Out<nvmlEventData_t>,
    timeout_ms: c_uint,
) -> nvmlReturn_t {
    wait("nvmlEventSetWait", set, &data, timeout_ms)
}

// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn nvmlEventSetWait_v2(
    set: nvmlEventSet_t,
    data: Out<nvmlEventData_t>,
    timeout_ms: c_uint,
) -> nvmlReturn_t {
    wait("nvmlEventSetWait_v2", set, &data, timeout_ms)
}

// SAFETY: as above. Sets are also freed when the driver has gone.
#[unsafe(no_mangle)]
extern "C" fn nvmlEventSetFree(set: nvmlEventSet_t) -> nvmlReturn_t {
    library::guarded(|| SETS.lock().open.remove(&set.addr()).map(drop).ok_or(code::INVALID_ARGUMENT))
}

symbols! {
    fn nvmlEventSetCreate(call, out: Out<nvmlEventSet_t>) {
        let mut sets = SETS.lock();
        sets.last = sets.last.saturating_add(1);
        let handle = sets.last;
        out.put(std::ptr::without_provenance_mut(handle))?;
        sets.open.insert(handle, Set { wanted: BTreeMap::new(), seen: call.script.events.len() });
        Ok(())
    }

    fn nvmlDeviceRegisterEvents(call, device: nvmlDevice_t, kinds: c_ulonglong, set: nvmlEventSet_t) {
        let (index, _) = call.device(device)?;
        if kinds & !SUPPORTED != 0 {
            return Err(code::NOT_SUPPORTED);
        }
        let mut sets = SETS.lock();
        let set = sets.open.get_mut(&set.addr()).ok_or(code::INVALID_ARGUMENT)?;
        *set.wanted.entry(index).or_default() |= kinds;
        Ok(())
    }

    fn nvmlDeviceGetSupportedEventTypes(call, device: nvmlDevice_t, kinds: Out<c_ulonglong>) {
        call.device(device)?;
        kinds.put(SUPPORTED)
    }
}
