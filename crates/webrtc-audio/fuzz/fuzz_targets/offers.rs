//! Whatever an offer says: it is answered or refused, and a session that was made ends. A panic of str0m's is caught by the crate, so it is
//! let be here; one of the crate's own, outside of what it guards, ends the process.
#![no_main]

use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use webrtc_audio::{Options, Peers};

/// Made once: it takes a certificate, which takes milliseconds.
static PEERS: LazyLock<Mutex<Peers>> = LazyLock::new(|| {
    Mutex::new(Peers::new(Options::new(vec!["192.0.2.1:5000".parse().unwrap()])).unwrap())
});

fuzz_target!(init: {
    // libFuzzer's hook would end the process before the panic is caught.
    std::panic::set_hook(Box::new(|_| {}));
}, |bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let now = Instant::now();
    let mut peers = PEERS.lock().unwrap();
    let taken = peers.offer(text, now);
    assert_eq!(peers.len(), usize::from(taken.is_ok()));
    if let Err(error) = &taken {
        assert!(error.to_string().len() < 500, "{error}");
    }
    peers.tick(now + Duration::from_secs(15));
    assert!(peers.is_empty() && peers.due().is_none());
});
