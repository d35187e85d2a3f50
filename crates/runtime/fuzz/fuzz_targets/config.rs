//! Whatever a file says, as TOML, JSON or YAML: it is read or refused, each reason has a place inside of the text, and what
//! is read can be shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use runtime::{ConfigSource, Location, UatConfig};

fuzz_target!(|input: (u8, &str)| {
    let (form, text) = input;
    let file = ["uat.toml", "uat.json", "uat.yaml"][usize::from(form) % 3];
    let source = ConfigSource::Text { file: file.into(), text: text.to_owned() };
    match UatConfig::load(source, []) {
        Ok(loaded) => assert!(!loaded.settings().is_empty()),
        Err(errors) => {
            let lines = text.split('\n').count();
            for error in errors.iter() {
                assert!(!error.message.is_empty());
                let Location::File { line, column, .. } = error.location else { panic!("{error}") };
                assert!(line >= 1 && column >= 1 && line <= lines, "{error}");
            }
        }
    }
});
