//! Session writes that were taken while Redis was away: on disk before they are acknowledged, and in memory so that they
//! can be read and built upon.
//!
//! A write is decided and put in a queue under one lock; whoever waits for it to be durable writes the queue to the file,
//! for everybody who came meanwhile. The overlay holds what the writes of a session come to: its [`Chain`].

mod disk;
pub(crate) mod record;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use self::disk::{Disk, Opened};
use self::record::{Effect, OfflineRow, Record};
use super::id::Hash;

/// Bytes of records at most, which are held in memory too.
const MAX_BYTES: usize = 64 << 20;

/// The writes of one session, and what they come to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Chain {
    /// The version in Redis that the first one builds upon; `None` if there is none.
    pub(crate) base: Option<u64>,
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// When the first was taken.
    pub(crate) accepted_at: u64,
    /// `None`: it was destroyed.
    pub(crate) row: Option<OfflineRow>,
    /// From which session it was regenerated.
    pub(crate) from: Option<Hash>,
    /// Somebody else had destroyed it before the journal did.
    pub(crate) foreign: bool,
    /// The last write that is in Redis.
    pub(crate) replayed: u64,
}

pub(crate) type Chains = HashMap<Hash, Chain>;

/// Why a write was not taken.
#[derive(Debug)]
pub(crate) enum Refused {
    Full,
    Disk(String),
}

/// See the module.
pub(crate) struct Journal {
    pub(crate) name: String,
    disk: Mutex<Disk>,
    /// Locked while `disk` is, or by itself; never the other way round.
    inner: Mutex<Inner>,
    /// Who writes the queue for all; the others wait without a thread.
    leader: tokio::sync::Mutex<()>,
    entries: AtomicUsize,
    max_entries: usize,
}

#[derive(Default)]
struct Inner {
    chains: Chains,
    last: u64,
    durable: u64,
    queue: Vec<u8>,
    bytes: usize,
}

impl Journal {
    /// The journal of this process, and those that other processes have left. Blocks.
    pub(crate) fn open(
        folder: &Path,
        purpose: &str,
        max_entries: usize,
        now: u64,
    ) -> io::Result<(Arc<Self>, Vec<Arc<Self>>)> {
        Disk::make_folder(folder)?;
        let mut journals: Vec<_> = Disk::orphans(folder, purpose)?
            .into_iter()
            .map(|opened| Arc::new(Self::new(opened, max_entries, now)))
            .collect();
        // The first one goes on as ours, so that its sessions are answered while Redis is away.
        let own = match journals.iter().position(|journal| journal.entries() > 0) {
            Some(first) => journals.swap_remove(first),
            None => match journals.pop() {
                Some(empty) => empty,
                None => Arc::new(Self::new(Disk::create(folder, purpose)?, max_entries, now)),
            },
        };
        // Empty ones are deleted when they are dropped.
        journals.retain(|journal| journal.entries() > 0);
        Ok((own, journals))
    }

    fn new(Opened { disk, name, records }: Opened, max_entries: usize, now: u64) -> Self {
        let bytes = disk.bytes();
        // The clock was set back since: nothing was taken later than now.
        let ahead = records.iter().map(|record| record.accepted_at).max().unwrap_or(0).saturating_sub(now);
        let (mut inner, entries) = (Inner::default(), records.len());
        for record in records {
            inner.apply(record.earlier(ahead));
        }
        inner.durable = inner.last;
        inner.bytes = bytes;
        Self {
            name,
            disk: Mutex::new(disk),
            inner: Mutex::new(inner),
            leader: tokio::sync::Mutex::default(),
            entries: AtomicUsize::new(entries),
            max_entries,
        }
    }

    /// Writes that are not in Redis yet.
    pub(crate) fn entries(&self) -> usize {
        self.entries.load(Ordering::Acquire)
    }

