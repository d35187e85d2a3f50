//! A ledger on disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_core::future::BoxFuture;
use parking_lot::Mutex;

use crate::account::Period;
use crate::book::{Book, Decision, Entry};
use crate::journal::{self, Contents, HEADER, Journal, Medium, Record};
use crate::ledger::{Claim, Granted, Ledger, LedgerError};
use crate::memory_ledger::{now, since_1970};
use crate::syncing::Syncing;
use crate::window::Windows;

const JOURNAL: &str = "budgets.journal";
const ANEW: &str = "budgets.journal.new";
const LOCK: &str = "budgets.lock";

/// Bytes at which a journal is written anew, unless it cannot become much shorter: some 10,000 claims.
const COMPACT_AT: u64 = 1 << 20;

/// Accounts in a journal in a folder, which one process has at a time: what is granted survives `kill -9` at once, and a loss of
/// power after a second. Days are kept there; minutes are not, nobody misses them after a restart.
///
/// A claim is appended before it is granted, in one write; the disk is told to keep it (`fsync`) by a thread, at most once a second.
/// What former lives of the process claimed counts as spent.
#[derive(Debug)]
pub struct FileLedger {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    keeper: Mutex<Keeper<Arc<File>>>,
    folder: PathBuf,
    syncing: Syncing,
    /// Held for as long as the ledger lives.
    _lock: File,
}

impl FileLedger {
    /// Opens the folder, which is made. Blocks.
    ///
    /// # Errors
    /// [`LedgerError::Locked`] where another process has it, [`LedgerError::Storage`].
    pub fn open(folder: &Path) -> Result<Self, LedgerError> {
        let failed =
            |what: &str, error: io::Error| storage(&format!("{what} in {}", folder.display()), &error);
        make_folder(folder).map_err(|error| failed("the folder cannot be made", error))?;
        let lock = private(OpenOptions::new().write(true).create(true).truncate(false))
            .open(folder.join(LOCK))
            .map_err(|error| failed(LOCK, error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(LedgerError::Locked { path: folder.to_owned() });
            }
            Err(std::fs::TryLockError::Error(error)) => return Err(failed(LOCK, error)),
        }
        let book = read_book(folder)?;
        // Written anew at each start: without what is torn, and without former days.
        let (file, len) = write_anew(folder, &book).map_err(|error| failed(JOURNAL, error))?;
        let syncing = Syncing::start(Arc::clone(&file)).map_err(|error| failed("a thread", error))?;
        let keeper = Mutex::new(Keeper { book, journal: Journal::new(file, len), compact_at: COMPACT_AT });
        Ok(Self { shared: Arc::new(Shared { keeper, folder: folder.to_owned(), syncing, _lock: lock }) })
    }
}

impl Ledger for FileLedger {
    fn claim(&self, claim: Claim) -> BoxFuture<'_, Result<Granted, LedgerError>> {
        let shared = Arc::clone(&self.shared);
        // A disk that hangs must not hold up requests that need nothing of it.
        let claimed = tokio::task::spawn_blocking(move || shared.claim(&claim));
        Box::pin(async move {
            claimed.await.unwrap_or_else(|error| Err(LedgerError::Storage { reason: error.to_string() }))
        })
    }
}

impl Shared {
    fn claim(&self, claim: &Claim) -> Result<Granted, LedgerError> {
        let mut keeper = self.keeper.lock();
        let granted = keeper.claim(claim, since_1970(), now())?;
        if keeper.journal.len() >= keeper.compact_at {
            self.compact(&mut keeper);
        }
        drop(keeper);
        self.syncing.soon();
        Ok(granted)
    }

    fn compact(&self, keeper: &mut Keeper<Arc<File>>) {
        match write_anew(&self.folder, &keeper.book) {
            Ok((file, len)) => {
                self.syncing.follow(Arc::clone(&file));
                keeper.journal = Journal::new(file, len);
                keeper.compact_at = COMPACT_AT.max(2 * len);
            }
            Err(error) => {
                keeper.compact_at = 2 * keeper.journal.len();
                tracing::warn!(%error, folder = %self.folder.display(), "the journal of budgets could not be written anew; it goes on growing");
            }
        }
    }
}

