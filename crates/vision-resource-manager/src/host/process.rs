//! Processes: which one it is, whether it lives, from whom it descends.

use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

use crate::processes::{Stat, lineage};

/// Nobody builds longer chains than this.
const GENERATIONS: usize = 64;

/// A process for good: its number may come again, its number with its beginning does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Process {
    pub(super) pid: u32,
    /// When it began, in ticks since the boot.
    pub(super) started: u64,
}

impl Process {
    /// The process that has this number now; `None` where none has, or only what is left of one that has ended.
    pub(super) fn now(pid: u32) -> Option<Self> {
        let stat = Stat::read(pid).filter(|stat| !stat.has_ended())?;
        Some(Self { pid, started: stat.started })
    }

    /// The same for the manager.
    pub(super) fn of_manager(self) -> crate::Process {
        crate::Process { pid: self.pid, started: Some(self.started) }
    }

    /// Whether it lives.
    pub(super) fn lives(self) -> bool {
        Self::now(self.pid) == Some(self)
    }

    /// Whether it is `other`, or a process that descends from it.
    pub(super) fn descends_from(self, other: u32) -> bool {
        descends_from(self.pid, other)
    }
}

/// Whether a process descends from another, or is that one.
pub fn descends_from(pid: u32, ancestor: u32) -> bool {
    lineage(pid).take(GENERATIONS).any(|(pid, _)| pid == ancestor)
}

/// Which boot this is: processes and their beginnings mean nothing in another one.
pub(super) fn boot() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_itself_and_descends_from_its_parent() {
        let me = Process::now(std::process::id()).unwrap();
        assert!(me.lives() && me.descends_from(me.pid));
        assert!(me.descends_from(std::os::unix::process::parent_id()));
        assert!(!Process { started: me.started + 1, ..me }.lives());
    }

    #[test]
    fn a_process_that_has_ended_and_is_not_waited_for_yet_does_not_live() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        while Process::now(pid).is_some() {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert_eq!(Process::now(pid), None);
    }
}