    /// Takes what `decide` makes of the sessions written so far, in one step; acknowledged only after
    /// [`Journal::durable`] of the number that this returns. No effects take nothing.
    pub(crate) fn accept<T, E: From<Refused>>(
        &self,
        now: u64,
        decide: impl FnOnce(&Chains) -> Result<(Vec<Effect>, T), E>,
    ) -> Result<(u64, T), E> {
        let mut inner = self.inner.lock();
        let (effects, answer) = decide(&inner.chains)?;
        if !effects.is_empty() {
            let record = Record { number: inner.last + 1, accepted_at: now, effects };
            let bytes = record.encode().map_err(|error| Refused::Disk(error.to_string()))?;
            if self.entries() >= self.max_entries || inner.bytes + bytes.len() > MAX_BYTES {
                return Err(Refused::Full.into());
            }
            inner.bytes += bytes.len();
            inner.queue.extend_from_slice(&bytes);
            inner.apply(record);
            self.entries.fetch_add(1, Ordering::AcqRel);
        }
        Ok((inner.last, answer))
    }

    /// Waits until the write of this number, and all before it, survive a loss of power.
    pub(crate) async fn durable(self: &Arc<Self>, number: u64) -> Result<(), Refused> {
        if self.inner.lock().durable >= number {
            return Ok(());
        }
        let _leader = self.leader.lock().await;
        if self.inner.lock().durable >= number {
            return Ok(());
        }
        // Goes on also if the caller is dropped meanwhile.
        let journal = Arc::clone(self);
        let flushed = tokio::task::spawn_blocking(move || journal.flush()).await;
        flushed
            .unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(|error| Refused::Disk(error.to_string()))
    }

    fn flush(&self) -> io::Result<()> {
        let mut disk = self.disk.lock();
        let (queue, last) = {
            let mut inner = self.inner.lock();
            (std::mem::take(&mut inner.queue), inner.last)
        };
        let appended = disk.append(&queue);
        let mut inner = self.inner.lock();
        match appended {
            Ok(()) => {
                inner.durable = last;
                Ok(())
            }
            Err(error) => {
                // Not acknowledged; tried again with the next one.
                let later = std::mem::replace(&mut inner.queue, queue);
                inner.queue.extend_from_slice(&later);
                Err(error)
            }
        }
    }

    /// What is to be brought to Redis, and the number of the last write in it.
    pub(crate) fn snapshot(&self) -> (u64, Chains) {
        let inner = self.inner.lock();
        (inner.last, inner.chains.clone())
    }

    /// Notes that a session's writes up to `last` are in Redis, or have lost.
    pub(crate) fn replayed(&self, hash: &Hash, last: u64, foreign: bool) {
        if let Some(chain) = self.inner.lock().chains.get_mut(hash) {
            chain.replayed = last;
            chain.foreign |= foreign;
        }
    }

    /// Empties the journal if nothing was written after `last`; whether it did. Blocks.
    pub(crate) fn finish(&self, last: u64) -> io::Result<bool> {
        let mut disk = self.disk.lock();
        {
            let mut inner = self.inner.lock();
            if inner.last != last {
                return Ok(false);
            }
            *inner = Inner { last, durable: last, ..Inner::default() };
            self.entries.store(0, Ordering::Release);
        }
        // Before the lock of the disk is free nobody appends. If this fails the writes are replayed again, to no effect.
        disk.empty().map(|()| true)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if self.entries() == 0
            && let Err(error) = self.disk.lock().remove()
        {
            tracing::debug!(%error, "an empty journal of sessions is left behind");
        }
    }
}