/// A book and its journal.
#[derive(Debug)]
struct Keeper<M> {
    book: Book,
    journal: Journal<M>,
    compact_at: u64,
}

impl<M: Medium> Keeper<M> {
    /// Grants what has been written down.
    fn claim(&mut self, claim: &Claim, since_1970: Duration, now: Instant) -> Result<Granted, LedgerError> {
        let (decision, granted) = self.book.consider(claim, since_1970, now);
        if let Some(record) = self.news(claim, &decision) {
            self.journal.append(&record.line()).map_err(|error| storage(JOURNAL, &error))?;
        }
        self.book.apply(&claim.account, claim.instance, &decision);
        Ok(granted)
    }

    /// What the journal does not say yet. What is spent of a claim need not be there: after a restart all of it counts.
    fn news(&self, claim: &Claim, decision: &Decision) -> Option<Record> {
        if claim.account.period != Period::Day || decision.stands {
            return None;
        }
        let before = self.book.sheet(&claim.account).filter(|sheet| sheet.window == decision.window);
        if before.and_then(|sheet| sheet.total_of(claim.instance)) == Some(decision.entry.total) {
            return None;
        }
        let (number, instance, total) = (claim.number, claim.instance, decision.entry.total);
        let (what, key) = (claim.account.what, claim.account.key.clone());
        Some(Record { day: decision.window, number, instance, total, what, key })
    }
}

/// The book as former lives left it.
fn read_book(folder: &Path) -> Result<Book, LedgerError> {
    let path = folder.join(JOURNAL);
    let mut bytes = Vec::new();
    match File::open(&path).and_then(|mut file| file.read_to_end(&mut bytes)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(storage(&path.display().to_string(), &error)),
    }
    let Contents { records, unreadable } = journal::read(&bytes).ok_or_else(|| LedgerError::Storage {
        reason: format!("{} is no journal of this version; move it away to begin anew", path.display()),
    })?;
    if unreadable > 0 {
        tracing::warn!(path = %path.display(), unreadable, "lines of the journal of budgets could not be read");
    }
    let last_day = records.iter().map(|record| record.day).max();
    let now = now();
    let mut book = Book::new(Windows::new(last_day, since_1970(), now), now);
    for record in records.iter().filter(|record| Some(record.day) == last_day) {
        // Its process has ended: all of it may be spent.
        let entry = Entry { number: record.number, total: record.total, spent: record.total, at_ms: 0 };
        let decision = Decision { window: record.day, entry, others: 0, others_spent: 0, stands: false };
        book.apply(&record.account(), record.instance, &decision);
    }
    Ok(book)
}

/// Puts a new journal in the place of the old one, and opens it; how long it is. At every moment there is one of them, whole.
fn write_anew(folder: &Path, book: &Book) -> io::Result<(Arc<File>, u64)> {
    let text = journal::anew(book.sheets());
    debug_assert!(text.starts_with(HEADER));
    let path = folder.join(ANEW);
    // What a process left behind that ended here before.
    std::fs::remove_file(&path).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })?;
    let mut file = private(OpenOptions::new().append(true).create_new(true)).open(&path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    let directory = File::open(folder)?;
    std::fs::rename(&path, folder.join(JOURNAL))?;
    // The new one is the journal now, whatever else fails: only a loss of power may bring the old one back.
    if let Err(error) = directory.sync_all() {
        tracing::warn!(%error, folder = %folder.display(), "the disk may not keep the new journal of budgets");
    }
    Ok((Arc::new(file), text.len() as u64))
}

impl Medium for Arc<File> {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&**self).write(bytes)
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }
}

/// Makes a folder for this user only.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// A file for this user only.
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

pub(crate) fn storage(what: &str, error: &io::Error) -> LedgerError {
    LedgerError::Storage { reason: format!("{what}: {error}") }
}

#[cfg(test)]
mod tests;
