#![no_main]
//! What was learned, with a right head, so that the content is read: reading ends, and what is accepted estimates
//! within 0..1.

use libfuzzer_sys::fuzz_target;
use llm_router::learned::{Learned, PromptFeatures};
use sha2::{Digest, Sha256};

fuzz_target!(|content: &[u8]| {
    // Its mark and its version.
    let mut bytes = Learned::nothing(Vec::new()).to_bytes();
    bytes.truncate(12);
    bytes.extend((content.len() as u64).to_le_bytes());
    bytes.extend(Sha256::digest(content));
    bytes.extend(content);
    let _ = Learned::from_bytes(content);
    if let Ok(learned) = Learned::from_bytes(&bytes) {
        let features = PromptFeatures::of("What is 2 + 2?\nA. 3\nB. 4", Some(&[0.5; 8]));
        for model in learned.models() {
            if let Some(estimate) = learned.quality(&features, model) {
                assert!((0.0..=1.0).contains(&estimate.mean) && (0.0..=1.0).contains(&estimate.weight));
            }
        }
    }
});
