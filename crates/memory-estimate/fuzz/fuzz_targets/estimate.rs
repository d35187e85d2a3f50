//! Whatever a header says: it is refused, or every estimate of it is the sum of its parts.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use memory_estimate::{KvType, ModelHeader, Options, Parallel, estimate};

fuzz_target!(|bytes: &[u8]| {
    let Ok(header) = ModelHeader::read_gguf(Cursor::new(bytes)) else { return };
    let sparing = Options {
        context_tokens: Some(4096),
        kv_type_k: KvType::Q8_0,
        kv_type_v: KvType::Q4_0,
        parallel: Parallel::Own { rows: 4 },
        devices: vec![1.0, 2.0],
        ..Options::default()
    };
    let plain = Options { flash_attention: false, gpu_layers: Some(1), devices: vec![1.0], ..Options::default() };
    for options in [Options::default(), sparing, plain] {
        if let Ok(estimate) = estimate(&header, &options) {
            let devices: u64 = estimate.devices.iter().map(|part| part.total()).sum();
            assert_eq!(estimate.total(), estimate.host.total() + devices);
        }
    }
});
