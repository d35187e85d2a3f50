//! Processes: which one it is, whether it lives, from whom it descends.

use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

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
        let stat = Stat::read(pid).filter(|stat| !matches!(stat.state, b'Z' | b'X'))?;
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
        let mut pid = self.pid;
        // Nobody builds longer chains than this.
        for _ in 0..64 {
            if pid == other {
                return true;
            }
            match Stat::read(pid) {
                Some(stat) if stat.parent > 0 => pid = stat.parent,
                _ => return false,
            }
        }
        false
    }
}

/// What /proc/PID/stat says.
struct Stat {
    state: u8,
    parent: u32,
    started: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, which comes before, may hold spaces and brackets.
        let (_, after) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = after.split_whitespace().collect();
        let state = *fields.first()?.as_bytes().first()?;
        Some(Self { state, parent: fields.get(1)?.parse().ok()?, started: fields.get(19)?.parse().ok()? })
    }
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
