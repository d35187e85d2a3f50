//! NVIDIA's management library: found, opened, and opened again after its driver was gone.

mod device;
mod first_version;
mod links;
mod processes;
mod trouble;

use std::path::PathBuf;

use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;

use crate::{Attempt, DeviceReading, Driver, DriverError, Link};
use device::Identity;
use trouble::Trouble;

/// Where the library is looked for where no path is given: by the name that every driver's package installs (never the
/// one without a number, which may be a stub of CUDA's for linking), then where WSL and NixOS keep it.
const USUAL: [&str; 3] =
    ["libnvidia-ml.so.1", "/usr/lib/wsl/lib/libnvidia-ml.so.1", "/run/opengl-driver/lib/libnvidia-ml.so.1"];

/// The GPUs that NVIDIA's driver knows.
#[derive(Debug)]
pub struct NvmlDriver {
    /// Where the library is looked for.
    candidates: Vec<PathBuf>,
    session: Option<Session>,
    /// Where it was found last.
    found: Option<PathBuf>,
    /// Who the devices were at the last reading, by index, so that a lost one can be named.
    known: Vec<Identity>,
}

#[derive(Debug)]
struct Session {
    nvml: Nvml,
    library: PathBuf,
}

impl NvmlDriver {
    /// Loads the library at `path`, else at the usual places, and opens it.
    ///
    /// # Errors
    /// [`DriverError::NoLibrary`], [`DriverError::NoDriver`] or [`DriverError::NoDevices`].
    pub fn open(path: Option<PathBuf>) -> Result<Self, DriverError> {
        let candidates = path.map_or_else(|| USUAL.iter().map(PathBuf::from).collect(), |path| vec![path]);
        let session = Session::open(&candidates)?;
        let library = session.library.clone();
        match session.nvml.device_count() {
            Ok(0) => Err(DriverError::NoDevices { library }),
            Ok(_) => Ok(Self { candidates, session: Some(session), found: Some(library), known: Vec::new() }),
            Err(error) => Err(DriverError::NoDriver { library, reason: error.to_string() }),
        }
    }

    /// Asks the open session, or a new one. A driver that has gone takes its session along: to keep it would also keep an
    /// operator from loading another one.
    fn ask<T>(&mut self, question: impl FnOnce(&Nvml) -> Result<T, Trouble>) -> Result<T, DriverError> {
        let session = match self.session.take() {
            Some(session) => session,
            None => self.reopen()?,
        };
        match question(&session.nvml) {
            Ok(answer) => {
                self.session = Some(session);
                Ok(answer)
            }
            Err(trouble) => Err(DriverError::Vanished { library: session.library, reason: trouble.reason() }),
        }
    }

    fn reopen(&mut self) -> Result<Session, DriverError> {
        let session = Session::open(&self.candidates).map_err(|error| match (&self.found, error) {
            (_, DriverError::NoDriver { library, reason }) => DriverError::Vanished { library, reason },
            (Some(library), error) => {
                DriverError::Vanished { library: library.clone(), reason: error.to_string() }
            }
            (None, error) => error,
        })?;
        self.found = Some(session.library.clone());
        Ok(session)
    }
}

impl Driver for NvmlDriver {
    fn name(&self) -> &'static str {
        "nvml"
    }

    fn read(&mut self) -> Result<Vec<DeviceReading>, DriverError> {
        let mut readings = self.ask(|nvml| {
            let count = nvml.device_count().map_err(|error| Trouble::Gone(error.to_string()))?;
            if count == 0 {
                return Err(Trouble::Gone("it shows no GPU any more".to_owned()));
            }
            (0..count).map(|index| device::read(nvml, index)).collect::<Result<Vec<_>, _>>()
        })?;
        device::name_the_lost(&mut readings, &self.known);
        self.known = readings.iter().map(Identity::of).collect();
        if readings.iter().any(DeviceReading::is_lost) {
            // Within a session a lost device stays so, and an open session would keep it from being reset. The next reading opens a
            // new one, which costs tens of milliseconds, in a state that should be rare.
            self.session = None;
        }
        Ok(readings)
    }

    fn links(&mut self) -> Result<Vec<Link>, DriverError> {
        self.ask(links::read)
    }
}

impl Session {
    /// Opens the first of `candidates` that is a library; one whose driver does not answer counts where no other does.
    fn open(candidates: &[PathBuf]) -> Result<Self, DriverError> {
        let mut tried = Vec::new();
        let mut silent = None;
        for library in candidates {
            match Nvml::builder().lib_path(library.as_os_str()).init() {
                Ok(nvml) => return Ok(Self { nvml, library: library.clone() }),
                Err(NvmlError::LibloadingError(error)) => {
                    // The linker's own words are in the source; the error itself only names the call. They begin with the path.
                    let words = std::error::Error::source(&error)
                        .map_or_else(|| error.to_string(), ToString::to_string);
                    let path = format!("{}: ", library.display());
                    let error = words.strip_prefix(&path).unwrap_or(&words).to_owned();
                    tried.push(Attempt { library: library.clone(), error });
                }
                Err(NvmlError::FailedToLoadSymbol(_)) => {
                    let error = "it is a library, but not this one: it has no nvmlInit_v2".to_owned();
                    tried.push(Attempt { library: library.clone(), error });
                }
                Err(error) if silent.is_none() => {
                    silent =
                        Some(DriverError::NoDriver { library: library.clone(), reason: error.to_string() });
                }
                Err(_) => {}
            }
        }
        Err(silent.unwrap_or(DriverError::NoLibrary { tried }))
    }
}
