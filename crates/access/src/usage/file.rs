//! Rows in files.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_core::future::BoxFuture;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

use super::{KEPT_DAYS, UsageLog, UsageRow};
use crate::file_ledger::{make_folder, private, storage};
use crate::ledger::LedgerError;

/// Keeps rows in files, one for each month: `usage-2026-11.jsonl`, lines of JSON, in the state directory. Rows that are
/// added together stand in one file, the one of the last of them, because a file takes them all or none. Several processes
/// may read while one writes.
#[derive(Debug, Clone)]
pub struct FileUsage {
    folder: Arc<PathBuf>,
    /// One writes at a time.
    writing: Arc<Mutex<()>>,
}

impl FileUsage {
    /// In this folder, which is made for the first row. Blocks shortly: files older than [`KEPT_DAYS`] are deleted.
    pub fn open(folder: &Path) -> Self {
        let usage = Self { folder: Arc::new(folder.to_owned()), writing: Arc::default() };
        if let Err(error) = usage.delete_old(Timestamp::now()) {
            tracing::warn!(%error, folder = %folder.display(), "old files of usage could not be deleted");
        }
        usage
    }

    fn delete_old(&self, now: Timestamp) -> io::Result<()> {
        let days = i64::try_from(KEPT_DAYS).unwrap_or(i64::MAX);
        let Ok(oldest) = now.checked_sub(SignedDuration::from_hours(24 * days)) else { return Ok(()) };
        let oldest = name_of(oldest);
        for (name, path) in self.files()? {
            if name < oldest {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// The files that there are, in the order of their months.
    fn files(&self) -> io::Result<Vec<(String, PathBuf)>> {
        let entries = match std::fs::read_dir(&*self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if name.starts_with("usage-") && name.ends_with(".jsonl") {
                files.push((name.to_owned(), path));
            }
        }
        files.sort();
        Ok(files)
    }

    fn write(&self, rows: &[UsageRow]) -> io::Result<()> {
        let _one = self.writing.lock();
        make_folder(&self.folder)?;
        let Some(last) = rows.iter().map(|row| row.hour).max() else { return Ok(()) };
        let mut text = String::new();
        for row in rows {
            text.push_str(&serde_json::to_string(row)?);
            text.push('\n');
        }
        append(&self.folder.join(name_of(time_of(last))), &text)
    }

    fn read_files(&self, since_hour: u64, until_hour: u64) -> io::Result<Vec<UsageRow>> {
        let first = name_of(time_of(since_hour));
        let mut rows = Vec::new();
        for (name, path) in self.files()? {
            if name < first {
                continue;
            }
            let mut bytes = Vec::new();
            File::open(path)?.read_to_end(&mut bytes)?;
            // The last line may be one that is being written.
            let lines =
                bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
            rows.extend(lines.filter(|row: &UsageRow| (since_hour..=until_hour).contains(&row.hour)));
        }
        Ok(rows)
    }
}

/// Appends whole lines, or nothing.
fn append(path: &Path, text: &str) -> io::Result<()> {
    let mut file = private(OpenOptions::new().read(true).append(true).create(true)).open(path)?;
    let len = file.metadata()?.len();
    // A process that was killed may have left half a line.
    let is_torn = len > 0 && {
        let mut last = [0];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut last, len - 1)?;
        last != *b"\n"
    };
    let text = if is_torn { format!("\n{text}") } else { text.to_owned() };
    file.write_all(text.as_bytes()).inspect_err(|_| {
        // The error that counts is the first; half a line is no row.
        let _ = file.set_len(len);
    })
}

fn time_of(hour: u64) -> Timestamp {
    let second = i64::try_from(hour).ok().and_then(|hour| hour.checked_mul(3600));
    second.and_then(|second| Timestamp::from_second(second).ok()).unwrap_or(Timestamp::MAX)
}

fn name_of(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime("usage-%Y-%m.jsonl").to_string()
}

impl UsageLog for FileUsage {
    fn add<'a>(&'a self, _batch: u64, rows: &'a [UsageRow]) -> BoxFuture<'a, Result<(), LedgerError>> {
        let (usage, rows) = (self.clone(), rows.to_vec());
        let written = tokio::task::spawn_blocking(move || usage.write(&rows));
        Box::pin(async move {
            match written.await {
                Ok(written) => written.map_err(|error| storage("the log of usage", &error)),
                Err(error) => Err(LedgerError::Storage { reason: error.to_string() }),
            }
        })
    }

    fn read(&self, since_hour: u64, until_hour: u64) -> BoxFuture<'_, Result<Vec<UsageRow>, LedgerError>> {
        let usage = self.clone();
        let rows = tokio::task::spawn_blocking(move || usage.read_files(since_hour, until_hour));
        Box::pin(async move {
            match rows.await {
                Ok(rows) => rows.map_err(|error| storage("the log of usage", &error)),
                Err(error) => Err(LedgerError::Storage { reason: error.to_string() }),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(hour: u64, cost: u64) -> UsageRow {
        UsageRow { key: "a\n\"b".into(), model: "m".into(), hour, requests: 1, cost, ..UsageRow::default() }
    }

    fn hour(text: &str) -> u64 {
        u64::try_from(text.parse::<Timestamp>().unwrap().as_second()).unwrap() / 3600
    }

    #[tokio::test]
    async fn rows_come_back_from_the_files_of_their_months() {
        let folder = tempfile::tempdir().unwrap();
        let usage = FileUsage::open(&folder.path().join("state"));
        assert_eq!(usage.read(0, u64::MAX).await, Ok(Vec::new()));
        let now = u64::try_from(Timestamp::now().as_second()).unwrap() / 3600;
        let rows = [row(now - 24 * 40, 1), row(now, 2)];
        usage.add(1, &rows).await.unwrap();
        usage.add(2, &rows[1..]).await.unwrap();
        assert_eq!(usage.read(0, now).await.unwrap(), [&rows[..], &rows[1..]].concat());
        assert_eq!(usage.read(now - 1, now).await.unwrap().len(), 2);
        // Another process, at a later time.
        let other = FileUsage::open(&folder.path().join("state"));
        assert_eq!(other.read(0, now).await.unwrap().len(), 3);
    }

    #[tokio::test]
    async fn half_a_line_costs_itself_only() {
        let folder = tempfile::tempdir().unwrap();
        let usage = FileUsage::open(folder.path());
        let at = hour("2026-11-26T12:00:00Z");
        usage.add(1, &[row(at, 1)]).await.unwrap();
        let path = folder.path().join("usage-2026-11.jsonl");
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole[..], &whole[..20]].concat()).unwrap();
        usage.add(2, &[row(at, 2)]).await.unwrap();
        assert_eq!(usage.read(at, at).await.unwrap(), [row(at, 1), row(at, 2)]);
    }

    #[test]
    fn months_that_are_long_past_are_deleted() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["usage-2025-09.jsonl", "usage-2025-10.jsonl", "usage-2026-11.jsonl", "else.jsonl"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let usage = FileUsage { folder: Arc::new(folder.path().to_owned()), writing: Arc::default() };
        usage.delete_old("2026-11-26T12:00:00Z".parse().unwrap()).unwrap();
        let names: Vec<String> = usage.files().unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["usage-2025-10.jsonl", "usage-2026-11.jsonl"]);
    }
}
