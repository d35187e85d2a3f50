//! Whatever the bytes say: reading them ends, without a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use silero_vad::SileroVad;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(vad) = SileroVad::from_bytes(bytes) {
        assert!(vad.probabilities(&[0.1; 2048]).is_ok());
    }
});
