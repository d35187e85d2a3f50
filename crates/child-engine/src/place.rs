//! Which program is the engine, and under which private path it is met.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use rustix::process::geteuid;
use sha2::{Digest, Sha256};

use crate::{EngineError, EngineSpec};

/// File name of the engine's program.
const PROGRAM: &str = "uat-engine";

/// What the environment says, read once.
#[derive(Debug, Clone)]
pub(crate) struct Environment {
    engine_path: Option<PathBuf>,
    runtime_dir: Option<PathBuf>,
    temp_dir: PathBuf,
    executable: Option<PathBuf>,
}

impl Environment {
    pub(crate) fn read(env: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let path = |name: &str| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self {
            engine_path: path("UAT_ENGINE_PATH"),
            runtime_dir: path("XDG_RUNTIME_DIR"),
            temp_dir: path("TMPDIR").unwrap_or_else(|| PathBuf::from("/tmp")),
            executable: std::env::current_exe().ok(),
        }
    }

    /// The engine's program: `UAT_ENGINE_PATH`, else beside this executable, else the first of `search` (files or
    /// folders). An `UAT_ENGINE_PATH` that does not serve is an error: whoever set it means that one.
    pub(crate) fn locate(&self, search: &[PathBuf]) -> Result<PathBuf, EngineError> {
        let candidates: Vec<PathBuf> = match &self.engine_path {
            Some(path) => vec![path.clone()],
            None => {
                let beside = self.executable.as_deref().and_then(Path::parent).map(Path::to_owned);
                beside.into_iter().chain(search.iter().cloned()).collect()
            }
        };
        let mut tried = Vec::new();
        for candidate in candidates {
            let file = if candidate.is_dir() { candidate.join(PROGRAM) } else { candidate };
            match usable(&file) {
                Ok(program) => return Ok(program),
                Err(reason) => tried.push((file, reason)),
            }
        }
        Err(EngineError::Unavailable { tried })
    }

    /// The private folder: `given`, else `$XDG_RUNTIME_DIR/uat` where that is a folder of this user, else
    /// `uat-<uid>` in the temporary folder.
    fn private_dir(&self, given: Option<&Path>) -> PathBuf {
        if let Some(dir) = given {
            return dir.to_owned();
        }
        // Under `sudo -E` the variable names another user's folder: that one is not usable.
        let ours = |dir: &&PathBuf| {
            let owned = |meta: Metadata| meta.is_dir() && meta.uid() == geteuid().as_raw();
            dir.is_absolute() && fs::metadata(dir).is_ok_and(owned)
        };
        match self.runtime_dir.as_ref().filter(ours) {
            Some(dir) => dir.join("uat"),
            None => self.temp_dir.join(format!("uat-{}", geteuid().as_raw())),
        }
    }
}

/// The canonical path if this can be executed; otherwise why not.
fn usable(file: &Path) -> Result<PathBuf, String> {
    let path = fs::canonicalize(file).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        _ => error.to_string(),
    })?;
    if !path.is_file() {
        return Err("not a file".to_owned());
    }
    rustix::fs::access(&path, Access::EXEC_OK).map_err(|_| "not executable by this user".to_owned())?;
    Ok(path)
}

/// The engine's program and the files by which its processes meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) program: PathBuf,
    pub(crate) dir: PathBuf,
    pub(crate) socket: PathBuf,
    pub(crate) lock: PathBuf,
    pub(crate) log: PathBuf,
}

impl Place {
    /// Costs a few `stat` calls and creates nothing.
    pub(crate) fn find(spec: &EngineSpec, environment: &Environment) -> Result<Self, EngineError> {
        let program = environment.locate(&spec.search)?;
        let meta = fs::metadata(&program).map_err(EngineError::io("read", &program))?;
        let dir = environment.private_dir(spec.runtime_dir.as_deref());
        let name = format!("engine-{}-{}", env!("CARGO_PKG_VERSION"), fingerprint(&program, &meta));
        let file = |ending: &str| dir.join(format!("{name}.{ending}"));
        let socket = file("sock");
        // The engine binds under its own name (the process id at the end, seven digits at most) and renames.
        if SocketAddr::from_pathname(dir.join(format!("{name}.sock.1234567"))).is_err() {
            return Err(EngineError::PathTooLong { socket });
        }
        Ok(Self { socket, lock: file("lock"), log: file("log"), program, dir })
    }

