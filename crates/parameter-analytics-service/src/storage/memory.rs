//! Logs that last as long as the process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Kind, Log, LogName, Storage, StorageError, Tail, Turn};

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Memory {
    logs: Mutex<HashMap<LogName, Arc<Mutex<Kept>>>>,
}

#[derive(Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    /// How often the contents were replaced or removed.
    replaced: u64,
}

#[derive(Debug)]
struct MemoryLog {
    kept: Arc<Mutex<Kept>>,
    /// How far it has read, and of which contents; `None` at first.
    read: Option<(u64, usize)>,
}

/// A panic while it is held leaves bytes that are whole: they change in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Storage for Memory {
    fn log(&self, name: &LogName) -> Result<Box<dyn Log>, StorageError> {
        let kept = Arc::clone(lock(&self.logs).entry(name.clone()).or_default());
        Ok(Box::new(MemoryLog { kept, read: None }))
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn names(&self, kind: Kind) -> Result<Vec<Arc<str>>, StorageError> {
        let mut logs = lock(&self.logs);
        // Those that were looked for and that nobody has or holds.
        logs.retain(|_, kept| Arc::strong_count(kept) > 1 || !lock(kept).bytes.is_empty());
        let there = logs.iter().filter(|(name, kept)| name.kind == kind && !lock(kept).bytes.is_empty());
        let mut names: Vec<Arc<str>> = there.map(|(name, _)| Arc::clone(&name.name)).collect();
        names.sort();
        Ok(names)
    }
}

impl Log for MemoryLog {
    fn turn(&mut self) -> Result<(Tail, Box<dyn Turn + '_>), StorageError> {
        let kept = lock(&self.kept);
        let from = self.read.filter(|(replaced, _)| *replaced == kept.replaced).map(|(_, at)| at);
        let bytes = kept.bytes.get(from.unwrap_or(0)..).unwrap_or_default().to_vec();
        let tail = Tail { is_whole: from.is_none(), bytes };
        self.read = Some((kept.replaced, kept.bytes.len()));
        Ok((tail, Box::new(MemoryTurn { kept, read: &mut self.read })))
    }
}

struct MemoryTurn<'a> {
    kept: MutexGuard<'a, Kept>,
    read: &'a mut Option<(u64, usize)>,
}

impl Turn for MemoryTurn<'_> {
    fn append(&mut self, lines: &[u8]) -> Result<(), StorageError> {
        self.kept.bytes.extend_from_slice(lines);
        *self.read = Some((self.kept.replaced, self.kept.bytes.len()));
        Ok(())
    }

    fn replace(&mut self, lines: &[u8]) -> Result<(), StorageError> {
        self.kept.bytes = lines.to_vec();
        self.kept.replaced += 1;
        *self.read = Some((self.kept.replaced, lines.len()));
        Ok(())
    }

    fn remove(&mut self) -> Result<(), StorageError> {
        self.replace(&[])
    }
}
