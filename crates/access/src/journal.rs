//! The journal of a ledger on disk: lines, each with its checksum, appended and now and then written anew.

use std::io;
use std::sync::Arc;

use crate::account::{Account, Period, What};
use crate::book::Sheet;
use crate::ledger::InstanceId;

/// What a journal begins with; the number is the version of the format.
pub(crate) const HEADER: &str = "uat-budgets 1\n";

/// What an instance claims of a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) day: u64,
    pub(crate) number: u64,
    pub(crate) instance: InstanceId,
    pub(crate) total: u64,
    pub(crate) what: What,
    pub(crate) key: Arc<str>,
}

impl Record {
    /// `CRC32 DAY NUMBER INSTANCE TOTAL WHAT "KEY"`.
    pub(crate) fn line(&self) -> String {
        let Self { day, number, instance, total, what, key } = self;
        let key = serde_json::Value::from(&**key);
        let rest = format!("{day} {number} {instance} {total} {what} {key}");
        format!("{:08x} {rest}\n", crc32fast::hash(rest.as_bytes()))
    }

    fn parse(line: &str) -> Option<Self> {
        let (crc, rest) = line.split_once(' ')?;
        if u32::from_str_radix(crc, 16).ok()? != crc32fast::hash(rest.as_bytes()) {
            return None;
        }
        let mut words = rest.splitn(6, ' ');
        Some(Self {
            day: words.next()?.parse().ok()?,
            number: words.next()?.parse().ok()?,
            instance: InstanceId(u64::from_str_radix(words.next()?, 16).ok()?),
            total: words.next()?.parse().ok()?,
            what: What::parse(words.next()?)?,
            key: serde_json::from_str::<String>(words.next()?).ok()?.into(),
        })
    }

    pub(crate) fn account(&self) -> Account {
        Account { key: self.key.clone(), what: self.what, period: Period::Day }
    }
}

/// What was in a journal.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) records: Vec<Record>,
    /// Lines that are no records. The last may be one that was being written; others are damage.
    pub(crate) unreadable: usize,
}

/// Reads a journal; `None` if it is none of this version. Claims are absolute, so a line that cannot be read costs no more than what it
/// said, and only until the next one of its account.
pub(crate) fn read(bytes: &[u8]) -> Option<Contents> {
    let mut contents = Contents::default();
    // A beginning that was cut short is an empty journal.
    if HEADER.as_bytes().starts_with(bytes) {
        return Some(contents);
    }
    for line in bytes.strip_prefix(HEADER.as_bytes())?.split(|byte| *byte == b'\n') {
        match std::str::from_utf8(line).ok().and_then(Record::parse) {
            Some(record) => contents.records.push(record),
            None if line.is_empty() => {}
            None => contents.unreadable += 1,
        }
    }
    Some(contents)
}

/// A journal that says the same as these sheets.
pub(crate) fn anew<'a>(sheets: impl Iterator<Item = (&'a Account, &'a Sheet)>) -> String {
    let mut text = HEADER.to_owned();
    for (account, sheet) in sheets.filter(|(account, _)| account.period == Period::Day) {
        for (instance, entry) in sheet.entries() {
            let (day, key) = (sheet.window, account.key.clone());
            let record =
                Record { day, number: entry.number, instance, total: entry.total, what: account.what, key };
            text.push_str(&record.line());
        }
    }
    text
}

/// Where a journal lies.
pub(crate) trait Medium {
    /// Appends in one step; how much of it was written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Shortens to so many bytes.
    fn cut(&mut self, len: u64) -> io::Result<()>;
}

/// A journal that is written.
#[derive(Debug)]
pub(crate) struct Journal<M> {
    medium: M,
    /// Bytes of whole lines.
    len: u64,
    /// Whether part of a line may stand after them.
    is_torn: bool,
}

