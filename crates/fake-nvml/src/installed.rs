//! The library put where a program finds it, with a script beside it.

use std::io::{Error, ErrorKind, Write};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempDir};

use crate::library::{SCRIPT_NAME, log_path};

/// The library's name here and in a real driver's package.
const BUILT: &str = "libfake_nvml.so";
const NAME: &str = "libnvidia-ml.so.1";

/// A folder that holds a copy of the library under the name that programs look for, and its script. A copy is a library of its
/// own to the dynamic linker, so that tests in one process do not see each other's GPUs.
#[derive(Debug)]
pub struct Installed {
    folder: TempDir,
}

impl Installed {
    /// Installs the library with `script` beside it.
    ///
    /// # Errors
    /// Where cargo has not built the library, or a file cannot be written.
    pub fn new(script: impl AsRef<[u8]>) -> Result<Self, Error> {
        Self::without(&[], script)
    }

    /// Installs a library that lacks `symbols`, as an older driver's does.
    ///
    /// # Errors
    /// Those of [`new`](Self::new), and `NotFound` for a symbol that the library does not have.
    pub fn without(symbols: &[&str], script: impl AsRef<[u8]>) -> Result<Self, Error> {
        let mut library = std::fs::read(built()?)?;
        for symbol in symbols {
            hide(&mut library, symbol)?;
        }
        let installed = Self { folder: tempfile::Builder::new().prefix("fake-nvml-").tempdir()? };
        installed.script(script)?;
        std::fs::write(installed.library(), library)?;
        Ok(installed)
    }

    /// Replaces the script, in one step: a program sees the one or the other.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn script(&self, script: impl AsRef<[u8]>) -> Result<(), Error> {
        let mut file = NamedTempFile::new_in(self.folder())?;
        file.write_all(script.as_ref())?;
        file.persist(self.folder().join(SCRIPT_NAME))?;
        Ok(())
    }

    /// Why the script was last refused, if it ever was.
    pub fn complaint(&self) -> Option<String> {
        std::fs::read_to_string(log_path(&self.folder().join(SCRIPT_NAME))).ok()
    }

    /// Where the library lies: for a setting that names it.
    pub fn library(&self) -> PathBuf {
        self.folder().join(NAME)
    }

    /// The folder of both: for `LD_LIBRARY_PATH`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// The library that cargo built beside this program, or beside the folder of tests that it lies in.
fn built() -> Result<PathBuf, Error> {
    let program = std::env::current_exe()?;
    let places: Vec<PathBuf> = program
        .ancestors()
        .skip(1)
        .take(2)
        .flat_map(|at| [at.join(BUILT), at.join("deps").join(BUILT)])
        .collect();
    places.iter().find(|place| place.is_file()).cloned().ok_or_else(|| {
        Error::new(
            ErrorKind::NotFound,
            format!("cargo build -p fake-nvml makes {BUILT}; it is at none of {places:?}"),
        )
    })
}

/// Renames a symbol in the table of names, where it stands between two zeros. Its hash stays that of the old name, so that it is
/// found under neither.
fn hide(library: &mut [u8], symbol: &str) -> Result<(), Error> {
    let whole = [b"\0", symbol.as_bytes(), b"\0"].concat();
    let mut hidden = 0;
    let mut from = 0;
    while let Some(at) =
        library.get(from..).and_then(|rest| rest.windows(whole.len()).position(|part| part == whole))
    {
        let first = from + at + 1;
        if let Some(letter) = library.get_mut(first) {
            *letter = b'x';
        }
        hidden += 1;
        from = first;
    }
    if hidden == 0 {
        Err(Error::new(ErrorKind::NotFound, format!("there is no symbol {symbol} to hide")))
    } else {
        Ok(())
    }
}
