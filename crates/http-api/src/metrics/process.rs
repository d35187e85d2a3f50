//! What the operating system says of this process, under the names that every client library of Prometheus gives it.
//!
//! Read from `/proc`, as in <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>. The crate `procfs`, which the
//! `prometheus` crate would bring for this, is a second `rustix` and forty times as long.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// One look at the process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Process {
    pub(crate) cpu_seconds: f64,
    pub(crate) resident_bytes: u64,
    pub(crate) virtual_bytes: u64,
    pub(crate) threads: u64,
    pub(crate) open_fds: u64,
    pub(crate) max_fds: u64,
    /// Since 1970.
    pub(crate) started_seconds: f64,
}

impl Process {
    /// `None` where there is no `/proc`.
    pub(crate) fn look() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        let stat = Stat::read(&stat)?;
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        let booted =
            now.saturating_sub(Duration::try_from_secs_f64(uptime.split(' ').next()?.parse().ok()?).ok()?);
        Some(Self {
            cpu_seconds: stat.cpu_ticks as f64 / ticks,
            resident_bytes: stat.resident_pages * rustix::param::page_size() as u64,
            virtual_bytes: stat.virtual_bytes,
            threads: stat.threads,
            // The folder that is being read is one of them.
            open_fds: (std::fs::read_dir("/proc/self/fd").ok()?.count() as u64).saturating_sub(1),
            max_fds: limit.current.unwrap_or(u64::MAX),
            started_seconds: booted.as_secs_f64() + stat.started_ticks as f64 / ticks,
        })
    }
}

#[derive(Debug, PartialEq)]
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    started_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn read(stat: &str) -> Option<Self> {
        // The name stands in brackets and may hold some of its own; what follows is numbered from 3 in the manual.
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)? + field(15)?,
            threads: field(20)?,
            started_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_moves_no_field() {
        let line = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 300 20 13 14 15 16 4 18 5000 8192 77 21";
        let stat = Stat::read(line).unwrap();
        assert_eq!(
            stat,
            Stat {
                cpu_ticks: 320,
                threads: 4,
                started_ticks: 5_000,
                virtual_bytes: 8_192,
                resident_pages: 77
            }
        );
        assert_eq!(Stat::read("7 (a"), None);
    }

    #[test]
    fn this_process_is_there_and_young() {
        let process = Process::look().unwrap();
        assert!(process.resident_bytes > 1 << 20 && process.open_fds >= 3 && process.threads >= 1);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        assert!((now - process.started_seconds).abs() < 3_600.0, "{process:?}");
    }
}