impl<M: Medium> Journal<M> {
    /// One of so many bytes.
    pub(crate) fn new(medium: M, len: u64) -> Self {
        Self { medium, len, is_torn: false }
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Appends a line, whole or not at all. On an error it does not count, whatever of it has reached the disk.
    pub(crate) fn append(&mut self, line: &str) -> io::Result<()> {
        self.mend()?;
        self.is_torn = true;
        let written = self.medium.append(line.as_bytes());
        if matches!(written, Ok(written) if written == line.len()) {
            self.is_torn = false;
            self.len += line.len() as u64;
            return Ok(());
        }
        // If this fails, too, it is tried again before the next line.
        let _ = self.mend();
        written.and(Err(io::Error::new(io::ErrorKind::StorageFull, "only a part could be written")))
    }

    fn mend(&mut self) -> io::Result<()> {
        if self.is_torn {
            self.medium.cut(self.len)?;
            self.is_torn = false;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(number: u64, key: &str) -> Record {
        let (instance, what) = (InstanceId(0xabc), What::Money);
        Record { day: 20_000, number, instance, total: 7_000_000_000, what, key: key.into() }
    }

    proptest! {
        #[test]
        fn a_record_is_read_as_it_was_written(day: u64, number: u64, instance: u64, total: u64, key in "\\PC{0,20}|[ \"\\\\\n]{0,5}") {
            let record = Record { day, number, instance: InstanceId(instance), total, what: What::Tokens, key: key.into() };
            let bytes = format!("{HEADER}{}", record.line());
            prop_assert_eq!(read(bytes.as_bytes()), Some(Contents { records: vec![record], unreadable: 0 }));
        }

        #[test]
        fn cut_anywhere_it_has_all_lines_before_the_cut(cut in 0_usize..400) {
            let records: Vec<Record> = (0..4).map(|number| record(number, "alice")).collect();
            let text: String = std::iter::once(HEADER.to_owned()).chain(records.iter().map(Record::line)).collect();
            let cut = cut.min(text.len());
            let whole = text[..cut].matches('\n').count().saturating_sub(1);
            let contents = read(&text.as_bytes()[..cut]).unwrap();
            // The last line may lack nothing but its end.
            prop_assert!(contents.records == records[..whole] || contents.records == records[..(whole + 1).min(4)]);
            prop_assert!(contents.unreadable <= 1);
        }

        #[test]
        fn what_is_no_journal_is_no_panic(bytes: Vec<u8>) {
            let _ = read(&bytes);
            let _ = read(&[HEADER.as_bytes(), &bytes].concat());
        }
    }

    #[test]
    fn a_damaged_line_costs_itself_only() {
        let mut text = format!("{HEADER}{}{}", record(1, "a"), record(2, "b"));
        text = text.replacen("7000000000", "1000000000", 1);
        let contents = read(text.as_bytes()).unwrap();
        assert_eq!((contents.records, contents.unreadable), (vec![record(2, "b")], 1));
        assert_eq!(read(b"uat-budgets 2\n"), None);
    }

    impl std::fmt::Display for Record {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(&self.line())
        }
    }

    /// A disk with so much room.
    struct Full {
        bytes: Vec<u8>,
        room: usize,
        cuts: bool,
    }

    impl Medium for &mut Full {
        fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let fits = bytes.len().min(self.room);
            self.room -= fits;
            self.bytes.extend_from_slice(&bytes[..fits]);
            match fits {
                0 => Err(io::ErrorKind::StorageFull.into()),
                fits => Ok(fits),
            }
        }

        fn cut(&mut self, len: u64) -> io::Result<()> {
            if !self.cuts {
                return Err(io::ErrorKind::Other.into());
            }
            let len = usize::try_from(len).unwrap();
            self.room += self.bytes.len() - len;
            self.bytes.truncate(len);
            Ok(())
        }
    }

    #[test]
    fn on_a_full_disk_a_line_is_whole_or_not_there() {
        let one = record(1, "alice").line();
        let mut disk = Full { bytes: HEADER.into(), room: one.len() + 5, cuts: true };
        let mut journal = Journal::new(&mut disk, HEADER.len() as u64);
        journal.append(&one).unwrap();
        assert_eq!(journal.append(&one).unwrap_err().kind(), io::ErrorKind::StorageFull);
        journal.medium.room += 1000;
        journal.append(&record(3, "alice").line()).unwrap();
        assert_eq!(read(&disk.bytes).unwrap().records, [record(1, "alice"), record(3, "alice")]);
    }

    #[test]
    fn what_could_not_be_cut_off_is_cut_off_before_the_next_line() {
        let one = record(1, "alice").line();
        let mut disk = Full { bytes: HEADER.into(), room: 5, cuts: false };
        let mut journal = Journal::new(&mut disk, HEADER.len() as u64);
        assert!(journal.append(&one).is_err());
        journal.medium.room = 1000;
        assert!(journal.append(&one).is_err(), "a line after half a line would be lost");
        journal.medium.cuts = true;
        journal.append(&one).unwrap();
        assert_eq!(read(&disk.bytes), Some(Contents { records: vec![record(1, "alice")], unreadable: 0 }));
    }
}
