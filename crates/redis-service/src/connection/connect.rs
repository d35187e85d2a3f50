//! From an address to a connection that is logged in. Everything here blocks, each step within the connect timeout, and runs on
//! a thread that ends with it.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use super::socket::Plain;
use crate::options::{Login, Place};
use crate::resp::{Command, Scanner, ServerError, Value, parse_frame};

/// The name under which we appear in `CLIENT LIST`.
const CLIENT_NAME: &str = "universal-ai-tools";

/// What is needed to log in at one server.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) place: Place,
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) login: Option<Login>,
    pub(crate) database: u32,
    /// Ask for invalidations of what is read.
    pub(crate) tracking: bool,
    /// A replica will not do.
    pub(crate) master_only: bool,
    pub(crate) timeout: Duration,
}

/// A connection by which we were known before, as the server saw it.
#[derive(Debug, Clone)]
pub(crate) struct Former {
    id: i64,
    address: String,
}

/// A connection that is logged in.
pub(crate) struct Connected {
    pub(crate) transport: Transport,
    /// What has been read beyond the handshake.
    pub(crate) leftover: BytesMut,
    pub(crate) former: Option<Former>,
    /// Whether invalidations will come.
    pub(crate) tracks: bool,
}

/// What the driver reads and writes.
pub(crate) enum Transport {
    Plain(Arc<Plain>),
    Tls(Box<ClientConnection>, Arc<Plain>),
}

/// Why there is no connection.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("the host {0}")]
    UnknownHost(String),
    #[error("{0}")]
    Unauthorized(String),
    #[error("{0}")]
    Config(String),
    #[error("{0}")]
    Tls(String),
    #[error("{0}")]
    Away(String),
}

/// Connects, logs in, and makes sure that nothing which `former` still had under way is carried out after this.
pub(crate) fn connect(target: &Target, former: Option<&Former>) -> Result<Connected, ConnectError> {
    let mut client = Client::open(target)?;
    let hello = client.hello(target)?;
    if let Some(former) = former {
        // A frozen server reads what the old connection sent when it thaws; a SET among it would undo our settling. Killing the
        // connection by id and address drops what it has not read. Users without the right to kill live with the
        // small risk; a server that was started again does not know the pair.
        let kill =
            Command::new("CLIENT").arg("KILL").arg("ID").int(former.id).arg("ADDR").arg(&former.address);
        if let Value::Error(error) = client.call(&kill)? {
            tracing::debug!(%error, "the former connection could not be ended");
        }
    }
    if target.database != 0 {
        let select = client.call(&Command::new("SELECT").int(i64::from(target.database)))?;
        if let Value::Error(error) = select {
            return Err(match error.code() {
                "ERR" => ConnectError::Config(format!("database {}: {error}", target.database)),
                _ => client.refusal(&error),
            });
        }
    }
    if target.master_only {
        let role = client.expect(&Command::new("ROLE"))?;
        let is_master = role
            .into_elements()
            .and_then(|role| role.into_iter().next())
            .is_some_and(|role| role.as_str() == Some("master"));
        if !is_master {
            return Err(ConnectError::Away(format!("{} is no master (any more)", target.place)));
        }
    }
    let tracks = target.tracking
        && hello.is_some()
        && !matches!(client.call(&Command::new("CLIENT").arg("TRACKING").arg("ON"))?, Value::Error(_));
    // LOADING answers most commands with an error; what is not ready yet counts as away.
    client.expect(&Command::new("PING"))?;
    let former = hello.map(|id| Former { id, address: client.local_address() });
    let (transport, leftover) = client.into_parts()?;
    Ok(Connected { transport, leftover, former, tracks })
}

