//! What the provider listens on: TCP, a Unix socket, TLS over TCP.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Something that connections come from. What a handshake takes is not part of accepting, so that a client that does not
/// finish it keeps nobody waiting.
pub(super) trait Listener: Send + 'static {
    type Raw: Send + 'static;
    type Socket: Socket;
    fn accept_one(&self) -> impl Future<Output = io::Result<Self::Raw>> + Send;
    fn greet(&self) -> impl FnOnce(Self::Raw) -> Greeting<Self::Socket> + Send + 'static;
}

/// A connection on its way to being usable.
pub(super) type Greeting<S> = std::pin::Pin<Box<dyn Future<Output = io::Result<S>> + Send>>;

/// A connection of any kind.
pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Makes the coming close a reset, where there is such a thing.
    fn reset_on_close(&self) -> io::Result<()>;
}

impl Listener for TcpListener {
    type Raw = TcpStream;
    type Socket = TcpStream;

    async fn accept_one(&self) -> io::Result<TcpStream> {
        let (socket, _) = self.accept().await?;
        socket.set_nodelay(true)?;
        Ok(socket)
    }

    fn greet(&self) -> impl FnOnce(TcpStream) -> Greeting<TcpStream> + Send + 'static {
        |socket| Box::pin(std::future::ready(Ok(socket)))
    }
}

impl Listener for UnixListener {
    type Raw = UnixStream;
    type Socket = UnixStream;

    async fn accept_one(&self) -> io::Result<UnixStream> {
        Ok(self.accept().await?.0)
    }

    fn greet(&self) -> impl FnOnce(UnixStream) -> Greeting<UnixStream> + Send + 'static {
        |socket| Box::pin(std::future::ready(Ok(socket)))
    }
}

/// A listener whose connections begin with a TLS handshake.
pub(super) struct TlsListener {
    pub(super) tcp: TcpListener,
    pub(super) acceptor: TlsAcceptor,
}

impl Listener for TlsListener {
    type Raw = TcpStream;
    type Socket = TlsStream<TcpStream>;

    async fn accept_one(&self) -> io::Result<TcpStream> {
        self.tcp.accept_one().await
    }

    fn greet(&self) -> impl FnOnce(TcpStream) -> Greeting<TlsStream<TcpStream>> + Send + 'static {
        let acceptor = self.acceptor.clone();
        move |socket| Box::pin(async move { acceptor.accept(socket).await })
    }
}

impl Socket for TcpStream {
    fn reset_on_close(&self) -> io::Result<()> {
        self.set_zero_linger()
    }
}

impl Socket for UnixStream {
    fn reset_on_close(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket for TlsStream<TcpStream> {
    fn reset_on_close(&self) -> io::Result<()> {
        self.get_ref().0.set_zero_linger()
    }
}
