//! The fault proxy damages connections as told, and otherwise changes no byte.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use testkit::{Direction, FaultProxy, Mode, Upstream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener};
use tokio::task::JoinSet;

/// A server that sends back what it receives; it ends with the returned set.
async fn echo() -> (std::net::SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut socket, _)) = listener.accept().await {
            connections.spawn(async move {
                let (mut read, mut write) = socket.split();
                tokio::io::copy(&mut read, &mut write).await
            });
        }
    });
    (addr, tasks)
}

/// Sends `bytes` through the proxy, closes the sending side, and returns all that comes back.
async fn round_trip(proxy: &FaultProxy, bytes: &[u8]) -> Vec<u8> {
    let (mut read, mut write) = TcpStream::connect(proxy.addr()).await.unwrap().into_split();
    let mut back = Vec::new();
    let (_, _) = tokio::join!(
        async {
            // A proxy that cuts may close before everything is sent.
            let _ = write.write_all(bytes).await;
            let _ = write.shutdown().await;
        },
        read.read_to_end(&mut back)
    );
    back
}

#[tokio::test]
async fn a_passing_proxy_changes_no_byte() {
    let (addr, _echo) = echo().await;
    let proxy = FaultProxy::start(addr).await.unwrap();
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|index| (index % 251) as u8).collect();
    assert_eq!(round_trip(&proxy, &bytes).await, bytes);
    assert_eq!(proxy.bytes(Direction::Downstream), 1_000_000);
    assert_eq!(proxy.bytes(Direction::Upstream), 1_000_000);
}

#[tokio::test]
async fn a_unix_socket_can_be_the_upstream() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let proxy = FaultProxy::start(Upstream::Unix(path)).await.unwrap();
    let (_, back) = tokio::join!(
        async {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut word = [0; 4];
            socket.read_exact(&mut word).await.unwrap();
            socket.write_all(&word).await.unwrap();
        },
        round_trip(&proxy, b"ping")
    );
    assert_eq!(back, b"ping");
}

#[tokio::test]
async fn a_cut_lets_exactly_so_many_bytes_through() {
    let (addr, _echo) = echo().await;
    let proxy = FaultProxy::start(addr).await.unwrap();
    for downstream_bytes in [0, 1, 100_000] {
        proxy.set_mode(Mode::CutAfter { downstream_bytes }).await.unwrap();
        assert_eq!(round_trip(&proxy, &[7; 200_000]).await.len() as u64, downstream_bytes);
    }
}

#[tokio::test]
async fn a_refusing_proxy_refuses_and_can_return_to_the_same_port() {
    let (addr, _echo) = echo().await;
    let proxy = FaultProxy::start(addr).await.unwrap();
    for _ in 0..3 {
        assert_eq!(round_trip(&proxy, b"before").await, b"before");
        proxy.set_mode(Mode::Refuse).await.unwrap();
        let error = TcpStream::connect(proxy.addr()).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        assert!(TcpSocket::new_v4().unwrap().bind(proxy.addr()).is_err(), "the port is still the proxy's");
        proxy.set_mode(Mode::Pass).await.unwrap();
    }
}

#[tokio::test]
async fn a_black_hole_accepts_and_never_answers() {
    let (addr, _echo) = echo().await;
    let proxy = FaultProxy::start(addr).await.unwrap();
    proxy.set_mode(Mode::BlackHole).await.unwrap();
    let mut socket = TcpStream::connect(proxy.addr()).await.unwrap();
    socket.write_all(b"anyone?").await.unwrap();
    let silence = tokio::time::timeout(Duration::from_millis(50), socket.read(&mut [0; 8])).await;
    assert!(silence.is_err());
    assert_eq!(proxy.bytes(Direction::Upstream), 0);
    proxy.disconnect_all();
    assert!(matches!(socket.read(&mut [0; 8]).await, Ok(0) | Err(_)));
}

#[tokio::test]
async fn a_delay_holds_back_and_keeps_the_throughput() {
    let (addr, _echo) = echo().await;
    let proxy = FaultProxy::start(addr).await.unwrap();
    proxy.set_delay(Direction::Downstream, Duration::from_millis(80));
    let start = std::time::Instant::now();
    // Some sixty reads: held back one after the other they would take five seconds.
    let back = round_trip(&proxy, &[1; 1_000_000]).await;
    let took = start.elapsed();
    assert_eq!(back.len(), 1_000_000);
    assert!(took >= Duration::from_millis(80) && took < Duration::from_secs(3), "{took:?}");
}

