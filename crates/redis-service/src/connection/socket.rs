//! A socket without encryption: TCP or a socket file. Callers and driver share it.

use std::io::{self, Read, Write};
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// TCP or a socket file, non-blocking.
#[derive(Debug)]
pub(crate) enum Plain {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Plain {
    pub(crate) fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => (&mut &*stream).read(into),
            Self::Unix(stream) => (&mut &*stream).read(into),
        }
    }

    pub(crate) fn write(&self, from: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => (&mut &*stream).write(from),
            Self::Unix(stream) => (&mut &*stream).write(from),
        }
    }

    /// Whether there is something to read, or an end, before the time is over.
    pub(crate) fn wait_readable(&self, within: Duration) -> bool {
        let fd = match self {
            Self::Tcp(stream) => PollFd::new(stream, PollFlags::IN),
            Self::Unix(stream) => PollFd::new(stream, PollFlags::IN),
        };
        let within = Timespec { tv_sec: 0, tv_nsec: i64::from(within.subsec_nanos()) };
        matches!(poll(&mut [fd], Some(&within)), Ok(1..))
    }

    /// Ends the conversation in both directions; the driver sees an end of file.
    pub(crate) fn shutdown(&self) {
        let ended = match self {
            Self::Tcp(stream) => stream.shutdown(std::net::Shutdown::Both),
            Self::Unix(stream) => stream.shutdown(std::net::Shutdown::Both),
        };
        if let Err(error) = ended {
            tracing::trace!(%error, "the connection had ended already");
        }
    }
}

/// mio wants a mutable source; the socket is shared, and registering changes nothing in it.
pub(crate) struct Registered(pub(crate) std::sync::Arc<Plain>);

impl Source for Registered {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        with_fd(&self.0, |mut fd| fd.register(registry, token, interests))
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        with_fd(&self.0, |mut fd| fd.reregister(registry, token, interests))
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        with_fd(&self.0, |mut fd| fd.deregister(registry))
    }
}

fn with_fd<T>(socket: &Plain, act: impl FnOnce(mio::unix::SourceFd<'_>) -> T) -> T {
    use std::os::fd::AsRawFd;
    let fd = match socket {
        Plain::Tcp(stream) => stream.as_raw_fd(),
        Plain::Unix(stream) => stream.as_raw_fd(),
    };
    act(mio::unix::SourceFd(&fd))
}
