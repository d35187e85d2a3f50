//! Numbers of leases never come again, whatever happens to a daemon or its machine.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::journal::private_file;
use crate::LeaseId;

/// So many numbers are set aside at once: a sync costs more than a lease.
const BLOCK: u64 = 1 << 16;

/// A number that no lease has reached, on the disk.
#[derive(Debug)]
pub(super) struct Tokens {
    path: PathBuf,
    /// Leases may have numbers up to here.
    until: LeaseId,
}

impl Tokens {
    /// The last number that may have been given out, and the ones set aside behind it.
    pub(super) fn open(folder: &Path) -> io::Result<(LeaseId, Self)> {
        let path = folder.join("tokens");
        let last = match fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().map_err(|_| {
                let problem = format!("{}: expected a number, got {text:?}", path.display());
                io::Error::new(io::ErrorKind::InvalidData, problem)
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        let mut tokens = Self { path, until: last };
        tokens.cover(last + 1)?;
        Ok((last, tokens))
    }

    /// Nobody is told of a lease before its number is covered.
    pub(super) fn cover(&mut self, lease: LeaseId) -> io::Result<()> {
        if lease <= self.until {
            return Ok(());
        }
        let until = lease.saturating_add(BLOCK);
        let beside = self.path.with_extension("new");
        let mut file = private_file(&beside)?;
        writeln!(file, "{until}")?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        if let Some(folder) = self.path.parent() {
            File::open(folder)?.sync_all()?;
        }
        self.until = until;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_never_come_again() {
        let folder = tempfile::tempdir().unwrap();
        let (last, mut tokens) = Tokens::open(folder.path()).unwrap();
        assert_eq!(last, 0);
        tokens.cover(BLOCK * 3).unwrap();
        let (last, _) = Tokens::open(folder.path()).unwrap();
        assert!(last >= BLOCK * 3);
        fs::write(folder.path().join("tokens"), "seven").unwrap();
        assert!(Tokens::open(folder.path()).unwrap_err().to_string().contains("expected a number"));
    }
}
