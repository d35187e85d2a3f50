use super::*;
use crate::account::{Account, What};
use crate::ledger::InstanceId;

fn claim(instance: u64, number: u64, total: u64) -> Claim {
    Claim {
        account: Account { key: "alice".into(), what: What::Money, period: Period::Day },
        instance: InstanceId(instance),
        number,
        limit: 1000,
        window: None,
        held: 0,
        total,
        spent: 0,
        fresh: total,
    }
}

async fn granted(ledger: &FileLedger, claim: Claim) -> (u64, u64, u64) {
    let granted = ledger.claim(claim).await.unwrap();
    (granted.granted, granted.others, granted.others_spent)
}

#[tokio::test]
async fn what_was_claimed_before_a_restart_counts_as_spent() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("deep/state");
    let ledger = FileLedger::open(&state).unwrap();
    assert_eq!(granted(&ledger, claim(1, 1, 300)).await, (300, 0, 0));
    assert_eq!(granted(&ledger, claim(1, 2, 200)).await, (200, 0, 0), "given back");
    drop(ledger);
    let ledger = FileLedger::open(&state).unwrap();
    assert_eq!(granted(&ledger, claim(2, 1, 900)).await, (800, 200, 200));
    drop(ledger);
    let ledger = FileLedger::open(&state).unwrap();
    assert_eq!(granted(&ledger, claim(3, 1, 900)).await, (0, 1000, 1000));
}

#[tokio::test]
async fn minutes_are_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = FileLedger::open(folder.path()).unwrap();
    let len = std::fs::metadata(folder.path().join(JOURNAL)).unwrap().len();
    let mut claim = claim(1, 1, 300);
    claim.account.period = Period::Minute;
    assert_eq!(granted(&ledger, claim).await.0, 300);
    assert_eq!(std::fs::metadata(folder.path().join(JOURNAL)).unwrap().len(), len);
}

#[test]
fn a_second_process_is_told_who_has_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let first = FileLedger::open(folder.path()).unwrap();
    let second = FileLedger::open(folder.path()).unwrap_err();
    assert_eq!(second, LedgerError::Locked { path: folder.path().to_owned() });
    assert!(second.to_string().contains("state_dir"));
    drop(first);
    FileLedger::open(folder.path()).unwrap();
}

#[test]
fn a_file_that_is_no_journal_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(JOURNAL), "something else\n").unwrap();
    let error = FileLedger::open(folder.path()).unwrap_err();
    assert!(error.to_string().contains("move it away"), "{error}");
    assert_eq!(std::fs::read_to_string(folder.path().join(JOURNAL)).unwrap(), "something else\n");
}

#[tokio::test]
async fn a_torn_tail_costs_no_whole_line() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = FileLedger::open(folder.path()).unwrap();
    granted(&ledger, claim(1, 1, 300)).await;
    drop(ledger);
    let path = folder.path().join(JOURNAL);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, [&whole[..], b"1234abcd 20000 7 00"].concat()).unwrap();
    let ledger = FileLedger::open(folder.path()).unwrap();
    assert_eq!(granted(&ledger, claim(2, 1, 1000)).await, (700, 300, 300));
    drop(ledger);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains("1234abcd") && text.ends_with('\n'));
}

#[tokio::test]
async fn the_journal_is_written_anew_before_it_grows_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = FileLedger::open(folder.path()).unwrap();
    ledger.shared.keeper.lock().compact_at = 2000;
    for number in 1..500 {
        granted(&ledger, claim(1, number, number)).await;
    }
    let len = std::fs::metadata(folder.path().join(JOURNAL)).unwrap().len();
    // After the first time the limit is the usual one.
    assert!(len < 50_000 && ledger.shared.keeper.lock().compact_at == COMPACT_AT);
    ledger.shared.keeper.lock().compact_at = 2000;
    granted(&ledger, claim(1, 500, 500)).await;
    assert!(std::fs::metadata(folder.path().join(JOURNAL)).unwrap().len() < 200);
    granted(&ledger, claim(1, 501, 501)).await;
    drop(ledger);
    let ledger = FileLedger::open(folder.path()).unwrap();
    assert_eq!(granted(&ledger, claim(2, 1, 1000)).await, (499, 501, 501));
}

/// A disk that is full while it is told so.
#[derive(Default)]
struct Disk {
    bytes: Vec<u8>,
    is_full: bool,
}

impl Medium for Disk {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_full {
            self.bytes.extend_from_slice(&bytes[..bytes.len() / 2]);
            return Ok(bytes.len() / 2);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.bytes.truncate(usize::try_from(len).unwrap());
        Ok(())
    }
}

fn keeper(disk: Disk) -> Keeper<Disk> {
    let now = now();
    let book = Book::new(Windows::new(None, Duration::from_secs(1_000_000), now), now);
    Keeper { book, journal: Journal::new(disk, 0), compact_at: u64::MAX }
}

#[test]
fn on_a_full_disk_nothing_is_granted_and_what_was_granted_stands() {
    let mut keeper = keeper(Disk::default());
    let wall = Duration::from_secs(1_000_000);
    let put = |keeper: &mut Keeper<Disk>, claim: Claim| keeper.claim(&claim, wall, now());
    let window = put(&mut keeper, claim(1, 1, 300)).unwrap().window;
    let in_window = |claim: Claim| Claim { window: Some(window), ..claim };
    keeper.journal = Journal::new(Disk { is_full: true, ..Disk::default() }, 0);
    let refused = put(&mut keeper, in_window(claim(1, 2, 600))).unwrap_err();
    assert_eq!((refused.code(), refused.retryable()), ("UAT_STORAGE", true));
    keeper.journal = Journal::new(Disk::default(), 0);
    let other = put(&mut keeper, in_window(claim(2, 1, 900))).unwrap();
    assert_eq!((other.granted, other.others), (700, 300), "what was refused is not counted");
    assert_eq!(put(&mut keeper, in_window(claim(1, 3, 300))).unwrap().granted, 300);
}

#[test]
fn a_clock_that_is_set_gives_no_fresh_budget() {
    const DAY: u64 = 86_400;
    let mut keeper = keeper(Disk::default());
    let start = now();
    let first = keeper.claim(&claim(1, 1, 1000), Duration::from_secs(1_000_000), start).unwrap();
    for wall in [0, 1_000_000 - 5 * DAY, 1_000_000 + DAY, 1_000_000 + 400 * DAY] {
        let granted = keeper.claim(&claim(2, wall, 1000), Duration::from_secs(wall), start).unwrap();
        assert_eq!((granted.granted, granted.window), (0, first.window), "{wall}");
        assert!(granted.ends_in > Duration::ZERO && granted.ends_in <= Duration::from_secs(DAY));
    }
}