#[tokio::test]
async fn a_frozen_connection_stays_open_and_goes_on_when_it_thaws() {
    let (addr, _echo) = echo().await;
    let proxy = FaultProxy::start(addr).await.unwrap();
    let mut socket = TcpStream::connect(proxy.addr()).await.unwrap();
    proxy.freeze();
    socket.write_all(b"word").await.unwrap();
    let mut word = [0; 4];
    let silence = tokio::time::timeout(Duration::from_millis(50), socket.read(&mut word)).await;
    assert!(silence.is_err());
    proxy.unfreeze();
    socket.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"word");
}

#[tokio::test]
async fn one_direction_stalls_while_the_other_goes_on() {
    let (addr, _echo) = echo().await;
    let proxy = FaultProxy::start(addr).await.unwrap();
    for (direction, arrives) in [(Direction::Downstream, 4), (Direction::Upstream, 0)] {
        let mut socket = TcpStream::connect(proxy.addr()).await.unwrap();
        let before = proxy.bytes(Direction::Upstream);
        proxy.stall(direction);
        socket.write_all(b"word").await.unwrap();
        let mut word = [0; 4];
        let silence = tokio::time::timeout(Duration::from_millis(50), socket.read(&mut word)).await;
        assert!(silence.is_err());
        assert_eq!(proxy.bytes(Direction::Upstream) - before, arrives);
        proxy.resume(direction);
        socket.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"word");
    }
}

#[tokio::test]
async fn existing_connections_are_reset_after_exactly_so_many_more_bytes() {
    let (addr, _echo) = echo().await;
    let proxy = FaultProxy::start(addr).await.unwrap();
    for (direction, bytes) in [
        (Direction::Downstream, 0),
        (Direction::Downstream, 3),
        (Direction::Downstream, 4_000),
        (Direction::Upstream, 5),
    ] {
        let mut socket = TcpStream::connect(proxy.addr()).await.unwrap();
        socket.write_all(b"before").await.unwrap();
        socket.read_exact(&mut [0; 6]).await.unwrap();
        let passed = proxy.bytes(direction);
        proxy.reset_after(direction, bytes);
        socket.write_all(&[1; 5_000]).await.unwrap();
        let mut back = Vec::new();
        let error = socket.read_to_end(&mut back).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        assert_eq!(proxy.bytes(direction) - passed, bytes);
        if direction == Direction::Downstream {
            assert_eq!(back.len() as u64, bytes);
        }
        assert_eq!(round_trip(&proxy, b"later ones are not affected").await.len(), 27);
    }
}

#[tokio::test]
async fn existing_connections_end_when_told_and_new_ones_are_served() {
    let (addr, _echo) = echo().await;
    let proxy = FaultProxy::start(addr).await.unwrap();
    let mut socket = TcpStream::connect(proxy.addr()).await.unwrap();
    socket.write_all(b"a").await.unwrap();
    socket.read_exact(&mut [0]).await.unwrap();
    proxy.disconnect_all();
    assert!(matches!(socket.read(&mut [0]).await, Ok(0) | Err(_)));
    assert_eq!(round_trip(&proxy, b"again").await, b"again");
}

#[tokio::test]
async fn the_clients_close_reaches_the_upstream() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = FaultProxy::start(listener.local_addr().unwrap()).await.unwrap();
    let client = TcpStream::connect(proxy.addr()).await.unwrap();
    let (mut upstream, _) = listener.accept().await.unwrap();
    drop(client);
    assert_eq!(upstream.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn an_upstream_that_is_not_there_closes_the_client() {
    let refused = testkit::refused_addr().unwrap();
    let proxy = FaultProxy::start(*refused).await.unwrap();
    assert_eq!(round_trip(&proxy, b"hello").await, b"");
}

#[tokio::test]
async fn after_shutdown_nothing_listens() {
    let (addr, _echo) = echo().await;
    let proxy = FaultProxy::start(addr).await.unwrap();
    let mut socket = TcpStream::connect(proxy.addr()).await.unwrap();
    proxy.shutdown().await;
    assert_eq!(proxy.open_connections(), 0);
    assert!(matches!(socket.read(&mut [0]).await, Ok(0) | Err(_)));
    assert!(TcpStream::connect(proxy.addr()).await.is_err());
}
