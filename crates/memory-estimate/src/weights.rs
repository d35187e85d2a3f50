//! Where a model's weights lie.
//!
//! llama.cpp's `llama_model_loader::create_tensor`: what turns tokens into states stays with the processor, which looks up
//! some rows of it only; layers and output go where they are computed. Where the output is the embeddings again, a device
//! gets a copy.

use crate::compute::{DEVICE_ALIGNMENT, HOST_ALIGNMENT};
use crate::model::{Model, Weight, Weights};
use crate::options::Options;

/// Which place computes each layer, and last the output: 0 is the machine's own memory, then the devices.
pub(crate) fn places(model: &Model, options: &Options) -> Vec<usize> {
    let all = model.layers.len() + model.skipped;
    let count =
        if options.offloads() { options.gpu_layers.map_or(all + 1, |layers| layers as usize) } else { 0 };
    let first = (all + 1).saturating_sub(count);
    let active = count.min(all + 1).max(1);
    // In 32 bits, as llama.cpp does, so that a layer at a border goes to the same side.
    let mut reached = 0.0f32;
    let ends: Vec<f32> = options
        .devices
        .iter()
        .map(|part| {
            reached += *part as f32;
            reached
        })
        .collect();
    let sum = reached;
    let place = |layer: usize| match layer.checked_sub(first) {
        Some(index) if index < active && count > 0 => {
            let share = index as f32 / active as f32;
            1 + ends.iter().position(|end| *end / sum > share).unwrap_or(ends.len().saturating_sub(1))
        }
        _ => 0,
    };
    // The output is the one behind all layers, those that are not computed counted.
    (0..model.layers.len()).chain([all]).map(place).collect()
}

/// Bytes of weights in each place.
pub(crate) fn per_place(model: &Model, options: &Options, places: &[usize]) -> Vec<u64> {
    let mut bytes = vec![0u64; 1 + options.devices.len()];
    let mut add = |place: usize, size: u64| {
        let alignment = if place == 0 { HOST_ALIGNMENT } else { DEVICE_ALIGNMENT };
        if let Some(sum) = bytes.get_mut(place) {
            *sum = sum.saturating_add(size.checked_next_multiple_of(alignment).unwrap_or(u64::MAX));
        }
    };
    for (layer, place) in model.layers.iter().zip(places) {
        layer.weights.values().for_each(|weight| add(*place, weight.bytes));
    }
    let of_output = places.last().copied().unwrap_or(0);
    for (name, weight) in &model.ends {
        match name.as_str() {
            // Every device has its own.
            name if name.starts_with("rope_") => {
                let mut used: Vec<usize> = places.iter().take(model.layers.len()).copied().collect();
                used.sort_unstable();
                used.dedup();
                used.into_iter().for_each(|place| add(place, weight.bytes));
            }
            name if is_output(name) => add(of_output, weight.bytes),
            _ => add(0, weight.bytes),
        }
    }
    if let Some(embeddings) = tied_output(&model.ends)
        && (of_output > 0 || is_repacked(embeddings))
    {
        add(of_output, embeddings.bytes);
    }
    bytes
}

fn is_output(name: &str) -> bool {
    ["output", "cls", "dense_", "token_embd_norm"].iter().any(|start| name.starts_with(start))
}

/// The embeddings, if they are the output as well.
fn tied_output(ends: &Weights) -> Option<&Weight> {
    let has_output = ends.keys().any(|name| name.starts_with("output.weight") || name.starts_with("cls"));
    ends.get("token_embd.weight").filter(|_| !has_output)
}

/// Whether ggml keeps a matrix of this type in another order, so that eight rows are multiplied at a time: what is looked
/// up by rows too is there twice then. For x86 with AVX2, and Q2_K as if with AVX-512: `ggml_repack_get_optimal_repack_type` of
/// `ggml/src/ggml-cpu/repack.cpp`.
pub(crate) fn is_repacked(weight: &Weight) -> bool {
    ["Q4_0", "Q4_K", "Q2_K", "IQ4_NL", "MXFP4"].contains(&weight.kind) && weight.shape[1].is_multiple_of(8)
}