impl Inner {
    fn apply(&mut self, record: Record) {
        self.last = record.number;
        for Effect { hash, base, row } in record.effects {
            let chain = self.chains.entry(hash).or_insert_with(|| Chain {
                base,
                first: record.number,
                last: record.number,
                accepted_at: record.accepted_at,
                row: None,
                from: row.as_ref().and_then(|row| row.from.clone()),
                foreign: false,
                replayed: 0,
            });
            chain.last = record.number;
            chain.row = row;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::record::Time;
    use super::*;

    fn open(folder: &Path, now: u64) -> Arc<Journal> {
        Journal::open(folder, "test", 1000, now).unwrap().0
    }

    fn effect(id: u8, row: Option<u8>) -> Effect {
        let row = row.map(|data| OfflineRow {
            data: vec![data].into(),
            user: None,
            ttl: 1000,
            rolling: false,
            created: Time::Here(50),
            ends: Some(Time::Redis(60)),
            expires_at: 1050,
            whole: true,
            from: None,
        });
        Effect { hash: Hash::of(&id.to_string()), base: Some(u64::from(id)), row }
    }

    fn write(journal: &Journal, id: u8, row: Option<u8>) {
        let taken: Result<_, Refused> = journal.accept(50, |_| Ok((vec![effect(id, row)], ())));
        taken.unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn torn_at_any_byte_it_opens_as_it_was_after_the_last_whole_write(
            writes in prop::collection::vec((0..4_u8, prop::option::of(any::<u8>()), any::<bool>()), 1..12),
            cut in any::<prop::sample::Index>(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let journal = open(folder.path(), 50);
            let path = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
            let header = std::fs::metadata(&path).unwrap().len();
            let mut stages = vec![(header, Chains::new())];
            for (id, row, flush) in writes {
                write(&journal, id, row);
                if flush {
                    journal.flush().unwrap();
                    stages.push((std::fs::metadata(&path).unwrap().len(), journal.snapshot().1));
                }
            }
            drop(journal);
            let bytes = std::fs::read(&path).unwrap();
            let cut = cut.index(bytes.len() + 1);
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let reopened = open(folder.path(), 50);
            let (at_least, at_most) = (
                stages.iter().rev().find(|(len, _)| *len <= cut as u64),
                stages.iter().find(|(len, _)| *len >= cut as u64),
            );
            let last = reopened.snapshot();
            // Between two flushes there may be whole writes that were not flushed by themselves.
            if let Some((len, chains)) = at_least && *len == cut as u64 {
                prop_assert_eq!(&last.1, chains);
            }
            for (hash, chain) in at_least.iter().flat_map(|(_, chains)| chains) {
                prop_assert!(last.1.get(hash).is_some_and(|found| found.last >= chain.last));
            }
            if let Some((_, chains)) = at_most {
                prop_assert!(last.1.keys().all(|hash| chains.contains_key(hash)));
            }
            // And it goes on from there.
            let number = last.0;
            write(&reopened, 9, Some(1));
            reopened.flush().unwrap();
            drop(reopened);
            prop_assert_eq!(open(folder.path(), 50).snapshot().0, number + 1);
        }
    }

    #[test]
    fn a_clock_that_was_set_back_moves_the_writes_and_not_their_time_to_live() {
        let folder = tempfile::tempdir().unwrap();
        let journal = open(folder.path(), 50);
        write(&journal, 1, Some(1));
        journal.flush().unwrap();
        drop(journal);
        let (_, chains) = open(folder.path(), 20).snapshot();
        let chain = &chains[&Hash::of("1")];
        let row = chain.row.as_ref().unwrap();
        assert_eq!((chain.accepted_at, row.created, row.expires_at), (20, Time::Here(20), 1020));
        assert_eq!(row.ends, Some(Time::Redis(60)));
    }

    #[test]
    fn an_emptied_journal_has_a_new_name_in_its_next_life() {
        let folder = tempfile::tempdir().unwrap();
        let journal = open(folder.path(), 50);
        let name = journal.name.clone();
        write(&journal, 1, None);
        journal.flush().unwrap();
        assert!(!journal.finish(0).unwrap(), "something was written since");
        assert!(journal.finish(1).unwrap());
        assert_eq!((journal.entries(), journal.snapshot()), (0, (1, Chains::new())));
        // As after a kill: the file is left behind.
        let path = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        drop(journal);
        std::fs::write(&path, bytes).unwrap();
        assert_ne!(
            open(folder.path(), 50).name,
            name,
            "numbers begin anew, and Redis remembers the old ones"
        );
    }
}
