//! Processes, as /proc tells of them: when they began, whether they live, from whom they descend.

use std::fs;

/// What /proc/PID/stat says of a process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stat {
    state: u8,
    parent: u32,
    /// When it began, in ticks since the boot.
    pub(crate) started: u64,
}

impl Stat {
    /// The state, the parent and the beginning: the first, the second and the twentieth field after the name, which may hold spaces
    /// and brackets.
    pub(crate) fn read(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, after) = stat.rsplit_once(')')?;
        let mut fields = after.split_whitespace();
        let state = *fields.next()?.as_bytes().first()?;
        let parent = fields.next()?.parse().ok()?;
        Some(Self { state, parent, started: fields.nth(17)?.parse().ok()? })
    }

    /// Whether nothing is left of it but what its parent has not asked for yet.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }
}

/// A process, and those that it descends from, nearest first, with what is known of each: without end only where numbers come again
/// meanwhile, so that whoever goes through it takes so many and no more.
pub(crate) fn lineage(pid: u32) -> impl Iterator<Item = (u32, Option<Stat>)> {
    let of = |pid| (pid, Stat::read(pid));
    std::iter::successors(Some(of(pid)), move |(_, stat)| {
        let parent = stat.as_ref()?.parent;
        (parent > 0).then(|| of(parent))
    })
}