/// A connection that blocks, for handshakes and for asking about the topology.
pub(crate) struct Client {
    stream: Stream,
    tls: Option<Box<ClientConnection>>,
    buffer: BytesMut,
    deadline: Instant,
    place: Place,
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Client {
    pub(crate) fn open(target: &Target) -> Result<Self, ConnectError> {
        let deadline = Instant::now() + target.timeout;
        let stream = match &target.place {
            Place::Tcp { host, port } => Stream::Tcp(tcp(host, *port, deadline)?),
            Place::Unix(path) => Stream::Unix(
                UnixStream::connect(path)
                    .map_err(|error| ConnectError::Away(format!("{}: {error}", path.display())))?,
            ),
        };
        let tls = match (&target.tls, &target.place) {
            (Some(config), Place::Tcp { host, .. }) => {
                let name = ServerName::try_from(host.clone()).map_err(|_| {
                    ConnectError::Tls(format!("{host} is no name that a certificate could carry"))
                })?;
                let session = ClientConnection::new(Arc::clone(config), name)
                    .map_err(|error| ConnectError::Tls(error.to_string()))?;
                Some(Box::new(session))
            }
            _ => None,
        };
        Ok(Self { stream, tls, buffer: BytesMut::new(), deadline, place: target.place.clone() })
    }

    /// Logs in; the connection's id where the server speaks RESP3.
    pub(crate) fn hello(&mut self, target: &Target) -> Result<Option<i64>, ConnectError> {
        let mut hello = Command::new("HELLO").arg("3");
        if let Some(Login { user, password }) = &target.login {
            hello = hello.arg("AUTH").arg(user.as_deref().unwrap_or("default")).arg(password);
        }
        match self.call(&hello.arg("SETNAME").arg(CLIENT_NAME))? {
            Value::Error(error)
                if matches!(error.code(), "ERR" | "NOPROTO") && !error.text.contains("AUTH") =>
            {
                // Older than Redis 6: no RESP3, and no invalidations.
                if let Some(Login { user, password }) = &target.login {
                    let auth = Command::new("AUTH");
                    let auth = user.as_ref().map_or(auth.clone(), |user| auth.arg(user));
                    self.expect(&auth.arg(password))?;
                }
                Ok(None)
            }
            Value::Error(error) => Err(self.refusal(&error)),
            reply => {
                let pairs = reply.into_pairs().unwrap_or_default();
                Ok(pairs
                    .iter()
                    .find(|(name, _)| name.as_str() == Some("id"))
                    .and_then(|(_, id)| id.as_integer()))
            }
        }
    }

    /// One command, whose answer must be no error.
    pub(crate) fn expect(&mut self, command: &Command) -> Result<Value, ConnectError> {
        match self.call(command)? {
            Value::Error(error) => Err(self.refusal(&error)),
            value => Ok(value),
        }
    }

    /// One command and its answer.
    pub(crate) fn call(&mut self, command: &Command) -> Result<Value, ConnectError> {
        self.write_all(&command.to_bytes()).map_err(|error| self.broken(&error))?;
        let mut scanner = Scanner::default();
        loop {
            let frame = scanner
                .frame(&self.buffer)
                .map_err(|error| ConnectError::Away(format!("{}: {error}", self.place)))?;
            if let Some(length) = frame {
                let frame = self.buffer.split_to(length).freeze();
                match parse_frame(&frame)
                    .map_err(|error| ConnectError::Away(format!("{}: {error}", self.place)))?
                {
                    // An invalidation between; there is nothing yet that it could concern.
                    Value::Push(_) => continue,
                    value => return Ok(value),
                }
            }
            let mut chunk = [0_u8; 4096];
            match self.read(&mut chunk).map_err(|error| self.broken(&error))? {
                0 => return Err(ConnectError::Away(format!("{} closed the connection", self.place))),
                count => self.buffer.extend_from_slice(&chunk[..count]),
            }
        }
    }

    fn refusal(&self, error: &ServerError) -> ConnectError {
        match error.code() {
            "WRONGPASS" | "NOAUTH" | "NOPERM" => ConnectError::Unauthorized(error.text.clone()),
            "ERR" if error.text.contains("AUTH") || error.text.contains("invalid password") => {
                ConnectError::Unauthorized(error.text.clone())
            }
            _ => ConnectError::Away(format!("{}: {error}", self.place)),
        }
    }

    fn broken(&self, error: &io::Error) -> ConnectError {
        match error.kind() {
            io::ErrorKind::InvalidData => ConnectError::Tls(format!("{}: {error}", self.place)),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                ConnectError::Away(format!("{} did not answer in time", self.place))
            }
            _ => ConnectError::Away(format!("{}: {error}", self.place)),
        }
    }

