//! Whatever a request says of where it goes and where it comes from: nothing panics, and no name but loopback's is let in.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The module alone: with the crate around it, a build would take minutes.
#[allow(dead_code, reason = "the server uses all of it")]
#[path = "../../src/gate.rs"]
mod gate;

fuzz_target!(|input: (&[u8], Option<&[u8]>)| {
    let (host, origin) = input;
    let gate = gate::Gate::new(8642);
    let is_listed = |origin: &str| origin == "https://app.example";
    if gate.check(Some(host), None, is_listed).is_ok() {
        let name = host.to_ascii_lowercase();
        let is_ours = name.starts_with(b"localhost:") || name.starts_with(b"127.") || name.starts_with(b"[");
        assert!(is_ours && name.ends_with(b":8642"), "{}", String::from_utf8_lossy(host));
    }
    if let Some(origin) = origin
        && gate.check(None, Some(origin), is_listed).is_ok()
    {
        let page = origin.to_ascii_lowercase();
        assert!(page.starts_with(b"http://") || page.starts_with(b"https://"), "{}", String::from_utf8_lossy(origin));
    }
});
