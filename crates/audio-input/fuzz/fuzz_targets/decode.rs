//! Whatever the bytes say: reading them ends, and what comes out are samples. A panic of symphonia's is caught by the crate, so it is
//! let be here; one of the crate's own, outside of what it guards, ends the process.
#![no_main]

use std::io::Cursor;

use audio_input::Decoder;
use libfuzzer_sys::{fuzz_target, Corpus};

fuzz_target!(init: {
    // libFuzzer's hook would end the process before the panic is caught.
    std::panic::set_hook(Box::new(|_| {}));
}, |bytes: &[u8]| -> Corpus {
    let Ok(mut decoder) = Decoder::open(Cursor::new(bytes.to_vec()), None) else { return Corpus::Keep };
    let (mut block, mut all) = (Vec::new(), 0);
    while let Ok(true) = decoder.next_block(&mut block) {
        assert!(!block.is_empty() && block.iter().all(|sample| sample.is_finite()));
        all += block.len() as u64;
        assert_eq!(decoder.samples(), all);
        assert!((0.0..=1.0).contains(&decoder.progress()));
        block.clear();
    }
    Corpus::Keep
});