    fn local_address(&self) -> String {
        match &self.stream {
            Stream::Tcp(stream) => stream.local_addr().map(|address| address.to_string()).unwrap_or_default(),
            Stream::Unix(_) => match &self.place {
                Place::Unix(path) => format!("{}:0", path.display()),
                Place::Tcp { .. } => String::new(),
            },
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.set_timeouts()?;
        match (&mut self.stream, &mut self.tls) {
            (Stream::Tcp(stream), Some(session)) => {
                let mut tls = rustls::Stream::new(session.as_mut(), stream);
                tls.write_all(bytes)?;
                tls.flush()
            }
            (Stream::Tcp(stream), None) => stream.write_all(bytes),
            (Stream::Unix(stream), _) => stream.write_all(bytes),
        }
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.set_timeouts()?;
        match (&mut self.stream, &mut self.tls) {
            (Stream::Tcp(stream), Some(session)) => rustls::Stream::new(session.as_mut(), stream).read(into),
            (Stream::Tcp(stream), None) => stream.read(into),
            (Stream::Unix(stream), _) => stream.read(into),
        }
    }

    /// What is left until the deadline bounds each call.
    fn set_timeouts(&self) -> io::Result<()> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match &self.stream {
            Stream::Tcp(stream) => {
                stream.set_read_timeout(Some(left))?;
                stream.set_write_timeout(Some(left))
            }
            Stream::Unix(stream) => {
                stream.set_read_timeout(Some(left))?;
                stream.set_write_timeout(Some(left))
            }
        }
    }

    fn into_parts(mut self) -> Result<(Transport, BytesMut), ConnectError> {
        if let Some(session) = &mut self.tls {
            // Plaintext that came with the last record.
            let mut rest = [0_u8; 4096];
            while let Ok(count @ 1..) = session.reader().read(&mut rest) {
                self.buffer.extend_from_slice(&rest[..count]);
            }
        }
        let plain = match self.stream {
            Stream::Tcp(stream) => {
                stream.set_nonblocking(true).map(|()| Plain::Tcp(mio::net::TcpStream::from_std(stream)))
            }
            Stream::Unix(stream) => {
                stream.set_nonblocking(true).map(|()| Plain::Unix(mio::net::UnixStream::from_std(stream)))
            }
        }
        .map_err(|error| ConnectError::Away(error.to_string()))?;
        let plain = Arc::new(plain);
        let transport = match self.tls {
            Some(session) => Transport::Tls(session, plain),
            None => Transport::Plain(plain),
        };
        Ok((transport, self.buffer))
    }
}

fn tcp(host: &str, port: u16, deadline: Instant) -> Result<TcpStream, ConnectError> {
    let addresses: Vec<_> = (host, port)
        .to_socket_addrs()
        .map_err(|error| ConnectError::UnknownHost(format!("{host:?} is not known: {error}")))?
        .collect();
    let mut last = ConnectError::UnknownHost(format!("{host:?} has no address"));
    for address in addresses {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ConnectError::Away(format!("{host}:{port} did not answer in time")));
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => {
                stream.set_nodelay(true).map_err(|error| ConnectError::Away(error.to_string()))?;
                return Ok(stream);
            }
            Err(error) => last = ConnectError::Away(format!("{host}:{port}: {error}")),
        }
    }
    Err(last)
}

impl Transport {
    pub(crate) fn plain(&self) -> &Arc<Plain> {
        match self {
            Self::Plain(plain) | Self::Tls(_, plain) => plain,
        }
    }

    /// Whether callers may write to the socket themselves.
    pub(crate) fn direct(&self) -> Option<Arc<Plain>> {
        match self {
            Self::Plain(plain) => Some(Arc::clone(plain)),
            Self::Tls(..) => None,
        }
    }

    /// Reads what has arrived: `Ok(0)` is the end, `WouldBlock` nothing.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(plain) => plain.read(into),
            Self::Tls(session, plain) => loop {
                match session.reader().read(into) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    done => return done,
                }
                if session.read_tls(&mut Through(plain))? == 0 {
                    return Ok(0);
                }
                session
                    .process_new_packets()
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
            },
        }
    }

    /// Writes what it can of `out`, and removes it there. `Ok(false)`: the socket is full.
    pub(crate) fn write(&mut self, out: &mut BytesMut) -> io::Result<bool> {
        match self {
            Self::Plain(plain) => {
                while !out.is_empty() {
                    match plain.write(out) {
                        Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                        Ok(count) => out.advance(count),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(true)
            }
            Self::Tls(session, plain) => loop {
                // The session's own buffer is bounded, so it takes a part at a time.
                let taken = session.writer().write(out)?;
                out.advance(taken);
                while session.wants_write() {
                    match session.write_tls(&mut Through(plain)) {
                        Ok(_) => {}
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(error),
                    }
                }
                if out.is_empty() {
                    return Ok(true);
                }
            },
        }
    }
}

/// The shared socket as rustls wants it.
struct Through<'a>(&'a Plain);

impl Read for Through<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for Through<'_> {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.0.write(from)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