    /// The folder is there, and nobody else can enter it.
    pub(crate) fn ensure_private(&self) -> Result<(), EngineError> {
        ensure_private(&self.dir)
    }
}

/// The folder of this user's sockets: `$XDG_RUNTIME_DIR/uat` where that is a folder of this user, else `uat-<uid>` in the temporary
/// folder. Created where it is not there.
///
/// # Errors
/// [`EngineError::NotPrivate`] where others could enter it; [`EngineError::Io`].
pub fn private_folder() -> Result<PathBuf, EngineError> {
    let dir = Environment::read(&|name| std::env::var_os(name)).private_dir(None);
    ensure_private(&dir)?;
    Ok(dir)
}

/// Creates the folder with mode 0700, or checks that the one that is there is a folder of this user that
/// nobody else can enter. In a sticky temporary folder nobody else can then exchange it.
fn ensure_private(dir: &Path) -> Result<(), EngineError> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(EngineError::io("create the private folder", dir)(error)),
    }
    let meta = fs::symlink_metadata(dir).map_err(EngineError::io("read", dir))?;
    let refuse = |problem: String, remedy: String| {
        Err(EngineError::NotPrivate { dir: dir.to_owned(), problem, remedy })
    };
    let (uid, mode) = (geteuid().as_raw(), meta.mode() & 0o7777);
    if !meta.is_dir() {
        let kind = if meta.is_symlink() { "a symbolic link" } else { "not a folder" };
        return refuse(format!("it is {kind}"), "remove it, or point XDG_RUNTIME_DIR elsewhere".to_owned());
    }
    if meta.uid() != uid {
        let problem = format!("it belongs to user {}, expected {uid}", meta.uid());
        return refuse(problem, "point XDG_RUNTIME_DIR to a folder of your own".to_owned());
    }
    if mode & 0o077 != 0 {
        let problem = format!("its mode is {mode:04o}, expected 0700: others could reach what listens there");
        return refuse(problem, format!("run `chmod 700 {}`", dir.display()));
    }
    Ok(())
}

