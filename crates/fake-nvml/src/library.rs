//! What the library remembers between calls: how often it was opened, and the script as it was last read.
//!
//! The script is the file that `FAKE_NVML_SCRIPT` names when the library is opened (`nvmlInit`), else `fake_nvml.json` beside the
//! library itself. Each call looks whether it is another file than before (inode, length, time of change) and reads it then.

use std::ffi::CStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlReturn_t};
use parking_lot::Mutex;

use crate::code;
use crate::handle::{self, Target};
use crate::script::{Device, Script};
use crate::vanished::Vanished;

/// The variable that names the script.
pub(crate) const SCRIPT_VARIABLE: &str = "FAKE_NVML_SCRIPT";
/// The script's name beside the library, where the variable is not set.
pub(crate) const SCRIPT_NAME: &str = "fake_nvml.json";

static LIBRARY: Mutex<Library> =
    Mutex::new(Library { sessions: 0, path: None, stamp: None, script: Read::Absent });

struct Library {
    /// How often it was opened and not closed.
    sessions: u32,
    path: Option<PathBuf>,
    stamp: Option<Stamp>,
    script: Read,
}

/// What tells one state of a file from another.
type Stamp = (u64, u64, i64, i64);

#[derive(Clone)]
enum Read {
    Absent,
    Broken,
    Good(Arc<Script>),
}

/// One call, with the script as it stands now.
pub(crate) struct Call {
    symbol: &'static str,
    pub(crate) script: Arc<Script>,
}

pub(crate) type Answer = Result<(), nvmlReturn_t>;

/// Answers a call of `symbol` with `body`, unless the library is not open, the driver has vanished or the script has the call
/// fail.
pub(crate) fn answer(symbol: &'static str, body: impl FnOnce(&Call) -> Answer) -> nvmlReturn_t {
    guarded(|| {
        let script = LIBRARY.lock().for_call(symbol)?;
        if let Some(ms) = script.delays_ms.get(symbol) {
            std::thread::sleep(Duration::from_millis(*ms));
        }
        body(&Call { symbol, script })
    })
}

/// No panic crosses into C: it would abort the program that called.
pub(crate) fn guarded(body: impl FnOnce() -> Answer) -> nvmlReturn_t {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => code::SUCCESS,
        Ok(Err(code)) => code,
        Err(_) => code::UNKNOWN,
    }
}

/// Opens the library once more.
pub(crate) fn open(symbol: &'static str) -> nvmlReturn_t {
    guarded(|| {
        let mut library = LIBRARY.lock();
        if library.sessions == 0 {
            library.path = script_path();
            library.stamp = None;
            library.script = Read::Absent;
        }
        library.refresh();
        let Read::Good(script) = &library.script else {
            return Err(library.without_script(code::DRIVER_NOT_LOADED));
        };
        match script.vanished {
            Vanished::No => {}
            Vanished::Unloaded => return Err(code::DRIVER_NOT_LOADED),
            Vanished::With(code) => return Err(code),
        }
        script.errors.get(symbol).map_or(Ok(()), |code| Err(*code))?;
        library.sessions = library.sessions.saturating_add(1);
        Ok(())
    })
}

/// Closes it once.
pub(crate) fn close() -> nvmlReturn_t {
    guarded(|| {
        let mut library = LIBRARY.lock();
        library.sessions = library.sessions.checked_sub(1).ok_or(code::UNINITIALIZED)?;
        Ok(())
    })
}

impl Library {
    fn for_call(&mut self, symbol: &str) -> Result<Arc<Script>, nvmlReturn_t> {
        if self.sessions == 0 {
            return Err(code::UNINITIALIZED);
        }
        self.refresh();
        let Read::Good(script) = &self.script else {
            let code = self.without_script(code::UNINITIALIZED);
            if code == code::UNINITIALIZED {
                self.sessions = 0;
            }
            return Err(code);
        };
        let gone = match script.vanished {
            Vanished::No => None,
            Vanished::Unloaded => Some(code::UNINITIALIZED),
            Vanished::With(code) => Some(code),
        };
        if let Some(code) = gone {
            // A session does not survive its driver, even if the driver returns before the next call.
            self.sessions = 0;
            return Err(code);
        }
        script.errors.get(symbol).map_or_else(|| Ok(Arc::clone(script)), |code| Err(*code))
    }

