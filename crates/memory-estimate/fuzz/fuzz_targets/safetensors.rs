//! Whatever the bytes say: reading them ends, without a panic; what is refused names a place in the file.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use memory_estimate::{EstimateError, ModelHeader, Options, estimate};

const CONFIG: &str = r#"{"model_type": "qwen3", "num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 32, "vocab_size": 1000, "max_position_embeddings": 4096}"#;

fuzz_target!(|bytes: &[u8]| {
    match ModelHeader::read_safetensors([Cursor::new(bytes)], Some(CONFIG)) {
        Ok(header) => {
            let _ = estimate(&header, &Options::default());
        }
        Err(error @ EstimateError::Corrupt { .. }) => {
            assert!(error.offset().is_some_and(|offset| offset <= bytes.len() as u64), "{error}");
        }
        Err(_) => {}
    }
});