/// Eight hexadecimal digits that change when the program does: the first four bytes of the SHA-256 of
/// `PATH NUL SIZE NUL MTIME`, the size in bytes and the modification time in nanoseconds since 1970, both in
/// decimal. So a rebuilt engine does not meet processes of the old one, and every language computes the same name.
fn fingerprint(program: &Path, meta: &Metadata) -> String {
    let modified = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
    let mut hasher = Sha256::new();
    hasher.update(program.as_os_str().as_bytes());
    hasher.update(format!("\0{}\0{modified}", meta.len()));
    hasher.finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use tempfile::TempDir;

    fn program(folder: &Path, name: &str, mode: u32) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        fs::canonicalize(path).unwrap()
    }

    fn environment(vars: &[(&str, &Path)]) -> Environment {
        Environment::read(&|name| {
            vars.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_os_str().to_owned())
        })
    }

    #[test]
    fn the_engine_is_found_by_variable_then_by_file_or_folder() {
        let folder = TempDir::new().unwrap();
        let by_name = program(folder.path(), PROGRAM, 0o755);
        let other = program(folder.path(), "other", 0o755);
        let missing = folder.path().join("missing");

        let search = [missing, folder.path().to_owned()];
        assert_eq!(environment(&[]).locate(&search).unwrap(), by_name);
        assert_eq!(environment(&[]).locate(std::slice::from_ref(&other)).unwrap(), other);
        assert_eq!(environment(&[("UAT_ENGINE_PATH", &other)]).locate(&search).unwrap(), other);
    }

    #[test]
    fn a_missing_engine_lists_each_place_and_why() {
        let folder = TempDir::new().unwrap();
        let plain = program(folder.path(), "plain", 0o644);
        let error = environment(&[]).locate(&[folder.path().to_owned(), plain.clone()]).unwrap_err();
        assert_eq!(error.code(), "UAT_ENGINE_UNAVAILABLE");
        let EngineError::Unavailable { tried } = &error else { panic!("{error}") };
        assert_eq!(tried.len(), 3, "beside the executable, the folder, the file: {tried:?}");
        assert_eq!(tried[1], (folder.path().join(PROGRAM), "no such file".to_owned()));
        assert_eq!(tried[2], (plain, "not executable by this user".to_owned()));
        assert!(error.to_string().contains("UAT_ENGINE_PATH"), "{error}");
    }

    #[test]
    fn a_wrong_engine_path_is_not_passed_over() {
        let folder = TempDir::new().unwrap();
        program(folder.path(), PROGRAM, 0o755);
        let wrong = folder.path().join("wrong");
        let error =
            environment(&[("UAT_ENGINE_PATH", &wrong)]).locate(&[folder.path().to_owned()]).unwrap_err();
        let EngineError::Unavailable { tried } = error else { panic!("{error}") };
        assert_eq!(tried, [(wrong, "no such file".to_owned())]);
    }

    #[test]
    fn the_private_folder_follows_the_environment() {
        let folder = TempDir::new().unwrap();
        let uid = geteuid().as_raw();
        let in_temp = folder.path().join(format!("uat-{uid}"));
        let missing = folder.path().join("missing");
        let check = |vars: &[(&str, &Path)], expected: &Path| {
            assert_eq!(environment(vars).private_dir(None), expected, "{vars:?}");
        };
        check(&[("XDG_RUNTIME_DIR", folder.path())], &folder.path().join("uat"));
        check(&[("XDG_RUNTIME_DIR", &missing), ("TMPDIR", folder.path())], &in_temp);
        check(&[("XDG_RUNTIME_DIR", Path::new("relative")), ("TMPDIR", folder.path())], &in_temp);
        check(&[], Path::new(&format!("/tmp/uat-{uid}")));
    }

    fn place(dir: PathBuf, program: &Path) -> Result<Place, EngineError> {
        let spec =
            EngineSpec { runtime_dir: Some(dir), search: vec![program.to_owned()], ..EngineSpec::default() };
        Place::find(&spec, &environment(&[]))
    }

    #[test]
    fn the_private_folder_is_created_for_its_owner_alone() {
        let folder = TempDir::new().unwrap();
        let place = place(folder.path().join("uat"), &program(folder.path(), "engine", 0o755)).unwrap();
        place.ensure_private().unwrap();
        place.ensure_private().unwrap();
        assert_eq!(fs::metadata(&place.dir).unwrap().mode() & 0o7777, 0o700);
    }

    #[test]
    fn a_folder_that_others_can_enter_is_refused_with_the_remedy() {
        let folder = TempDir::new().unwrap();
        let engine = program(folder.path(), "engine", 0o755);
        let dir = folder.path().join("uat");
        fs::create_dir(&dir).unwrap();
        for mode in [0o755, 0o770, 0o701, 0o1777] {
            fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).unwrap();
            let error = place(dir.clone(), &engine).unwrap().ensure_private().unwrap_err();
            assert!(matches!(error, EngineError::NotPrivate { .. }), "{error}");
            assert!(error.to_string().contains("chmod 700"), "{error}");
        }
    }

    #[test]
    fn a_link_and_a_file_in_place_of_the_folder_are_refused() {
        let folder = TempDir::new().unwrap();
        let engine = program(folder.path(), "engine", 0o755);
        let link = folder.path().join("link");
        symlink(folder.path(), &link).unwrap();
        for dir in [link, engine.clone()] {
            let error = place(dir, &engine).unwrap().ensure_private().unwrap_err();
            assert!(matches!(error, EngineError::NotPrivate { .. }), "{error}");
        }
    }

    #[test]
    fn a_path_too_long_for_a_socket_is_an_error_of_its_own() {
        let folder = TempDir::new().unwrap();
        let engine = program(folder.path(), "engine", 0o755);
        let error = place(folder.path().join("x".repeat(100)), &engine).unwrap_err();
        assert!(matches!(error, EngineError::PathTooLong { .. }), "{error}");
    }

    #[test]
    fn a_rebuilt_engine_has_another_socket() {
        let folder = TempDir::new().unwrap();
        let engine = program(folder.path(), "engine", 0o755);
        let before = place(folder.path().join("uat"), &engine).unwrap();
        assert_eq!(before, place(folder.path().join("uat"), &engine).unwrap());
        fs::write(&engine, "#!/bin/sh\n# rebuilt\n").unwrap();
        assert_ne!(before.socket, place(folder.path().join("uat"), &engine).unwrap().socket);
    }
}
