//! What turns images or sounds into states: llama.cpp's `mmproj` files, which `tools/mtmd/clip.cpp` computes.

use crate::estimate::{Confidence, Estimate, Part};
use crate::facts::Facts;
use crate::options::Options;

/// Frames of half a minute of sound, of which llama.cpp encodes so much at a time.
const SOUND_TOKENS: u64 = 1500;

/// A projector as its header describes it.
#[derive(Debug, Clone)]
pub(crate) struct Projector {
    pub(crate) facts: Facts,
    /// Bytes of all tensors.
    pub(crate) weights: u64,
}

/// All of it goes to the first device, if there is one. The buffers are those of one image of the size that the header says,
/// with the table of all scores, which clip.cpp computes for most models.
pub(crate) fn estimate(projector: &Projector, options: &Options) -> Estimate {
    let of = |side: &str, key: &str| projector.facts.number(&format!("{side}.{key}"));
    let compute = ["vision", "audio"]
        .iter()
        .filter_map(|side| {
            let width = of(side, "embedding_length")?;
            let inner = of(side, "feed_forward_length").unwrap_or(4 * width.min(1 << 30));
            let heads = of(side, "attention.head_count").unwrap_or(1);
            let edge = of(side, "image_size").unwrap_or(0).min(1 << 16);
            let patch = of(side, "patch_size").filter(|size| *size > 0);
            let tokens = match patch {
                Some(size) => (edge / size).saturating_mul(edge / size),
                None => SOUND_TOKENS,
            };
            let scores = tokens.saturating_mul(tokens).saturating_mul(heads);
            // State, queries, keys, values and what comes of them; or the network's two inner states.
            let states = width.saturating_mul(5).max(inner.saturating_mul(2).saturating_add(width));
            let numbers = scores
                .saturating_add(tokens.saturating_mul(states))
                .saturating_add(edge.saturating_mul(edge).saturating_mul(3));
            Some(numbers.saturating_mul(4))
        })
        .max()
        .unwrap_or(0);
    let all = Part { weights: projector.weights, cache: 0, compute };
    let mut devices = vec![Part::default(); options.devices.len()];
    let host = match devices.first_mut().filter(|_| options.offloads()) {
        Some(first) => {
            *first = all;
            Part::default()
        }
        None => all,
    };
    let note = "buffers are those of one image of the size in the header; models that take images of any size may need more";
    Estimate {
        host,
        devices,
        confidence: Confidence::Formula,
        context_tokens: 0,
        notes: vec![note.to_owned()],
    }
}
