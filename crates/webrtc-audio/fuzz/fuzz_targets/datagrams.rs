//! Whatever comes at the port: no session ends that did not break, and what is held stays bounded. The first byte of a piece says how long it is and from where it
//! comes.
#![no_main]

use std::net::SocketAddr;
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use webrtc_audio::{Happened, Options, Peers};

const OFFER: &str = include_str!("../../tests/peers/chromium.sdp");

static FROM: LazyLock<[SocketAddr; 2]> =
    LazyLock::new(|| ["198.51.100.7:40000", "203.0.113.5:9"].map(|from| from.parse().unwrap()));

/// Made once: it takes a certificate, which takes milliseconds.
static PEERS: LazyLock<Mutex<Peers>> = LazyLock::new(|| {
    Mutex::new(Peers::new(Options::new(vec!["192.0.2.1:5000".parse().unwrap()])).unwrap())
});

fuzz_target!(init: {
    // libFuzzer's hook would end the process before the panic is caught.
    std::panic::set_hook(Box::new(|_| {}));
}, |bytes: &[u8]| {
    let mut now = Instant::now();
    let mut peers = PEERS.lock().unwrap();
    peers.offer(OFFER, now).unwrap();
    let mut rest = bytes;
    while let Some((&head, after)) = rest.split_first() {
        let (datagram, next) = after.split_at(usize::from(head).min(after.len()));
        peers.receive(FROM[usize::from(head % 2)], datagram, now);
        while let Some(happened) = peers.happened() {
            assert!(!matches!(happened, Happened::Heard { .. } | Happened::Connected(_)));
        }
        now += Duration::from_millis(1);
        rest = next;
    }
    assert!(peers.len() <= 1);
    peers.tick(now + Duration::from_secs(15));
    assert!(peers.is_empty());
});
