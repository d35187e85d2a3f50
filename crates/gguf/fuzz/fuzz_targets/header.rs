//! Whatever the bytes say: reading them ends, without a panic; what is read keeps its promises.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(header) = gguf::Header::read(Cursor::new(bytes)) else { return };
    assert_eq!(header.file_bytes, bytes.len() as u64);
    assert!(header.data_start <= header.file_bytes && header.data_start % header.alignment == 0);
    assert!(header.tensors.count > 0 && header.quantization() != "unknown");
    let _ = (header.architecture(), header.context_length(), header.head_count(), header.head_count_kv());
});