    /// Without a script there is no driver; with a broken one nothing can be said.
    fn without_script(&self, absent: nvmlReturn_t) -> nvmlReturn_t {
        if matches!(self.script, Read::Broken) { code::UNKNOWN } else { absent }
    }

    fn refresh(&mut self) {
        let Some(path) = &self.path else { return };
        let Ok(about) = path.metadata() else {
            self.stamp = None;
            self.script = Read::Absent;
            return;
        };
        let stamp = (about.ino(), about.len(), about.mtime(), about.mtime_nsec());
        if self.stamp == Some(stamp) {
            return;
        }
        self.stamp = Some(stamp);
        self.script = read(path);
    }
}

fn read(path: &Path) -> Read {
    let Ok(bytes) = std::fs::read(path) else { return Read::Absent };
    match Script::parse(&bytes) {
        Ok(script) => Read::Good(Arc::new(script)),
        Err(error) => {
            // A library may not print into its caller's terminal. Where not even this can be written, the code of the call is
            // all that there is to say.
            let _told = std::fs::write(log_path(path), format!("{error}\n"));
            Read::Broken
        }
    }
}

/// Where it is told why a script was refused: the script's path with `.log` behind it.
pub(crate) fn log_path(script: &Path) -> PathBuf {
    let mut path = script.as_os_str().to_owned();
    path.push(".log");
    PathBuf::from(path)
}

fn script_path() -> Option<PathBuf> {
    std::env::var_os(SCRIPT_VARIABLE)
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .or_else(|| Some(own_path()?.parent()?.join(SCRIPT_NAME)))
}

/// The file that this code was loaded from.
#[expect(unsafe_code, reason = "only the dynamic linker knows")]
fn own_path() -> Option<PathBuf> {
    let mut about = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: the address is one of this library, and `about` is memory for what is found out.
    let found = unsafe { libc::dladdr((&raw const LIBRARY).cast(), about.as_mut_ptr()) };
    // SAFETY: it was zeroed, which is a value of this structure, and then perhaps filled in.
    let name = unsafe { about.assume_init() }.dli_fname;
    if found == 0 || name.is_null() {
        return None;
    }
    // SAFETY: a name that was found is a text that ends with a zero, and lives as long as the library is loaded.
    let name = unsafe { CStr::from_ptr(name) };
    Some(PathBuf::from(std::ffi::OsStr::from_bytes(name.to_bytes())))
}

impl Call {
    /// The device or instance behind a handle.
    pub(crate) fn target(&self, handle: nvmlDevice_t) -> Result<Target<'_>, nvmlReturn_t> {
        let target = handle::target(&self.script, handle)?;
        self.check(target.device())?;
        Ok(target)
    }

    /// The device behind a handle, and its index; `NOT_SUPPORTED` for an instance.
    pub(crate) fn device(&self, handle: nvmlDevice_t) -> Result<(usize, &Device), nvmlReturn_t> {
        match self.target(handle)? {
            Target::Whole(index, device) => Ok((index, device)),
            Target::Part { .. } => Err(code::NOT_SUPPORTED),
        }
    }

    /// The device of an index.
    pub(crate) fn nth(&self, index: usize) -> Result<&Device, nvmlReturn_t> {
        let device = self.script.devices.get(index).ok_or(code::INVALID_ARGUMENT)?;
        self.check(device)?;
        Ok(device)
    }

    fn check(&self, device: &Device) -> Answer {
        if device.lost {
            return Err(code::GPU_IS_LOST);
        }
        device.errors.get(self.symbol).map_or(Ok(()), |code| Err(*code))
    }
}
