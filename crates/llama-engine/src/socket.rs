//! The private socket: for this user only, and removed by whoever bound it only.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// A bound Unix socket.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the file that was bound: another engine may have replaced it since.
    file: (u64, u64),
}

impl Socket {
    /// Binds `path` with mode 0600. A file that a dead engine left there is replaced.
    ///
    /// # Errors
    /// `AddrInUse` if someone listens there, `AlreadyExists` if it is no socket, and whatever the system says.
    pub fn bind(path: &Path) -> io::Result<Self> {
        // Bound under another name and renamed: nobody ever sees a socket with wider rights, nor one without a listener.
        let mut fresh = path.as_os_str().to_owned();
        fresh.push(format!(".{}", std::process::id()));
        let fresh = PathBuf::from(fresh);
        refuse_if_taken(path)?;
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&fresh)?;
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600))?;
        fs::rename(&fresh, path)?;
        let metadata = fs::metadata(path)?;
        Ok(Self { listener, path: path.to_owned(), file: (metadata.dev(), metadata.ino()) })
    }

    /// The next connection of the same user. Others are closed without an answer. Cancel-safe.
    ///
    /// # Errors
    /// What the system says: mostly that there are no file descriptors left.
    pub async fn accept(&self) -> io::Result<UnixStream> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            let peer = stream.peer_cred()?.uid();
            if peer == rustix::process::getuid().as_raw() {
                return Ok(stream);
            }
            tracing::warn!(uid = peer, "a connection of another user was refused");
        }
    }

    /// Removes the file if it is still this socket's. Open and pending connections stay.
    pub fn remove(&mut self) {
        let ours = fs::metadata(&self.path).is_ok_and(|file| (file.dev(), file.ino()) == self.file);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, "the socket file was not removed");
        }
    }
}

fn refuse_if_taken(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    let kind = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !kind.is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket lies there"));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another engine listens there")),
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temporary folder")
    }

    #[tokio::test]
    async fn the_socket_is_for_this_user_only() {
        let folder = folder();
        let path = folder.path().join("e.sock");
        let _socket = Socket::bind(&path).expect("binds");
        assert_eq!(fs::metadata(&path).expect("exists").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 1, "nothing else is left");
    }

    #[tokio::test]
    async fn a_dead_engines_socket_is_replaced_and_a_living_ones_is_not() {
        let folder = folder();
        let path = folder.path().join("e.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("binds"));
        let socket = Socket::bind(&path).expect("replaces the dead one");
        assert_eq!(Socket::bind(&path).expect_err("is taken").kind(), io::ErrorKind::AddrInUse);
        drop(socket);
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let folder = folder();
        let path = folder.path().join("e.sock");
        fs::write(&path, "precious").expect("writes");
        assert_eq!(Socket::bind(&path).expect_err("is taken").kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).expect("reads"), "precious");
    }

    #[tokio::test]
    async fn only_its_own_file_is_removed() {
        let folder = folder();
        let path = folder.path().join("e.sock");
        let mut old = Socket::bind(&path).expect("binds");
        fs::remove_file(&path).expect("removes");
        let mut new = Socket::bind(&path).expect("binds");
        old.remove();
        assert!(path.exists());
        new.remove();
        assert!(!path.exists());
    }
}
