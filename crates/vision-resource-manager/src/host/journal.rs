//! Who has which lease, as it lies in a file: written before anybody is told, so that a daemon that is killed loses no lease.
//!
//! A line of JSON for each thing that happened, the newest last. Nothing is synced to the disk: what survives a kill is
//! the system's memory, and with that every holder goes, too; lines of another boot are therefore of no use. Numbers of leases must never come
//! again, whatever happens: a second file has a number that none has reached, which is synced ([`super::tokens`]).

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::process::Process;
use crate::{LeaseId, Priority};

/// A file that has grown to so many lines, and to four times those that count, is written anew.
const LINES: usize = 4_096;

/// A lease, as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Recorded {
    pub(super) lease: LeaseId,
    pub(super) process: Process,
    pub(super) client: Box<str>,
    pub(super) owner: Box<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) model: Option<Box<str>>,
    pub(super) priority: Priority,
    pub(super) gpus: Vec<RecordedShare>,
    /// When it ends, in ms since 1970: the only clock that the next daemon has, too. `None`: a warm model's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ends: Option<u64>,
    #[serde(default)]
    pub(super) preemptible: bool,
    #[serde(default)]
    pub(super) grace_ms: u64,
}

/// Memory of a device that is known by its name for life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RecordedShare {
    pub(super) uuid: Box<str>,
    pub(super) bytes: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Boot(Box<str>),
    Granted(Recorded),
    Ends(LeaseId, u64),
    Gone(LeaseId),
}

/// The file, and what it says.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    boot: Box<str>,
    held: BTreeMap<LeaseId, Recorded>,
    lines: usize,
}

impl Journal {
    /// Reads what an earlier daemon wrote during this boot.
    pub(super) fn open(folder: &Path, boot: &str) -> io::Result<Self> {
        let path = folder.join("leases.jsonl");
        let held = match File::open(&path) {
            Ok(file) => read(file, boot)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        let file = write_anew(&path, boot, &held)?;
        Ok(Self { path, file, boot: boot.into(), lines: held.len() + 1, held })
    }

    pub(super) fn held(&self) -> &BTreeMap<LeaseId, Recorded> {
        &self.held
    }

    pub(super) fn granted(&mut self, lease: Recorded) -> io::Result<()> {
        let line = Line::Granted(lease);
        self.write(&line)?;
        if let Line::Granted(lease) = line {
            self.held.insert(lease.lease, lease);
        }
        Ok(())
    }

    /// A lease ends at another time than it was to.
    pub(super) fn ends(&mut self, lease: LeaseId, when: u64) -> io::Result<()> {
        let Some(recorded) = self.held.get_mut(&lease) else { return Ok(()) };
        recorded.ends = Some(when);
        self.write(&Line::Ends(lease, when))
    }

    pub(super) fn gone(&mut self, lease: LeaseId) -> io::Result<()> {
        if self.held.remove(&lease).is_none() {
            return Ok(());
        }
        self.write(&Line::Gone(lease))
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        if self.lines >= LINES && self.lines > 4 * self.held.len() {
            self.file = write_anew(&self.path, &self.boot, &self.held)?;
            self.lines = self.held.len() + 1;
        }
        self.file.write_all(&encoded(line)?)?;
        self.lines += 1;
        Ok(())
    }
}

fn encoded(line: &Line) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// What is held by the last line that is whole. A line that makes no sense is an error: what is behind it is not guessed.
fn read(file: File, boot: &str) -> io::Result<BTreeMap<LeaseId, Recorded>> {
    let mut held = BTreeMap::new();
    let mut reader = BufReader::new(file);
    let (mut line, mut number) = (Vec::new(), 0);
    loop {
        line.clear();
        number += 1;
        reader.read_until(b'\n', &mut line)?;
        // Without its end the daemon was killed while it wrote: nobody was told of that one.
        if line.pop() != Some(b'\n') {
            return Ok(held);
        }
        let line = serde_json::from_slice(&line).map_err(|error| {
            io::Error::new(io::ErrorKind::InvalidData, format!("line {number} makes no sense: {error}"))
        })?;
        match line {
            Line::Boot(written) if &*written != boot => return Ok(BTreeMap::new()),
            Line::Boot(_) => {}
            Line::Granted(lease) => drop(held.insert(lease.lease, lease)),
            Line::Ends(lease, when) => {
                if let Some(lease) = held.get_mut(&lease) {
                    lease.ends = Some(when);
                }
            }
            Line::Gone(lease) => drop(held.remove(&lease)),
        }
    }
}

/// Only what counts, in a file that takes the place of the old one whole or not at all.
fn write_anew(path: &Path, boot: &str, held: &BTreeMap<LeaseId, Recorded>) -> io::Result<File> {
    let beside = path.with_extension("new");
    let mut file = private_file(&beside)?;
    let mut bytes = encoded(&Line::Boot(boot.into()))?;
    for lease in held.values() {
        bytes.extend(encoded(&Line::Granted(lease.clone()))?);
    }
    file.write_all(&bytes)?;
    fs::rename(&beside, path)?;
    Ok(file)
}

pub(super) fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(lease: LeaseId) -> Recorded {
        let process = Process { pid: 1, started: 2 };
        let gpus = vec![RecordedShare { uuid: "GPU-1".into(), bytes: 3 }];
        let (client, owner) = ("".into(), "me".into());
        let priority = Priority::Normal;
        Recorded {
            lease,
            process,
            client,
            owner,
            model: None,
            priority,
            gpus,
            ends: Some(9),
            preemptible: true,
            grace_ms: 4,
        }
    }

    #[test]
    fn what_was_written_is_read_again_during_the_same_boot_only() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(folder.path(), "boot").unwrap();
        for id in 1..=3 {
            journal.granted(lease(id)).unwrap();
        }
        journal.gone(2).unwrap();
        journal.ends(3, 77).unwrap();
        let read = Journal::open(folder.path(), "boot").unwrap();
        let expected = BTreeMap::from([(1, lease(1)), (3, Recorded { ends: Some(77), ..lease(3) })]);
        assert_eq!(read.held(), &expected);
        assert!(Journal::open(folder.path(), "another").unwrap().held().is_empty());
    }

    #[test]
    fn a_line_that_was_cut_is_left_out_and_one_that_makes_no_sense_is_named() {
        let folder = tempfile::tempdir().unwrap();
        Journal::open(folder.path(), "boot").unwrap().granted(lease(1)).unwrap();
        let path = folder.path().join("leases.jsonl");
        let whole = fs::read(&path).unwrap();
        fs::write(&path, [&whole, br#"{"gone":1"#.as_slice()].concat()).unwrap();
        assert_eq!(Journal::open(folder.path(), "boot").unwrap().held().len(), 1);
        fs::write(&path, [&whole, b"?\n".as_slice()].concat()).unwrap();
        let error = Journal::open(folder.path(), "boot").unwrap_err();
        assert!(error.to_string().starts_with("line 3 makes no sense"), "{error}");
    }

    #[test]
    fn the_file_does_not_grow_with_what_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(folder.path(), "boot").unwrap();
        for id in 1..=LINES as u64 * 2 {
            journal.granted(lease(id)).unwrap();
            journal.gone(id).unwrap();
        }
        let text = fs::read_to_string(folder.path().join("leases.jsonl")).unwrap();
        assert!(text.lines().count() <= LINES, "{}", text.lines().count());
        assert!(Journal::open(folder.path(), "boot").unwrap().held().is_empty());
    }
}
