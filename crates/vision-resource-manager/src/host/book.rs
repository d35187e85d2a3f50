//! Who the callers are: processes, and the manager's numbers for them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio::sync::mpsc::{self, Receiver, Sender};

use super::process::Process;
use super::wire::Notice;
use crate::HolderId;

/// A client of a process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) process: Process,
    /// What it calls itself, where a process has several.
    pub(super) client: Box<str>,
}

/// Notices that a listener has not read yet; one that has so many is hung up on, and asks for the state when it comes again.
const UNREAD: usize = 256;

/// The holders, by process and by number.
#[derive(Debug, Default)]
pub(super) struct Book {
    by_key: BTreeMap<Key, HolderId>,
    by_id: HashMap<HolderId, Key>,
    listeners: HashMap<HolderId, Vec<Sender<Notice>>>,
    /// Those that held something when the daemon began, and have not been heard of.
    silent: BTreeSet<HolderId>,
}

impl Book {
    pub(super) fn find(&self, key: &Key) -> Option<HolderId> {
        self.by_key.get(key).copied()
    }

    pub(super) fn key(&self, holder: HolderId) -> Option<&Key> {
        self.by_id.get(&holder)
    }

    pub(super) fn enter(&mut self, key: Key, holder: HolderId) {
        self.by_id.insert(holder, key.clone());
        self.by_key.insert(key, holder);
    }

    /// Whether any client of this process is known.
    pub(super) fn knows(&self, process: Process) -> bool {
        self.by_key.keys().any(|key| key.process == process)
    }

    /// A process has ended: its holders, and whether with them the last one went that was not heard of.
    pub(super) fn leave(&mut self, process: Process) -> (Vec<HolderId>, bool) {
        let gone: Vec<HolderId> =
            self.by_key.iter().filter(|(key, _)| key.process == process).map(|(_, holder)| *holder).collect();
        let mut last = false;
        for holder in &gone {
            if let Some(key) = self.by_id.remove(holder) {
                self.by_key.remove(&key);
            }
            self.listeners.remove(holder);
            last |= self.settled(*holder);
        }
        (gone, last)
    }

    pub(super) fn listen(&mut self, holder: HolderId) -> Receiver<Notice> {
        let (tell, told) = mpsc::channel(UNREAD);
        self.listeners.entry(holder).or_default().push(tell);
        told
    }

    pub(super) fn tell(&mut self, holder: HolderId, notice: &Notice) {
        if let Some(listeners) = self.listeners.get_mut(&holder) {
            listeners.retain(|listener| listener.try_send(notice.clone()).is_ok());
        }
    }

    /// Nobody listens any longer.
    pub(super) fn hang_up(&mut self) {
        self.listeners.clear();
    }

    pub(super) fn is_silent(&mut self, holder: HolderId) {
        self.silent.insert(holder);
    }

    pub(super) fn silent(&self) -> &BTreeSet<HolderId> {
        &self.silent
    }

    /// A holder was heard of, or has nothing any longer; whether it was the last one.
    pub(super) fn settled(&mut self, holder: HolderId) -> bool {
        self.silent.remove(&holder) && self.silent.is_empty()
    }
}
