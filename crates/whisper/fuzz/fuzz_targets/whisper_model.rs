//! Whatever the bytes say: reading them ends, without a panic; what is read lies inside the file.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut file) = whisper::model::ModelFile::read(Cursor::new(bytes)) else { return };
    let names: Vec<String> = file.names().map(str::to_owned).collect();
    for name in names {
        let variable = file.find(&name).expect("a name that was listed").clone();
        assert!(variable.offset + variable.bytes <= bytes.len() as u64);
        assert_eq!(file.bytes(&name).expect("an array inside the file").len() as u64, variable.bytes);
    }
});
