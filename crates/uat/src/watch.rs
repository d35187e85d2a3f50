//! Tells when a file has become another one.
//!
//! It is looked at every half second rather than watched with inotify: a look at what the name *leads to* sees every way in
//! which files are exchanged (written in place, renamed over, a symbolic link above it turned, as Kubernetes does with its
//! volumes), works on network and overlay file systems, which report nothing, has no watch that is lost with the folder,
//! and costs a few microseconds.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};

/// Soon enough for whoever has just saved a file.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Looks at one file.
#[derive(Debug)]
pub(crate) struct FileWatch {
    file: PathBuf,
    settling: Settling,
    looks: Interval,
}

impl FileWatch {
    /// The file as it is now counts as known. It need not exist.
    pub(crate) fn new(file: PathBuf) -> Self {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let settling = Settling::from(Stamp::of(std::fs::metadata(&file)));
        Self { file, settling, looks }
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Resolves when the file has become another one, or has come or gone, and has been left alone for one look: a
    /// file that is still being written is not read. May be dropped while it waits.
    pub(crate) async fn changed(&mut self) {
        loop {
            self.looks.tick().await;
            if self.settling.look(Stamp::of(tokio::fs::metadata(&self.file).await)) {
                return;
            }
        }
    }

    /// It is about to be read anyway: what it is now is no news any more.
    pub(crate) async fn is_read_now(&mut self) {
        self.settling = Settling::from(Stamp::of(tokio::fs::metadata(&self.file).await));
    }
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    /// Seconds and ns. The second changes too where a program has set the first back.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// Nothing where there is no file, or none that may be looked at.
    fn of(metadata: std::io::Result<std::fs::Metadata>) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let metadata = metadata.ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// A change counts once it has been seen twice.
#[derive(Debug, Clone, Copy)]
struct Settling<T = Option<Stamp>> {
    known: T,
    seen: T,
}

impl<T: Copy + PartialEq> Settling<T> {
    fn from(known: T) -> Self {
        Self { known, seen: known }
    }

    fn look(&mut self, now: T) -> bool {
        let settled = now == self.seen;
        self.seen = now;
        let news = settled && now != self.known;
        if news {
            self.known = now;
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_counts_once_when_it_has_settled() {
        let mut settling = Settling::from(Some('a'));
        let looks = [Some('a'), Some('b'), Some('c'), Some('c'), Some('c'), None, Some('c'), None, None];
        let news: Vec<bool> = looks.into_iter().map(|now| settling.look(now)).collect();
        // The gap between two files that are exchanged is no news, a file that stays away is.
        assert_eq!(news, [false, false, false, true, false, false, false, false, true]);
    }

    fn stamp(file: &Path) -> Option<Stamp> {
        Stamp::of(std::fs::metadata(file))
    }

    #[test]
    fn every_way_of_exchanging_a_file_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let file = at("uat.toml");
        assert_eq!(stamp(&file), None);
        std::fs::write(&file, "a").unwrap();
        let first = stamp(&file);
        assert_eq!(first, stamp(&file));
        std::fs::write(at("next"), "a").unwrap();
        std::fs::rename(at("next"), &file).unwrap();
        let second = stamp(&file);
        assert!(second.is_some() && second != first, "renamed over");
        // As Kubernetes: the file is a link into `..data`, itself a link that is turned.
        for version in ["1", "2"] {
            std::fs::create_dir(at(version)).unwrap();
            std::fs::write(at(version).join("mounted.toml"), "a").unwrap();
        }
        std::os::unix::fs::symlink("1", at("..data")).unwrap();
        std::os::unix::fs::symlink("..data/mounted.toml", at("mounted.toml")).unwrap();
        let mounted = stamp(&at("mounted.toml"));
        std::os::unix::fs::symlink("2", at("turned")).unwrap();
        std::fs::rename(at("turned"), at("..data")).unwrap();
        assert!(mounted.is_some() && stamp(&at("mounted.toml")) != mounted, "the link above was turned");
    }

    #[tokio::test]
    async fn what_is_read_anyway_is_no_news() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("uat.toml");
        let mut watch = FileWatch::new(file.clone());
        std::fs::write(&file, "a").unwrap();
        watch.is_read_now().await;
        assert!(!watch.settling.look(stamp(&file)) && !watch.settling.look(stamp(&file)));
        std::fs::remove_file(&file).unwrap();
        assert!(!watch.settling.look(stamp(&file)) && watch.settling.look(stamp(&file)));
        assert_eq!(watch.file(), file);
    }
}
