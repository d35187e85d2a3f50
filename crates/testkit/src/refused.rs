//! An address that refuses every connection.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;

use tokio::net::TcpSocket;

/// A port of 127.0.0.1 on which nothing listens, and on which nothing else can listen while this value lives.
#[derive(Debug)]
pub struct RefusedAddr {
    addr: SocketAddr,
    /// Bound and never listening: the kernel refuses connections, and gives the port to nobody else. A port that was
    /// taken and closed again could be handed to the next test's server.
    _held: TcpSocket,
}

impl Deref for RefusedAddr {
    type Target = SocketAddr;

    fn deref(&self) -> &SocketAddr {
        &self.addr
    }
}

impl fmt::Display for RefusedAddr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.addr.fmt(formatter)
    }
}

/// An address that refuses every connection for as long as the returned value lives.
///
/// # Errors
/// No port of the loopback interface is free.
pub fn refused_addr() -> std::io::Result<RefusedAddr> {
    let held = TcpSocket::new_v4()?;
    held.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    Ok(RefusedAddr { addr: held.local_addr()?, _held: held })
}
