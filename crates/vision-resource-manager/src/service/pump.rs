//! The thread that reads the driver and lets time pass.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use gpu_driver::{DeviceReading, Driver, DriverError};

use super::readings::Whose;
use super::{ManagerError, Shared};
use crate::processes::{Stat, lineage};
use crate::{DeviceIndex, Event, HolderId, Manager};

/// A child of a child of a holder uses memory for it; nobody builds longer chains than this.
const GENERATIONS: usize = 32;

/// The thread, which ends with [`Pump::end`].
pub(super) struct Pump {
    thread: JoinHandle<()>,
}

impl Pump {
    /// Reads the driver before it returns, so that the first request knows what there is.
    pub(super) fn start(
        shared: Arc<Shared>,
        mut driver: Box<dyn Driver>,
        poll_ms: u64,
    ) -> Result<Self, ManagerError> {
        let own = Arc::clone(&shared);
        read(&shared, &mut *driver);
        let thread = thread::Builder::new()
            .name("gpu-memory".to_owned())
            .spawn(move || run(&own, &mut *driver, poll_ms.max(1)))
            .map_err(|error| ManagerError::Thread(error.to_string()))?;
        Ok(Self { thread })
    }

    pub(super) fn end(self) {
        // A callback may close the manager: the thread does not wait for itself.
        if self.thread.thread().id() != thread::current().id() {
            drop(self.thread.join());
        }
    }
}

fn run(shared: &Shared, driver: &mut dyn Driver, poll_ms: u64) {
    let mut next_read = shared.now().saturating_add(poll_ms);
    loop {
        let due = {
            let mut state = shared.lock();
            if state.closed {
                return;
            }
            let next =
                [state.manager.next_tick(), state.read_at].into_iter().flatten().fold(next_read, u64::min);
            state.sleeps_until = next;
            let wait = next.saturating_sub(shared.now());
            if wait > 0 {
                let waited = shared.changed.wait_timeout(state, Duration::from_millis(wait));
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            let now = shared.now();
            let due = now >= next_read || state.read_at.is_some_and(|when| when <= now);
            if due {
                state.read_at = None;
            }
            due
        };
        if due {
            read(shared, driver);
            next_read = shared.now().saturating_add(poll_ms);
        } else {
            shared.change(|state, now| {
                if state.manager.next_tick().is_some_and(|tick| tick <= now) {
                    state.apply(now, Event::Tick);
                }
            });
        }
    }
}

/// Reads the driver, without the state's lock: a driver may take its time.
fn read(shared: &Shared, driver: &mut dyn Driver) {
    let began_at = Some(shared.now());
    let read = driver.read();
    let no_gpu = why_none(driver, &read);
    let pids: Vec<u32> = read.iter().flatten().flat_map(processes).collect();
    let lines: Vec<(u32, Vec<Ancestor>)> = pids.into_iter().map(|pid| (pid, line(pid))).collect();
    shared.change(|state, now| {
        let theirs = |ancestor: &Ancestor| -> Option<Vec<HolderId>> {
            let holders =
                state.holders.iter().filter(|(_, of)| of.process.is(ancestor.pid, ancestor.started));
            let holders: Vec<HolderId> = holders.map(|(id, _)| *id).collect();
            (!holders.is_empty()).then_some(holders)
        };
        let holders = lines.iter().filter_map(|(pid, line)| Some((*pid, line.iter().find_map(theirs)?)));
        let owners = Owners { holders: holders.collect(), manager: &state.manager };
        let devices = state.readings.take(read, &owners);
        state.no_gpu = no_gpu.filter(|_| devices.is_empty());
        state.apply(now, Event::Devices { devices, began_at });
    });
}

/// Whose processes are, at the time of a reading.
struct Owners<'a> {
    holders: HashMap<u32, Vec<HolderId>>,
    manager: &'a Manager,
}

impl Whose for Owners<'_> {
    fn holders(&self, pid: u32) -> &[HolderId] {
        self.holders.get(&pid).map_or(&[], Vec::as_slice)
    }

    fn leased(&self, holder: HolderId, device: DeviceIndex) -> u64 {
        self.manager.leased(holder, device).unwrap_or(0)
    }
}

fn processes(reading: &DeviceReading) -> Vec<u32> {
    reading.processes.iter().flatten().map(|process| process.pid).collect()
}

fn why_none(driver: &dyn Driver, read: &Result<Vec<DeviceReading>, DriverError>) -> Option<String> {
    match read {
        Err(error) => Some(error.to_string()),
        Ok(devices) if devices.is_empty() => {
            Some(driver.why_none().map_or_else(|| "none was asked for".to_owned(), ToString::to_string))
        }
        Ok(_) => None,
    }
}

/// A process, or one that it descends from.
struct Ancestor {
    pid: u32,
    /// When it began, in ticks since the boot; `None` where the system does not say.
    started: Option<u64>,
}

/// The process and those that started it, nearest first, but for the first one of all.
fn line(pid: u32) -> Vec<Ancestor> {
    let line = lineage(pid).enumerate().take_while(|(place, (pid, _))| *place == 0 || *pid > 1);
    let of = |(_, (pid, stat)): (usize, (u32, Option<Stat>))| Ancestor {
        pid,
        started: stat.map(|stat| stat.started),
    };
    line.take(GENERATIONS).map(of).collect()
}
